// Package memory is a network cable inside the process: two interfaces, what one transmits the other
// receives. It serves tests, the simulator, and the relay.
//
//  1. [Device.Transmit] copies each frame, headers and pieces, once into the peer's preallocated ring.
//     Superframes and unfinished checksums cross as they are, as they do on a TUN: a wire without bit
//     errors needs neither segmentation nor sums.
//  2. [Device.Receive] lends frames out of the ring and takes them back at the next Receive.
//  3. A full ring pushes back: Transmit takes fewer frames, and Wait returns when there is room again.
//  4. [Device.Wait] sleeps in the kernel (internal/park); whoever changes what it waits for wakes it only if it sleeps.
//
// Both ends may be driven by one goroutine that never calls Wait, on a virtual clock.
package memory

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"ocaserve/internal/park"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
)

// maxFrame is the largest frame: the length fields of IPv4 and of virtio hold 16 bits.
const maxFrame = 65535

// Config describes both ends of a cable. The zero value is usable.
type Config struct {
	MTU        int  // largest IP packet, bytes; 0: 1500
	Queues     int  // devices per end; 0: 1
	RingFrames int  // frames in flight per queue and direction, rounded up to a power of two; 0: 512
	RingBytes  int  // bytes in flight per queue and direction; 0: 1 MiB; at least one largest frame
	TSO        bool // superframes of up to 65535 bytes cross unsegmented
	NoChecksum bool // transport checksums must be complete: Caps offers no checksum offload

	// Steer chooses the receiving queue from a frame's first bytes, in [0, queues). Nil: queue i of
	// one end talks to queue i of the other, without any lock.
	Steer func(head []byte, queues int) int

	// Clock stamps received frames and measures Wait's deadline. Nil: mono.Now.
	Clock func() mono.Time

	virtual bool // Clock is the caller's: nobody sleeps in the kernel then
}

func (c *Config) setDefaults() {
	if c.MTU == 0 {
		c.MTU = 1500
	}
	if c.Queues == 0 {
		c.Queues = 1
	}
	if c.RingFrames == 0 {
		c.RingFrames = 512
	}
	if c.RingBytes == 0 {
		c.RingBytes = 1 << 20
	}
	c.RingBytes = max(c.RingBytes, c.maxLen())
	c.virtual = c.Clock != nil
	if c.Clock == nil {
		c.Clock = mono.Now
	}
}

// maxLen is the longest frame that crosses, in bytes.
func (c *Config) maxLen() int {
	if c.TSO {
		return max(maxFrame, c.MTU)
	}
	return c.MTU
}

// An Interface is one end of the cable. It implements link.Interface.
type Interface struct {
	name    string
	devices []link.Device
	cable   *cable
}

// A cable is what both ends share.
type cable struct {
	cfg    Config
	closed atomic.Bool
	once   sync.Once
	all    []*Device
}

// New returns the two ends of a cable.
func New(cfg Config) (a, b *Interface) {
	cfg.setDefaults()
	c := &cable{cfg: cfg}
	a = &Interface{name: "memory-a", cable: c}
	b = &Interface{name: "memory-b", cable: c}
	as, bs := c.devices(a), c.devices(b)
	connect(as, bs, &cfg)
	connect(bs, as, &cfg)
	return a, b
}

// devices makes one end's devices, still without rings.
func (c *cable) devices(i *Interface) []*Device {
	ds := make([]*Device, c.cfg.Queues)
	for q := range ds {
		ds[q] = &Device{cable: c, queue: q, rest: park.New(c.cfg.virtual)}
		i.devices = append(i.devices, ds[q])
	}
	c.all = append(c.all, ds...)
	return ds
}

// connect makes the rings that carry frames from one end's devices to the other's.
func connect(from, to []*Device, cfg *Config) {
	for q, d := range to {
		r := newRing(cfg.RingFrames, cfg.RingBytes, cfg.Steer != nil)
		r.reader = d
		r.writers = from
		if cfg.Steer == nil {
			r.writers = from[q : q+1]
		}
		d.in = r
	}
	for _, d := range from {
		for _, p := range to {
			d.out = append(d.out, p.in)
		}
	}
}

// Name returns which end this is: "memory-a" or "memory-b".
func (i *Interface) Name() string { return i.name }

