package pacing

import (
	"math"
	"testing"
	"time"
)

// A sender that was held back by its window makes up for the departures it missed since then, and for no more than the
// catch-up; afterwards the schedule is as before.
func TestPacerHeldBack(t *testing.T) {
	for _, c := range []struct {
		name    string
		since   time.Duration // before now
		catchUp time.Duration
		want    int64
	}{
		{"since a while", 5 * time.Millisecond, 20 * time.Millisecond, 5000 + 1000},
		{"longer than the catch-up", 50 * time.Millisecond, 20 * time.Millisecond, 20_000 + 1000},
		{"for less than a burst", 500 * time.Microsecond, 20 * time.Millisecond, 1000},
		{"without a catch-up: one burst", 50 * time.Millisecond, 0, 1000 + 1000},
	} {
		l := newPacedLoop(t, 1_000_000, 1000) // a burst each ms
		l.p.SetCatchUp(c.catchUp)
		l.now = l.now.Add(time.Second)
		l.p.HeldBack(l.now, l.now.Add(-c.since))
		var sent int64
		for n := l.p.Ready(l.now); n > 0; n = l.p.Ready(l.now) {
			l.p.Sent(l.now, n)
			sent += n
		}
		if sent != c.want {
			t.Errorf("%s: %d bytes at once, want %d", c.name, sent, c.want)
		}
		if wait := l.p.Next().Sub(l.now); wait <= 0 || wait > time.Millisecond {
			t.Errorf("%s: the next departure is %v away", c.name, wait)
		}
	}
}

// Who has to wait for the schedule is not held back by anything else, and who is not paced has no schedule.
func TestPacerHeldBackChangesNothing(t *testing.T) {
	l := newPacedLoop(t, 1_000_000, 1000)
	l.sendAll(math.MaxInt64)
	next := l.p.Next()
	l.p.HeldBack(l.now, l.now.Add(-time.Second))
	if l.p.Next() != next {
		t.Error("a departure in the future was brought forward")
	}
	var p Pacer
	p.HeldBack(l.now, l.now.Add(-time.Second))
	if p != (Pacer{}) {
		t.Error("an unpaced sender got a schedule")
	}
}
