// Package fault makes a link as bad as real ones: it loses, reorders, duplicates, corrupts and delays, by
// seeded dice, each packet in both directions.
//
//  1. A frame from either side is cut into wire packets with complete checksums (package gso): a real
//     wire loses one segment of a burst, not the burst.
//  2. The dice decide each packet's fate and when it is due.
//  3. Due packets go on, to the wrapped device or to the stack, as single packets whose checksum nobody
//     has verified (CsumComplete), so that corruption can only be caught where it should be: by the receiver.
//  4. Without a delay packets are taken in as the stack takes them: the wire holds none of its own.
//  5. Wait ends when a delayed packet is due, and hands those over that are.
package fault

import (
	"sync/atomic"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
)

// batch is how many frames go through in one call to the wrapped device.
const batch = 64

// Interface is a bad wire in front of another interface, which must carry IP packets. It implements
// link.Interface.
type Interface struct {
	inner   link.Interface
	cfg     Config
	stats   counters
	devices []link.Device
}

// New wraps inner, all of its queues. Closing the result closes inner.
func New(inner link.Interface, cfg Config) *Interface {
	if cfg.Clock == nil {
		cfg.Clock = mono.Now
	}
	i := &Interface{inner: inner, cfg: cfg}
	for q, d := range inner.Queues() {
		w := &device{
			inner:  d,
			cfg:    &i.cfg,
			in:     make([]link.Frame, batch),
			frames: make([]link.Frame, batch),
		}
		w.tx.init(&i.cfg, uint64(2*q), &i.stats)
		w.rx.init(&i.cfg, uint64(2*q+1), &i.stats)
		i.devices = append(i.devices, w)
	}
	return i
}

// Name returns the wrapped interface's name.
func (i *Interface) Name() string { return i.inner.Name() }

// Queues returns the wrapped devices, in the same order.
func (i *Interface) Queues() []link.Device { return i.devices }

// Close closes the wrapped interface. What is on the wire is lost.
func (i *Interface) Close() error { return i.inner.Close() }

// Stats counts wire packets of both directions, all queues.
type Stats struct {
	Packets    uint64 // that came to the wire; the others are a part of these
	Lost       uint64
	Reordered  uint64
	Duplicated uint64
	Corrupted  uint64
	Malformed  uint64 // frames that could not be cut into packets; lost too, and not in Packets
}

type counters struct {
	packets, lost, reordered, duplicated, corrupted, malformed atomic.Uint64
}

// Stats may be called from any goroutine.
func (i *Interface) Stats() Stats {
	s := &i.stats
	return Stats{
		Packets: s.packets.Load(), Lost: s.lost.Load(), Reordered: s.reordered.Load(),
		Duplicated: s.duplicated.Load(), Corrupted: s.corrupted.Load(), Malformed: s.malformed.Load(),
	}
}

// A device is one queue behind the bad wire.
type device struct {
	inner  link.Device
	cfg    *Config
	tx, rx line

	in     []link.Frame // what inner received
	frames []link.Frame // what inner is to transmit
	full   bool         // inner's last Transmit was short
}

// Caps returns the wrapped device's, without verified checksums: what comes off a bad wire must be checked.
func (d *device) Caps() link.Caps {
	c := d.inner.Caps()
	c.RxChecksum = false
	c.TxCopies = true
	return c
}

// Receive returns what is due, of that too which the wrapped device has.
func (d *device) Receive(frames []link.Frame) (int, error) {
	now := d.cfg.Clock()
	if err := d.flush(now); err != nil {
		return 0, err
	}
	err := d.take(now, len(frames))
	d.rx.advance(now)
	ready := d.rx.ready()
	ready = ready[:min(len(ready), len(frames))]
	for i, p := range ready {
		frames[i] = link.Frame{Data: p.data, Time: now}
	}
	d.rx.done(len(ready))
	if len(ready) > 0 {
		return len(ready), nil // a final error comes again
	}
	return 0, err
}

// take takes in what the wrapped device has, if n packets do not wait here as it is: what crosses without delay may as well
// wait on the other side, where frames are whole and somebody can be told that there is no more room. What is delayed must be
// taken in when it comes.
func (d *device) take(now mono.Time, n int) error {
	if d.cfg.Delay == 0 && d.cfg.Reorder == 0 && len(d.rx.ready()) >= n {
		return nil
	}
	// Recycled packets keep their bytes until the next put: here, which ends the last Receive's loan.
	k, err := d.inner.Receive(d.in)
	for i := range d.in[:k] {
		d.rx.put(now, &d.in[i])
	}
	clear(d.in[:k])
	return err
}

// Transmit takes frames as long as the wire has room, and hands on what is due.
func (d *device) Transmit(frames []link.Frame) (int, error) {
	now := d.cfg.Clock()
	if err := d.flush(now); err != nil {
		return 0, err
	}
	n := 0
	for n < len(frames) && !d.full && d.tx.bytes+frames[n].Len() <= maxHeld/2 {
		d.tx.put(now, &frames[n])
		n++
		if err := d.flush(now); err != nil {
			return n, err
		}
	}
	return n, nil
}

// flush hands due packets to the wrapped device, as many as it takes.
func (d *device) flush(now mono.Time) error {
	d.full = false
	d.tx.advance(now)
	for {
		ready := d.tx.ready()
		if len(ready) == 0 {
			return nil
		}
		ready = ready[:min(len(ready), batch)]
		for i, p := range ready {
			d.frames[i] = link.Frame{Data: p.data}
		}
		n, err := d.inner.Transmit(d.frames[:len(ready)])
		d.tx.done(n)
		if err != nil {
			return err
		}
		if n < len(ready) {
			d.full = true
			return nil
		}
	}
}

// Wait waits on the wrapped device, but not beyond the moment the next delayed packet is due.
func (d *device) Wait(until mono.Time) error {
	now := d.cfg.Clock()
	if err := d.flush(now); err != nil {
		return err
	}
	d.rx.advance(now)
	if len(d.rx.ready()) > 0 {
		return nil
	}
	if err := d.inner.Wait(min(until, d.tx.next(), d.rx.next())); err != nil {
		return err
	}
	return d.flush(d.cfg.Clock())
}

// Wake makes the current or the next Wait return.
func (d *device) Wake() { d.inner.Wake() }