// Queues returns the devices of this end.
func (i *Interface) Queues() []link.Device { return i.devices }

// Close cuts the cable for both ends: every Wait returns, Transmit fails, and Receive fails once what had
// crossed before has been received. The error is net.ErrClosed.
func (i *Interface) Close() error {
	i.cable.once.Do(func() {
		i.cable.closed.Store(true)
		for _, d := range i.cable.all {
			d.wakeIfAsleep()
		}
	})
	return nil
}

// A Device is one queue of one end. It implements link.Device.
type Device struct {
	cable *cable
	queue int
	in    *ring
	out   []*ring // by receiving queue

	lent uint64 // slots of in that the last Receive handed out and the next one takes back

	// What a short Transmit could not place; Wait returns when it fits. Nil: nothing.
	wantRing *ring
	wantLen  int

	_     [align]byte // what follows others read, and write
	woken atomic.Bool // Wake was called and no Wait has answered it yet
	sleep atomic.Uint32
	rest  *park.Spot // where the owner sleeps
	_     [align]byte
}

// The values of Device.sleep: what the owner is doing, or is about to do.
const (
	awake         = iota
	asleep        // wants frames
	asleepForRoom // wants frames, and room in wantRing
)

// Caps returns what the cable can carry.
func (d *Device) Caps() link.Caps {
	cfg := &d.cable.cfg
	c := link.Caps{
		MTU:        cfg.MTU,
		Medium:     link.MediumIP,
		TxChecksum: !cfg.NoChecksum,
		RxChecksum: !cfg.NoChecksum,
		TSO4:       cfg.TSO,
		TSO6:       cfg.TSO,
		TxCopies:   true,
	}
	if cfg.TSO {
		c.MaxGSO = maxFrame
	}
	return c
}

// Receive lends the frames that have arrived, all stamped with one reading of the clock.
func (d *Device) Receive(frames []link.Frame) (int, error) {
	r := d.in
	head := r.head.Load()
	if d.lent > 0 {
		head += d.lent
		d.lent = 0
		r.head.Store(head)
		for _, w := range r.writers {
			if w.sleep.Load() == asleepForRoom {
				w.wakeIfAsleep()
			}
		}
	}
	n := min(int(r.tail.Load()-head), len(frames))
	if n == 0 {
		if d.cable.closed.Load() && r.tail.Load() == head {
			return 0, net.ErrClosed
		}
		return 0, nil
	}
	now := d.cable.cfg.Clock()
	for i := range frames[:n] {
		r.get(head+uint64(i), &frames[i])
		frames[i].Time = now
	}
	d.lent = uint64(n)
	return n, nil
}

// Transmit copies frames into the peer's ring. A frame that the link's capabilities do not cover is an
// error of the caller and reported as such.
func (d *Device) Transmit(frames []link.Frame) (int, error) {
	d.wantRing = nil
	if d.cable.closed.Load() {
		return 0, net.ErrClosed
	}
	for i := range frames {
		f := &frames[i]
		n := f.Len()
		if err := d.check(f, n); err != nil {
			return i, err
		}
		r := d.out[d.steer(f)]
		if !r.put(f, n) {
			d.wantRing, d.wantLen = r, n
			return i, nil
		}
		r.reader.wakeIfAsleep()
	}
	return len(frames), nil
}

func (d *Device) steer(f *link.Frame) int {
	if s := d.cable.cfg.Steer; s != nil {
		return s(f.Data, len(d.out))
	}
	return d.queue
}

// check holds the stack to what Caps promised it.
func (d *Device) check(f *link.Frame, n int) error {
	cfg := &d.cable.cfg
	switch {
	case n == 0:
		return fmt.Errorf("memory link: empty frame")
	case f.GSO > 0 && !cfg.TSO:
		return fmt.Errorf("memory link: superframe of %d bytes, but TSO is off", n)
	case f.GSO > 0 && n > maxFrame:
		return fmt.Errorf("memory link: superframe of %d bytes, at most %d fit", n, maxFrame)
	case f.GSO == 0 && n > cfg.MTU:
		return fmt.Errorf("memory link: frame of %d bytes exceeds the MTU of %d", n, cfg.MTU)
	case f.Csum == link.CsumPartial && cfg.NoChecksum:
		return fmt.Errorf("memory link: partial checksum, but checksum offload is off")
	}
	return nil
}
