package nicoffload

import (
	"math/rand/v2"
	"sync/atomic"

	"ocaserve/internal/park"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// A Device is the driver of one queue. It implements link.Completer and offload.NIC, and belongs to the shard
// that drives the queue; only Wake may be called from elsewhere.
type Device struct {
	nif   *Interface
	nic   *nic
	clock func() mono.Time
	ring  *txRing
	rx    *rxRing
	table table

	posted    uint64 // descriptors written, not all of them published
	done      uint64 // descriptors that completions cover
	cq        uint64 // completions read
	taken     uint64 // frames accepted since the start
	completed uint64 // frames that completions cover
	epoch     uint32 // of the adapter, as far as places were set right
	ended     bool   // the adapter's thread is gone: nobody reads the ring
	flushed   uint64 // calls of Transmit that left none of the owner's frames over
	turn      uint64 // see Turn
	lent      uint64 // frames that the last Receive handed out

	want    int           // descriptors that a short Transmit wants; 0: none
	moved   mono.Time     // when the watchdog last saw done move, or the ring empty
	seen    uint64        // what done was then
	runs    []run         // of the frame under way
	cut     []run         // of the segment under way
	pieces  [][]byte      // of the segment under way
	dumped  stream.Gather // the dump under way
	head    [maxInline]byte
	rng     *rand.Rand
	scratch software
	wants   []*expectation // in the order of their descriptors

	tally tally // of the Transmit under way
	count driverCounters

	_     [cacheLine]byte // what follows is the adapter's too
	woken atomic.Bool     // Wake was called and no Wait has answered it yet
	sleep atomic.Uint32
	alarm *park.Spot
	_     [cacheLine]byte
}

// The values of Device.sleep: what the owner is doing, or is about to do.
const (
	awake         = iota
	asleep        // wants frames
	asleepForRoom // wants frames, and room in the ring
)

// Caps returns what the adapter can do. What is switched off at run time the driver does itself, so that the
// answer does not change.
func (d *Device) Caps() link.Caps {
	inner := d.nic.caps
	return link.Caps{
		MTU: inner.MTU, Medium: inner.Medium,
		TxChecksum: true, RxChecksum: true,
		TSO4: true, TSO6: true, MaxGSO: maxGSO,
		TLS: true, RateLimit: true,
	}
}

// maxGSO is the longest superframe: the length field of IPv4 holds 16 bits.
const maxGSO = 65535

// Transmit posts frames to the ring, in order. Their headers, pieces and records are read until Completed covers
// them.
func (d *Device) Transmit(frames []link.Frame) (int, error) {
	if err := d.nic.failed(); err != nil {
		return 0, err
	}
	now := d.clock()
	d.poll()
	d.watch(now)
	before, stopped := d.posted, d.want > 0
	d.want = 0
	n := 0
	for n < len(frames) && d.post(&frames[n], now) {
		n++
	}
	if n == len(frames) {
		d.flushed++
		if d.nif.cfg.Evict == EvictLRU {
			d.turn++
		}
	}
	d.account(n < len(frames), stopped)
	if d.posted != before {
		d.ring.tail.Store(d.posted)
		d.tally.addTo(&d.count)
		d.nic.doorbell()
	}
	return n, nil
}

// account counts what a full ring did to the queue.
func (d *Device) account(short, stopped bool) {
	switch {
	case short && !stopped:
		d.count.queueStopped.Add(1)
	case !short && stopped:
		d.count.queueWake.Add(1)
	}
}

// Completed is how many of the frames taken the adapter is done with.
func (d *Device) Completed() uint64 {
	d.poll()
	return d.completed
}

// poll reads the completion queue. The adapter's word is not taken for more than was posted, nor twice.
func (d *Device) poll() {
	d.ended = d.nic.ended.Load()
	before := d.done
	for tail := d.ring.cqTail.Load(); d.cq != tail; d.cq++ {
		done := d.ring.cqes[d.cq&uint64(len(d.ring.cqes)-1)]
		if done <= d.done || done > d.posted {
			d.count.cqeBad.Add(1)
			continue
		}
		d.done = done
		d.completed = d.ring.desc(done - 1).frames
	}
	if d.ended {
		d.done, d.completed = d.posted, d.taken
	}
	if e := d.nic.epoch.Load(); e != d.epoch {
		d.epoch = e
		d.table.misplace()
	}
	if d.done != before && len(d.table.dying) > 0 {
		d.bury()
	}
}

// Receive lends the frames that the adapter has delivered, and takes back those of the call before.
func (d *Device) Receive(frames []link.Frame) (int, error) {
	d.look()
	r := d.rx
	head := r.head.Load()
	if d.lent > 0 {
		head += d.lent
		d.lent = 0
		r.head.Store(head)
		d.nic.roomToReceive()
	}
	n := min(int(r.tail.Load()-head), len(frames))
	if n == 0 {
		return 0, d.drained()
	}
	for i := range frames[:n] {
		r.get(head+uint64(i), &frames[i])
		d.checkReceived(&frames[i])
	}
	d.lent = uint64(n)
	return n, nil
}

// drained is the adapter's final error, once all that it delivered before has been received.
func (d *Device) drained() error {
	if err := d.nic.failed(); err != nil && d.rx.tail.Load() == d.rx.head.Load()+d.lent {
		return err
	}
	return nil
}

// room reports whether n more descriptors may be posted. What needs more than the configured depth goes into an
// empty ring.
func (d *Device) room(n int) bool {
	used := int(d.posted - d.done)
	return used+n <= int(d.nif.depth.Load()) || used == 0 && n <= len(d.ring.descs)
}

// next returns the descriptor to be written next.
func (d *Device) next() *desc {
	e := d.ring.desc(d.posted)
	d.ring.prefetch(d.posted)
	d.posted++
	return e
}
