package congestion

import (
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
)

// filled is a controller of a flight of 100 segments.
func filled(t *testing.T, name string) (Controller, mono.Time) {
	c, err := New(name, mss)
	if err != nil {
		t.Fatal(err)
	}
	now := mono.Time(time.Hour)
	var delivered int64
	for c.Window() < 100*mss {
		now = now.Add(10 * ms)
		e := Ack{Delivered: c.Window(), InFlight: c.Window(), RTT: 10 * ms, Una: delivered, Next: delivered + c.Window()}
		delivered += e.Delivered
		e.Rate = RateSample{Delivered: delivered, PriorDelivered: delivered - e.Delivered, Interval: 10 * ms, TxInFlight: e.Delivered}
		c.Acked(now, e)
	}
	return c, now
}

// RFC 4015 section 3.2 (ReCC), RFC 9438 section 4.9, draft-ietf-ccwg-bbr-06 section 5.5.11: the window of
// before, once.
func TestUndo(t *testing.T) {
	for _, name := range Names() {
		for _, what := range []string{"loss", "time-out", "time-outs"} {
			c, now := filled(t, name)
			w, ssthresh := c.Window(), c.(Thresholder).SSThresh()
			now = now.Add(ms)
			switch what {
			case "loss":
				c.Lost(now, Loss{InFlight: w})
			case "time-outs":
				c.Timeout(now, Loss{InFlight: w})
				fallthrough
			case "time-out":
				c.Timeout(now, Loss{InFlight: w})
			}
			reduced := c.Window()
			c.(Undoer).Undo(now.Add(ms))
			if c.Window() != w || c.(Thresholder).SSThresh() != ssthresh {
				t.Errorf("%s: %s took the window from %d to %d, undo to %d; ssthresh %d", name, what, w, reduced, c.Window(), c.(Thresholder).SSThresh())
			}
			c.Timeout(now.Add(2*ms), Loss{InFlight: w})
			c.(Undoer).Undo(now)
			c.(Undoer).Undo(now)
			if c.Window() != w {
				t.Errorf("%s: two of them after one time-out: %d", name, c.Window())
			}
		}
	}
}

// There is nothing to take back at first, nor after an ECN echo, which the network itself sent.
func TestUndoOfNothing(t *testing.T) {
	for _, name := range []string{"newreno", "cubic", "dctcp"} {
		c, now := filled(t, name)
		w := c.Window()
		c.(Undoer).Undo(now)
		if c.Window() != w {
			t.Errorf("%s: undo of nothing: %d, was %d", name, c.Window(), w)
		}
		c.Lost(now, Loss{InFlight: w, ECN: true})
		w = c.Window()
		c.(Undoer).Undo(now)
		if c.Window() != w {
			t.Errorf("%s: undo of an ECN echo: %d, was %d", name, c.Window(), w)
		}
	}
}

// RFC 9438 section 4.9: the curve goes on where it was, and the time of the episode does not count.
func TestUndoRestoresTheCurve(t *testing.T) {
	a, now := grown(10_000_000)
	b, _ := grown(10_000_000)
	now = play(a, now, 3*time.Second, 10*ms)
	play(b, now.Add(-3*time.Second), 3*time.Second, 10*ms)
	b.Lost(now, Loss{InFlight: b.Window()})
	b.Undo(now.Add(5 * time.Second))
	play(a, now, 3*time.Second, 10*ms)
	play(b, now.Add(5*time.Second), 3*time.Second, 10*ms)
	if d := a.Window() - b.Window(); d < -5*mss || d > 5*mss {
		t.Errorf("%d without the episode, %d with it", a.Window(), b.Window())
	}
}

// RFC 8511 section 3: 0.8 for Reno, 0.85 for CUBIC, in congestion avoidance only.
func TestABE(t *testing.T) {
	for name, want := range map[string]int64{"newreno": 80, "cubic": 85} {
		c, now := filled(t, name)
		c.Lost(now, Loss{InFlight: 200 * mss})
		c.(Seeder).Seed(now, 100*mss, 50*mss, 0)
		c.Lost(now, Loss{InFlight: 100 * mss, ECN: true})
		if c.Window() != want*mss {
			t.Errorf("%s: %d of 100 segments, want %d", name, c.Window()/mss, want)
		}
	}
	c := NewNewReno(mss)
	c.Seed(1, 100*mss, infinite, 0)
	c.Lost(1, Loss{InFlight: 100 * mss, ECN: true})
	if c.Window() != 50*mss {
		t.Errorf("in slow start: %d, want half", c.Window())
	}
}

// A controller that takes over goes on with the window it finds.
func TestSeed(t *testing.T) {
	for _, name := range Names() {
		c, _ := New(name, mss)
		c.(Seeder).Seed(mono.Time(time.Hour), 123_000, 50_000, 20*ms)
		if c.Window() != 123_000 {
			t.Errorf("%s: window %d", name, c.Window())
		}
		if p, ok := c.(Pacer); ok && (p.PacingRate() < 123_000*50 || p.PacingRate() > 123_000*50*3) {
			t.Errorf("%s: rate %d of a window of 123000 per 20 ms", name, p.PacingRate())
		}
		c, _ = New(name, mss)
		c.(Seeder).Seed(1, 0, 0, 0)
		if c.Window() < mss {
			t.Errorf("%s: window %d", name, c.Window())
		}
	}
}
