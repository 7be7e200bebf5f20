package netsim

import (
	"errors"
	"fmt"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/gso"
	"ocaserve/tcpstack/mono"
)

// maxSuper is the longest frame: the length field of IPv4 holds 16 bits.
const maxSuper = 65535

// DeviceConfig describes a network adapter. The zero value is a plain one, infinitely fast.
type DeviceConfig struct {
	Name string

	MTU        int  // largest IP packet, bytes; 0: 1500
	TSO        bool // takes superframes of up to 65535 bytes
	NoChecksum bool // leaves checksums to the host

	// Rate is the line rate; 0: packets leave at the instant they are transmitted. Ring is how many bytes
	// may wait for the line before Transmit takes no more; 0: 1 MiB.
	Rate pacing.Rate
	Ring int64

	// Coalesce is how long after the first packet the host is told of it (interrupt moderation). A host that
	// looks earlier finds it. GRO merges the packets found, where they follow one another.
	Coalesce time.Duration
	GRO      bool
}

// A Device is a host's adapter. It implements link.Device, except that waiting is the network's job, and
// it is the Sink at the end of the path towards the host.
type Device struct {
	net   *Network
	cfg   DeviceConfig
	label string
	node  *node
	out   Sink
	line  *Bottleneck // the adapter's own serialization; nil: infinitely fast
	cut   gso.Segmenter
	emit  func([]byte)

	arrived []*Packet // not yet received, in order
	lent    []*Packet // the host's until its next Receive
	pending bool      // the interrupt is scheduled
	blocked bool      // a Transmit was cut short

	// Sent and Received count wire packets, and Refused how often the ring was full.
	Sent, Received, Refused uint64
}

// NewDevice makes a device; Connect says where its packets go, and Attach whose it is.
func (n *Network) NewDevice(cfg DeviceConfig) *Device {
	if cfg.MTU == 0 {
		cfg.MTU = 1500
	}
	if cfg.Ring == 0 {
		cfg.Ring = 1 << 20
	}
	d := &Device{net: n, cfg: cfg, label: n.name(cfg.Name, "device")}
	d.emit = d.packet
	if cfg.Rate > 0 {
		d.line = n.NewBottleneck(BottleneckConfig{Name: d.label + " line", Rate: cfg.Rate})
		d.line.onSent = d.drained
	}
	return d
}

// Name returns the device's name, as configured or made up.
func (d *Device) Name() string { return d.label }

// Connect says where packets go that the host transmits.
func (d *Device) Connect(next Sink) {
	d.out = next
	if d.line != nil {
		d.line.Connect(next)
		d.out = d.line
	}
}

// Caps returns what the device can do.
func (d *Device) Caps() link.Caps {
	c := link.Caps{
		MTU: d.cfg.MTU, TxChecksum: !d.cfg.NoChecksum, RxChecksum: !d.cfg.NoChecksum,
		TSO4: d.cfg.TSO, TSO6: d.cfg.TSO, TxCopies: true,
	}
	if d.cfg.TSO {
		c.MaxGSO = maxSuper
	}
	return c
}

// Transmit puts frames onto the wire, packet by packet, at the current instant. A frame beyond what Caps
// promised is an error of the host's and reported.
func (d *Device) Transmit(frames []link.Frame) (int, error) {
	if d.out == nil {
		return 0, fmt.Errorf("netsim: %s is connected to nothing", d.label)
	}
	for i := range frames {
		if d.line != nil && d.line.queued() >= d.cfg.Ring {
			d.blocked = true
			d.Refused++
			return i, nil
		}
		if err := d.check(&frames[i]); err != nil {
			return i, err
		}
		if !d.cut.Segment(&frames[i], d.emit) {
			return i, fmt.Errorf("netsim: %s: malformed superframe of %d bytes", d.label, frames[i].Len())
		}
	}
	return len(frames), nil
}

// check holds the host to what Caps promised it.
func (d *Device) check(f *link.Frame) error {
	switch n := f.Len(); {
	case n == 0:
		return fmt.Errorf("netsim: %s: empty frame", d.label)
	case f.GSO > 0 && !d.cfg.TSO:
		return fmt.Errorf("netsim: %s: superframe of %d bytes, but TSO is off", d.label, n)
	case n > maxSuper:
		return fmt.Errorf("netsim: %s: frame of %d bytes, at most %d fit", d.label, n, maxSuper)
	case f.GSO == 0 && n > d.cfg.MTU:
		return fmt.Errorf("netsim: %s: frame of %d bytes exceeds the MTU of %d", d.label, n, d.cfg.MTU)
	case f.Csum == link.CsumPartial && d.cfg.NoChecksum:
		return fmt.Errorf("netsim: %s: partial checksum, but checksum offload is off", d.label)
	}
	return nil
}

func (d *Device) packet(data []byte) {
	d.Sent++
	d.out.Put(d.net.now, d.net.newPacket(data))
}

// drained wakes a host that found the ring full once half of it is free.
func (d *Device) drained() {
	if d.blocked && d.line.queued() <= d.cfg.Ring/2 {
		d.blocked = false
		d.Wake()
	}
}

// Put is a packet's arrival.
func (d *Device) Put(_ mono.Time, p *Packet) {
	d.Received++
	d.arrived = append(d.arrived, p)
	switch {
	case d.cfg.Coalesce == 0:
		d.Wake()
	case !d.pending:
		d.pending = true
		d.net.schedule(d.net.now.Add(d.cfg.Coalesce), d, nil)
	}
}

// fire is the interrupt.
func (d *Device) fire(mono.Time, *Packet) {
	d.pending = false
	if len(d.arrived) > 0 {
		d.Wake()
	}
}

// Receive lends the packets that have arrived, until the next call.
func (d *Device) Receive(frames []link.Frame) (int, error) {
	for _, p := range d.lent {
		d.net.release(p)
	}
	d.lent = d.lent[:0]
	n, taken := 0, 0
	for ; n < len(frames) && taken < len(d.arrived); n++ {
		f := link.Frame{Time: d.net.now}
		p := d.arrived[taken]
		taken++
		if d.cfg.GRO {
			taken += d.merge(&f, p, d.arrived[taken:])
		}
		f.Data = p.Data
		frames[n] = f
	}
	d.lent = append(d.lent, d.arrived[:taken]...)
	d.arrived = d.arrived[:copy(d.arrived, d.arrived[taken:])]
	return n, nil
}

// Wait is refused: nobody sleeps on virtual time.
func (d *Device) Wait(mono.Time) error {
	return errors.New("netsim: a device does not wait; drive its host with Network.Run")
}

// Wake makes the network step the host. Unlike other links' it is not for other goroutines.
func (d *Device) Wake() {
	if d.node != nil {
		d.node.ready = true
	}
}
