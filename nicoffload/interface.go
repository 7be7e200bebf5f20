package nicoffload

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"

	"ocaserve/internal/park"
	"ocaserve/tcpstack/link"
)

var errClosed = net.ErrClosed

// An Interface is a link behind an emulated adapter. It implements link.Interface; its devices implement
// link.Completer and offload.NIC.
type Interface struct {
	name    string
	inner   link.Interface
	cfg     Config
	devices []*Device
	queues  []link.Device

	// What the driver and the adapter's thread read for each frame, and nobody writes then.
	_        [cacheLine]byte
	features features
	suspect  atomic.Uint32 // features that were found to be wrong
	faults   atomic.Uint32
	verify   atomic.Uint64 // share of frames, in 1/2^32
	depth    atomic.Int64  // descriptors that may be in a transmit ring
	rxDepth  atomic.Int64
	rxFrames atomic.Int64 // that wait, for which a shard is woken at once

	rxInterval atomic.Int64 // else it is at most once in so long, ns

	_                  [cacheLine]byte
	bus, dram, packets meter
	_                  [cacheLine]byte

	closed  atomic.Bool
	once    sync.Once
	err     error // of the link's Close
	threads sync.WaitGroup
}

// minSlots is the least number of descriptors that a ring has, whatever depth is used: a superframe that the
// driver has to cut must find room in an empty ring.
const minSlots = 2048

// New puts an adapter in front of a link, which is then the adapter's: each queue of it gets a thread that alone
// drives it. It fails if the link is of a kind that an adapter cannot stand in front of.
func New(inner link.Interface, cfg Config) (*Interface, error) {
	cfg.setDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	i := &Interface{name: inner.Name(), inner: inner, cfg: cfg}
	for _, q := range inner.Queues() {
		switch caps := q.Caps(); {
		case caps.Medium != link.MediumIP:
			return nil, fmt.Errorf("nicoffload: %s carries Ethernet frames; the adapter needs a link of IP packets", i.name)
		case !caps.TxCopies:
			return nil, fmt.Errorf("nicoffload: %s reads frames after Transmit; the adapter needs a link that copies", i.name)
		}
	}
	i.features.set(featuresOn, true)
	i.SetFaults(cfg.Faults)
	i.SetVerify(cfg.Verify)
	i.depth.Store(int64(cfg.Depth))
	i.rxDepth.Store(int64(cfg.RxDepth))
	i.moderate(cfg.coalesce())
	i.bus.rate, i.dram.rate, i.packets.rate = cfg.Bus, cfg.DRAM, cfg.Packets
	for q, dev := range inner.Queues() {
		d := i.newDevice(q, dev)
		i.devices = append(i.devices, d)
		i.queues = append(i.queues, d)
	}
	if !cfg.Manual {
		i.threads.Add(len(i.devices))
		for _, d := range i.devices {
			go d.nic.run()
		}
	}
	return i, nil
}

// newDevice makes both halves of queue q.
func (i *Interface) newDevice(q int, inner link.Device) *Device {
	ring := newTxRing(max(minSlots, powerOfTwo(i.cfg.Depth)))
	rx := newRxRing(powerOfTwo(max(defaultDepth, i.cfg.RxDepth)), rxArena)
	d := &Device{
		nif: i, clock: i.cfg.Clock, ring: ring, rx: rx, alarm: park.New(i.cfg.virtual),
		runs: make([]run, 0, usualRuns),
		rng:  rand.New(rand.NewPCG(i.cfg.Seed, uint64(2*q))),
	}
	d.table.init(i.cfg.Contexts)
	d.dumped.Init(nil, 8)
	n := &nic{nif: i, dev: d, inner: inner, caps: inner.Caps(), ring: ring, rx: rx, alarm: park.New(i.cfg.virtual)}
	n.out.init()
	n.faults = faulty{nif: i, count: &n.count, rng: rand.New(rand.NewPCG(i.cfg.Seed, uint64(2*q+1)))}
	d.nic = n
	return d
}

// Name is the link's.
func (i *Interface) Name() string { return i.name }

// Queues returns the devices, one for each queue of the link.
func (i *Interface) Queues() []link.Device { return i.queues }

// Inner is the link behind the adapter.
func (i *Interface) Inner() link.Interface { return i.inner }

// Close ends the adapter's threads, and with them all frames in its rings, and closes the link. When it returns
// nobody reads the shards' memory any more.
func (i *Interface) Close() error {
	i.once.Do(func() {
		i.closed.Store(true)
		i.wake()
		for _, d := range i.devices {
			if i.cfg.Manual {
				d.nic.end(errClosed)
			}
		}
		i.threads.Wait()
		i.err = i.inner.Close()
	})
	return i.err
}

// wake makes the adapter's threads look at what was changed.
func (i *Interface) wake() {
	for _, d := range i.devices {
		d.nic.alarm.Ring()
		d.nic.inner.Wake()
	}
}

// Rings are the numbers of ethtool -g: what the rings hold now, and the most that SetRings takes.
type Rings struct{ TX, RX, MaxTX, MaxRX int }

// Rings returns the depth of the rings. It may be called from any goroutine, as may SetRings.
func (i *Interface) Rings() Rings {
	return Rings{
		TX: int(i.depth.Load()), RX: int(i.rxDepth.Load()),
		MaxTX: max(minSlots, powerOfTwo(i.cfg.Depth)), MaxRX: powerOfTwo(max(defaultDepth, i.cfg.RxDepth)),
	}
}

// SetRings sets how many descriptors each ring may hold from now on; 0 leaves one as it is.
func (i *Interface) SetRings(tx, rx int) error {
	r := i.Rings()
	switch {
	case tx < 0 || tx > r.MaxTX:
		return fmt.Errorf("tx ring of %d: the maximum is %d, set by depth= at the start", tx, r.MaxTX)
	case rx < 0 || rx > r.MaxRX:
		return fmt.Errorf("rx ring of %d: the maximum is %d, set by rxdepth= at the start", rx, r.MaxRX)
	}
	if tx > 0 {
		i.depth.Store(int64(tx))
	}
	if rx > 0 {
		i.rxDepth.Store(int64(rx))
	}
	i.wake()
	return nil
}
