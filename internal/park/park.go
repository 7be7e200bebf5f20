// Package park is a sleep that another thread ends.
//
// The threads of shards and adapters are locked to their goroutines. Where such a goroutine sleeps on a channel, Go's scheduler
// wakes a second thread to hand the processor on to, and a third to find the sleeper again: three futex calls and as many switches of
// context for one sleep. A [Spot] is one word that the sleeper waits on in the kernel (futex(2)) and the other side changes, one
// call each. The sleeper keeps its processor of the scheduler meanwhile, as in any system call: GOMAXPROCS should leave some for others.
package park

import (
	"sync/atomic"
	"time"

	"ocaserve/tcpstack/mono"
)

// A Spot is where one goroutine at a time sleeps, until any other rings or its time is over. Make it with New.
type Spot struct {
	state atomic.Uint32
	// Where the kernel has no futex, or time is virtual (testing/synctest knows who sleeps on channels, not in the kernel).
	signal chan struct{} // holds one; nil: the kernel's
	timer  *time.Timer   // made by the first sleep with an end

	_ [40]byte // to a cache line of its own
}

// The values of Spot.state.
const (
	quiet    = iota
	rung     // and nobody has woken for it yet
	sleeping // in the kernel, or about to
)

// New returns a Spot whose sleep is the kernel's, or, virtual, the Go scheduler's.
func New(virtual bool) *Spot {
	s := new(Spot)
	if virtual || !haveFutex {
		s.signal = make(chan struct{}, 1)
	}
	return s
}

// Ring ends the current or the next Sleep. Any number of them end one.
func (s *Spot) Ring() {
	if s.signal == nil {
		if s.state.Swap(rung) == sleeping {
			futexWake(&s.state)
		}
		return
	}
	select {
	case s.signal <- struct{}{}:
	default: // one is on its way
	}
}

// Quiet forgets a Ring that nobody has slept for. The sleeper calls it.
func (s *Spot) Quiet() {
	if s.signal == nil {
		s.state.Store(quiet)
		return
	}
	select {
	case <-s.signal:
	default:
	}
}

// Sleep ends at the next Ring, at once if there was one since the last Sleep or Quiet, or after d; negative: only at a
// Ring. It may end early without reason.
func (s *Spot) Sleep(d time.Duration) {
	if s.signal != nil {
		s.sleepOnChannel(d)
		return
	}
	if s.state.CompareAndSwap(quiet, sleeping) {
		futexWait(&s.state, sleeping, d)
	}
	s.state.Store(quiet)
}

// SleepUntil is Sleep until an instant on the given clock; mono.Never: only a Ring ends it.
func (s *Spot) SleepUntil(until mono.Time, clock func() mono.Time) {
	if until == mono.Never {
		s.Sleep(-1)
	} else if left := until.Sub(clock()); left > 0 {
		s.Sleep(left)
	}
}

func (s *Spot) sleepOnChannel(d time.Duration) {
	if d < 0 {
		<-s.signal
		return
	}
	if s.timer == nil {
		s.timer = time.NewTimer(d)
	} else {
		s.timer.Reset(d)
	}
	select {
	case <-s.signal:
		s.timer.Stop() // since Go 1.23 no stale value can be left in the channel
	case <-s.timer.C:
	}
}
