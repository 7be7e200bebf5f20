package nicoffload

import (
	"runtime"
	"sync/atomic"

	"ocaserve/internal/park"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
)

// A nic is the adapter's half of one queue. All of it belongs to the adapter's thread, but for what is atomic.
type nic struct {
	nif   *Interface
	dev   *Device
	inner link.Device
	caps  link.Caps // of inner
	ring  *txRing
	rx    *rxRing

	head     uint64 // the next descriptor
	out      outbox
	trash    [4096]byte // where the beginning of a record goes that is only read to rebuild the cipher's state
	in       inbox
	merging  merging
	shape    shaper
	turnTime mono.Time // of the turn that releases
	told     mono.Time // when the shard was woken last
	untold   bool      // it sleeps, and does not know of frames that wait for it
	wakeAt   mono.Time // when the budgets let the transmit ring go on; 0: they do
	stall    stalled
	faults   faulty
	check    checker
	cpu      cpuClock
	count    nicCounters

	// What the driver reads for each frame seldom changes, and shares no cache line with what often does.
	_         [cacheLine]byte
	reset     atomic.Bool   // the watchdog wants the ring emptied
	ended     atomic.Bool   // the thread is gone
	epoch     atomic.Uint32 // moves when descriptors were dropped, so that places are not where the driver thinks
	fault     atomic.Pointer[error]
	saturated atomic.Int64 // the queue's budgets are used up before this time
	_         [cacheLine]byte
	sleep     atomic.Uint32
	alarm     *park.Spot
	_         [cacheLine]byte
}

// The values of nic.sleep.
const (
	nicAwake   = iota
	nicOnLink  // sleeps in the inner device's Wait
	nicOnAlarm // sleeps until the shard has made room in the receive ring
)

// run is the adapter's thread.
func (n *nic) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer n.nif.threads.Done()
	n.cpu.start()
	defer n.cpu.stop()
	for {
		if n.nif.closed.Load() {
			n.end(errClosed)
			return
		}
		busy, err := n.step(n.nif.cfg.Clock())
		if err == nil && !busy {
			err = n.rest()
		}
		if err != nil {
			n.end(err)
			return
		}
	}
}

// Turn lets the adapter's half of queue q take a turn, where Config.Manual leaves that to the caller, and reports whether there
// was anything to do.
func (i *Interface) Turn(q int) (busy bool, err error) { return i.devices[q].nic.step(i.cfg.Clock()) }

// step takes one turn: what has arrived, then what is to be sent. It reports whether there was anything to do.
func (n *nic) step(now mono.Time) (busy bool, err error) {
	n.count.poll.Add(1)
	if n.reset.Load() {
		n.empty()
		n.reset.Store(false)
	}
	received, err := n.receive(now)
	if err != nil {
		return false, err
	}
	n.interrupt(now)
	sent, err := n.transmit(now)
	return received || sent, err
}

// end gives up the ring: the thread reads nothing of it any more, and says so.
func (n *nic) end(err error) {
	n.empty()
	n.ended.Store(true)
	n.fault.CompareAndSwap(nil, &err) // last: whoever knows of it lets go of what has completed, and asks no more
	n.dev.rouse(asleep)
}

// empty forgets all descriptors and completes them: memory must not stay with an adapter that does not go on.
func (n *nic) empty() {
	tail := n.ring.tail.Load()
	n.count.resetDropped.Add(tail - n.out.done)
	n.epoch.Add(1)
	n.head = tail
	n.out.forget()
	n.count.spreadDropped.Add(uint64(n.shape.forget()))
	n.faults.stopped = false
	for ; n.out.done < tail; n.out.done++ {
		n.ring.desc(n.out.done).release()
	}
	n.ring.complete(tail)
	n.dev.rouse(asleepForRoom)
}

// failed is the error that ended the adapter; nil: none has.
func (n *nic) failed() error {
	if e := n.fault.Load(); e != nil {
		return *e
	}
	return nil
}

// rest sleeps until the link or the shard has something to do.
func (n *nic) rest() error {
	if n.in.left() > 0 {
		n.restForRoom()
		return nil
	}
	until := n.due()
	// As in Device.Wait: first say that the thread sleeps, then look whether it may.
	n.sleep.Store(nicOnLink)
	defer n.sleep.Store(nicAwake)
	if n.posted() || n.nif.closed.Load() {
		return nil
	}
	n.count.arm.Add(1)
	return n.inner.Wait(until)
}

// due is when the adapter has to go on by itself: packets that are held back, a budget that is there again, frames
// that the shard has to be told of.
func (n *nic) due() mono.Time {
	until := n.shape.wheel.Next()
	if n.untold {
		until = min(until, n.interruptAt())
	}
	if n.wakeAt != 0 {
		until = min(until, n.wakeAt)
	}
	return until
}

// posted reports whether there is a descriptor that the thread did not see, or an order.
func (n *nic) posted() bool {
	if n.reset.Load() {
		return true
	}
	idle := n.out.empty() && n.wakeAt == 0 && !n.faults.stopped && !n.shape.held
	return idle && n.ring.tail.Load() != n.head
}

// restForRoom sleeps while the receive ring is full. The link is not listened to: what arrives has no place, and
// what waits for room there goes on when the shard has received.
func (n *nic) restForRoom() {
	n.alarm.Quiet()
	n.sleep.Store(nicOnAlarm)
	defer n.sleep.Store(nicAwake)
	if n.posted() || n.nif.closed.Load() || n.canPlace() {
		return
	}
	n.count.arm.Add(1)
	n.alarm.SleepUntil(n.due(), n.nif.cfg.Clock)
}

// doorbell tells the adapter that the tail of the ring has moved.
func (n *nic) doorbell() {
	switch n.sleep.Load() {
	case nicOnLink:
		n.inner.Wake()
	case nicOnAlarm:
		n.alarm.Ring()
	}
}

// roomToReceive tells the adapter that the shard has given receive buffers back.
func (n *nic) roomToReceive() {
	if n.sleep.Load() == nicOnAlarm {
		n.alarm.Ring()
	}
}
