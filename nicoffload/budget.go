package nicoffload

import (
	"sync/atomic"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/mono"
)

const (
	// burst is how far ahead of its rate a budget may be used: what an adapter's own buffers smooth.
	budgetBurst = 100 * time.Microsecond
	// A read over PCIe comes in completions of at most 256 bytes, each with about 24 bytes of headers, and a
	// descriptor is 64 bytes.
	tlpPayload  = 256
	tlpOverhead = 24
	descBytes   = 64
)

// busBytes is what moving n bytes of payload takes on the bus.
func busBytes(n int) int { return n + (n+tlpPayload-1)/tlpPayload*tlpOverhead + descBytes }

// dramBytes is what it takes of the host's memory, in whole cache lines.
func dramBytes(n int) int { return (n + cacheLine - 1) &^ (cacheLine - 1) }

// A meter is a budget that all queues share (the generic cell rate algorithm, ITU-T I.371): free is when all
// that was taken will have gone through. The rate 0 is no limit.
type meter struct {
	rate pacing.Rate
	free atomic.Int64
	used atomic.Uint64
}

// until is when something can be taken again; 0: now.
func (m *meter) until(now mono.Time) mono.Time {
	if free := mono.Time(m.free.Load()); m.rate > 0 && free > now.Add(budgetBurst) {
		return free.Add(-budgetBurst)
	}
	return 0
}

// take uses n of the budget.
func (m *meter) take(now mono.Time, n int) {
	m.used.Add(uint64(n))
	if m.rate == 0 {
		return
	}
	for {
		free := m.free.Load()
		next := max(free, int64(now)) + int64(m.rate.Duration(int64(n)))
		if m.free.CompareAndSwap(free, next) {
			return
		}
	}
}

// charge takes what descriptor d costs of the budgets, or says until when they are used up.
func (n *nic) charge(now mono.Time, d *desc) mono.Time {
	f := n.nif
	until := max(f.bus.until(now), f.dram.until(now), f.packets.until(now))
	if n.stall.note(now, until, &n.count); n.stall.until != mono.Time(n.saturated.Load()) {
		n.saturated.Store(int64(n.stall.until))
	}
	if until != 0 || d.op == opNop {
		return until
	}
	bytes := len(d.data) + d.fetch
	f.bus.take(now, busBytes(bytes))
	f.dram.take(now, dramBytes(bytes))
	if d.op == opFrame {
		f.packets.take(now, packets(d.gso, d.payload))
	}
	return 0
}

// charged takes what n received bytes cost. The wire does not wait for the bus: it is only transmission that is
// held back when both together are too much.
func (n *nic) charged(now mono.Time, bytes int) {
	n.nif.bus.take(now, busBytes(bytes))
	n.nif.dram.take(now, dramBytes(bytes))
}

const (
	// A queue is saturated when it was stalled for half of a window, and no longer when it was for less than a
	// fifth. Left alone it recovers after saturationHold.
	saturationWindow = 4 * time.Millisecond
	saturationHold   = 16 * time.Millisecond
)

// stalled measures how long a queue could not go on because a budget was used up.
type stalled struct {
	window mono.Time     // when the window began
	total  time.Duration // stalled in it
	since  mono.Time     // when the stall under way began, or the window if later; 0: none
	ends   mono.Time     // when its budget is there again
	until  mono.Time     // the queue is saturated before this time
}

// note is told before each descriptor when the budgets will be there for it; 0: now. A thread that comes back late
// was not stalled for longer.
func (s *stalled) note(now, until mono.Time, count *nicCounters) {
	if s.since != 0 {
		d := max(0, min(now, s.ends).Sub(s.since))
		s.total += d
		count.stalledNs.Add(uint64(d))
		s.since = 0
	} else if until != 0 {
		count.stalls.Add(1)
	}
	if now.Sub(s.window) >= saturationWindow {
		s.judge(now)
	}
	if until != 0 {
		s.since, s.ends = now, until
	}
}

// judge ends a window.
func (s *stalled) judge(now mono.Time) {
	length := now.Sub(s.window)
	if on := s.until > now; 2*s.total >= length || on && 5*s.total >= length {
		s.until = now.Add(saturationHold)
	} else {
		s.until = 0
	}
	s.window, s.total = now, 0
}

// isSaturated reports whether the queue's budgets are used up. The clock is read only if there is doubt.
func (n *nic) isSaturated(clock func() mono.Time) bool {
	until := n.saturated.Load()
	return until != 0 && mono.Time(until) > clock()
}
