package park

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// both runs f with each kind of sleep.
func both(t *testing.T, f func(t *testing.T, s *Spot)) {
	for _, virtual := range []bool{false, true} {
		t.Run(fmt.Sprintf("virtual=%v", virtual), func(t *testing.T) { f(t, New(virtual)) })
	}
}

func TestKernelSleeps(t *testing.T) {
	if s := New(false); haveFutex != (s.signal == nil) {
		t.Errorf("futex: %v, channel: %v", haveFutex, s.signal)
	}
}

// Each of two sides rings the other and sleeps: a ring that was lost would leave both asleep for ever.
func TestNoRingIsLost(t *testing.T) {
	both(t, func(t *testing.T, a *Spot) {
		b := New(a.signal != nil)
		const turns = 20_000
		var at atomic.Int64 // whose turn it is: even is ours
		wait := func(s *Spot, parity int64) {
			for at.Load()%2 != parity {
				s.Sleep(-1)
			}
		}
		var other sync.WaitGroup
		other.Go(func() {
			for range turns {
				wait(b, 1)
				at.Add(1)
				a.Ring()
			}
		})
		for range turns {
			wait(a, 0)
			at.Add(1)
			b.Ring()
		}
		other.Wait()
		if at.Load() != 2*turns {
			t.Errorf("%d turns, want %d", at.Load(), 2*turns)
		}
	})
}

func TestRingBeforeSleepCountsOnce(t *testing.T) {
	both(t, func(t *testing.T, s *Spot) {
		const long = 5 * time.Millisecond
		for range 100 { // it may wake without reason, but not each time
			s.Ring()
			s.Ring()
			s.Sleep(-1)
			begun := time.Now()
			if s.Sleep(long); time.Since(begun) >= long {
				return
			}
		}
		t.Error("the second of two rings ended a sleep of its own")
	})
}

// What rang before Quiet does not end the sleep after it; the next ring does.
func TestQuiet(t *testing.T) {
	both(t, func(t *testing.T, s *Spot) {
		s.Ring()
		s.Quiet()
		var rung atomic.Bool
		go func() {
			time.Sleep(10 * time.Millisecond)
			rung.Store(true)
			s.Ring()
		}()
		for s.Sleep(-1); !rung.Load(); s.Sleep(-1) { // it may wake without reason
		}
	})
}

func TestSleepEnds(t *testing.T) {
	both(t, func(t *testing.T, s *Spot) {
		for range 3 { // the timer is used again
			s.Sleep(time.Millisecond)
		}
		s.Sleep(0)
	})
}

func BenchmarkRingAwake(b *testing.B) {
	s := New(false)
	for b.Loop() {
		s.Ring()
	}
}

// BenchmarkTurn is there and back between two threads that sleep in turn, as shard and adapter do.
func BenchmarkTurn(b *testing.B) {
	for _, virtual := range []bool{false, true} {
		b.Run(fmt.Sprintf("virtual=%v", virtual), func(b *testing.B) {
			here, there := New(virtual), New(virtual)
			var stop atomic.Bool
			var other sync.WaitGroup
			other.Go(func() {
				runtime.LockOSThread()
				for !stop.Load() {
					there.Sleep(time.Second)
					here.Ring()
				}
			})
			runtime.LockOSThread()
			for b.Loop() {
				there.Ring()
				here.Sleep(time.Second)
			}
			stop.Store(true)
			there.Ring()
			runtime.UnlockOSThread()
			other.Wait()
		})
	}
}
