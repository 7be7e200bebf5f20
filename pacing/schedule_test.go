package pacing

import (
	"math"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
)

// A schedule that a test walks along.
type walk struct {
	*testing.T
	s   Schedule
	now mono.Time
}

func (w *walk) want(off int64, rate Rate, until int64) {
	w.Helper()
	if r, u := w.s.At(w.now, off); r != rate || u != until {
		w.Errorf("at %d: rate %d until %d, want %d until %d", off, r, u, rate, until)
	}
}

// A response's rate begins with its first byte and ends with its last: between two responses, and behind
// them, there is none.
func TestScheduleRateEndsWithTheResponse(t *testing.T) {
	w := &walk{T: t, now: pacerStart}
	w.want(0, 0, math.MaxInt64)
	if !w.s.Add(Range{From: 100, To: 200, Rate: 7}) || !w.s.Add(Range{From: 200, To: 300, Rate: 8}) ||
		!w.s.Add(Range{From: 400, To: 500, Rate: 9}) {
		t.Fatal("refused")
	}
	w.want(0, 0, 100)
	w.want(99, 0, 100)
	w.want(100, 7, 200)
	w.want(199, 7, 200)
	w.want(200, 8, 300)
	w.want(300, 0, 400)
	w.want(450, 9, 500)
	w.want(500, 0, math.MaxInt64)
	if w.s.Len() != 0 {
		t.Error("ranges are left:", w.s.Len())
	}
}

// A jump over several ranges drops them all.
func TestScheduleJump(t *testing.T) {
	w := &walk{T: t}
	for i := range int64(MaxRanges) {
		if !w.s.Add(Range{From: i * 10, To: i*10 + 10, Rate: Rate(i + 1)}) {
			t.Fatal("refused", i)
		}
	}
	w.want(55, 6, 60)
	if w.s.Len() != 3 || !w.s.Add(Range{From: 80, To: 90, Rate: 1}) {
		t.Error("no room after five have passed:", w.s.Len())
	}
	w.want(79, 8, 80)
	w.want(85, 1, 90)
}

// A ninth range joins the last and takes over: no part of the stream is without its rate.
func TestScheduleFull(t *testing.T) {
	w := &walk{T: t}
	for i := range int64(MaxRanges + 2) {
		if !w.s.Add(Range{From: i * 10, To: i*10 + 10, Rate: Rate(i + 1)}) {
			t.Fatal("refused", i)
		}
	}
	w.want(65, 7, 70)
	w.want(70, 10, 100)
	w.want(99, 10, 100)
}

// A range made with a guess of its length ends where the response ended.
func TestScheduleEnd(t *testing.T) {
	w := &walk{T: t}
	w.s.End(5)
	w.s.Add(Range{From: 10, To: math.MaxInt64, Rate: 3})
	if w.s.Add(Range{From: 20, To: 30}) {
		t.Error("a range inside an open one")
	}
	w.s.End(15)
	w.s.End(20) // beyond: nothing
	w.want(12, 3, 15)
	w.want(15, 0, math.MaxInt64)
	w.s.Add(Range{From: 30, To: math.MaxInt64, Rate: 4})
	w.s.End(30) // an empty response
	if w.s.Len() != 0 {
		t.Error("an empty range is kept")
	}
}

func TestScheduleRefuses(t *testing.T) {
	var s Schedule
	for _, r := range []Range{{From: -1, To: 5}, {From: 5, To: 5}, {From: 5, To: 4}} {
		if s.Add(r) {
			t.Errorf("%+v was taken", r)
		}
	}
	s.Add(Range{From: 10, To: 20})
	if s.Add(Range{From: 19, To: 30}) || s.Len() != 1 {
		t.Error("an overlap was taken")
	}
}

// Catching up: the rate is what the rest needs by the deadline, never below the suggestion, never above Max.
func TestScheduleCatchUp(t *testing.T) {
	const size = 1_000_000
	at := func(r Range, after time.Duration, off int64) Rate {
		var s Schedule
		r.To, r.Deadline = size, pacerStart.Add(4*time.Second)
		s.Add(r)
		rate, _ := s.At(pacerStart.Add(after), off)
		return rate
	}
	for _, c := range []struct {
		what  string
		r     Range
		after time.Duration
		off   int64
		want  Rate
	}{
		{"in time: as suggested", Range{Rate: 300_000, CatchUp: true}, 0, 0, 300_000},
		{"behind: what the rest needs", Range{Rate: 300_000, CatchUp: true}, 3 * time.Second, 500_000, 500_000},
		{"behind, bounded", Range{Rate: 300_000, CatchUp: true, Max: 400_000}, 3 * time.Second, 500_000, 400_000},
		{"behind, without catch-up", Range{Rate: 300_000}, 3 * time.Second, 500_000, 300_000},
		{"nothing suggested: just in time", Range{CatchUp: true}, 0, 0, 250_000},
		{"just in time, rounded up", Range{CatchUp: true}, time.Second, 0, 333_334},
		{"too late: as fast as it goes", Range{Rate: 300_000, CatchUp: true}, 4 * time.Second, 500_000, 0},
		{"too late, bounded", Range{Rate: 300_000, CatchUp: true, Max: 400_000}, 5 * time.Second, 500_000, 400_000},
		{"a bound below the suggestion", Range{Rate: 300_000, CatchUp: true, Max: 1}, 3 * time.Second, 0, 300_000},
		{"a nanosecond left", Range{CatchUp: true, Max: 9}, 4*time.Second - 1, 0, 9},
		{"a nanosecond left, unbounded", Range{CatchUp: true}, 4*time.Second - 1, 0, MaxRate},
	} {
		if got := at(c.r, c.after, c.off); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}

// A response behind its schedule, paced by a Pacer that follows the catch-up rate, ends at its deadline, not
// a burst later.
func TestScheduleMeetsItsDeadline(t *testing.T) {
	const size = 3_000_000
	var s Schedule
	deadline := pacerStart.Add(2 * time.Second)
	s.Add(Range{To: size, Rate: 1_000_000, Deadline: deadline, CatchUp: true})
	var p Pacer
	sent, now := int64(0), pacerStart.Add(500*time.Millisecond)
	for sent < size {
		if p.Next() <= now { // the rate is asked for at a departure: what was sent ahead of time is paid for then
			r, _ := s.At(now, sent)
			p.SetRate(now, r, Quantum(r, Burst, 1448))
		}
		if n := min(p.Ready(now), size-sent); n > 0 {
			p.Sent(now, n)
			sent += n
			continue
		}
		now = p.Next()
	}
	if early := deadline.Sub(now); early < 0 || early > 2*time.Millisecond {
		t.Errorf("ended %v before the deadline", early)
	}
}
