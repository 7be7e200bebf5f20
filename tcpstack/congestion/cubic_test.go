package congestion

import (
	"math"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
)

func TestCbrt(t *testing.T) {
	for _, x := range []uint64{0, 1, 7, 8, 9, 26, 27, 1e9, 1<<63 - 1, 1 << 63, math.MaxUint64} {
		y := cbrt(x)
		above := float64(y+1) * float64(y+1) * float64(y+1)
		if y*y*y > x || above < float64(x) {
			t.Errorf("cbrt(%d) = %d", x, y)
		}
	}
}

// play runs c for d with the window always full: each round trip delivers what the window was, a burst at
// a time. It returns the time.
func play(c Controller, now mono.Time, d, rtt time.Duration) mono.Time {
	return playBursts(c, now, d, rtt, 10)
}

func playBursts(c Controller, now mono.Time, d, rtt time.Duration, bursts int64) mono.Time {
	for end := now.Add(d); now < end; {
		w := c.Window()
		for range bursts {
			now = now.Add(rtt / time.Duration(bursts))
			c.Acked(now, Ack{Delivered: w / bursts, InFlight: c.Window(), RTT: rtt})
		}
	}
	return now
}

// grown is a controller that lost at a window of n bytes.
func grown(n int64) (*Cubic, mono.Time) {
	c := NewCubic(mss)
	now := mono.Time(time.Hour)
	c.Acked(now, Ack{Delivered: n - c.Window(), InFlight: n})
	now = now.Add(time.Millisecond)
	c.Lost(now, Loss{InFlight: n})
	return c, now
}

// Where slow start ended without a loss the window grows by a twentieth per round trip; after a loss it follows the curve.
func TestCubicLooksForTheEnd(t *testing.T) {
	c, now := NewCubic(mss), mono.Time(time.Hour)
	c.cwnd, c.ssthresh = 200*mss, 200*mss
	play(c, now, time.Second, 20*time.Millisecond)
	if got := c.Window() / mss; got < 200*11 || got > 200*13 { // 1.05^50 = 11.5
		t.Errorf("%d segments after 50 round trips, of 200", got)
	}
	c, now = grown(200 * mss)
	before := c.Window()
	play(c, now, 20*time.Millisecond, 20*time.Millisecond)
	if c.Window() > before+before/30 {
		t.Errorf("%d bytes a round trip after a loss, of %d", c.Window(), before)
	}
}

// RFC 9438 section 4.2: the integers follow W(t) = C*(t-K)^3 + W_max, K = cbrt((W_max-cwnd)/C), whatever the window. Below
// W_max whole segments are missing, or 32nds of the window, fewer than the curve says by less than one.
func TestCubicCurve(t *testing.T) {
	for _, w := range []int64{20_000, 1_000_000, 50_000_000, 10_000_000_000} {
		c, now := grown(w)
		c.beginEpoch(now)
		wMax, start := float64(w)/mss, float64(c.Window())/mss
		k := math.Cbrt((wMax - start) / 0.4)
		if got := float64(c.k) / 1024; math.Abs(got-k) > 0.002 {
			t.Errorf("W_max %.0f: K = %.4f s, want %.4f", wMax, got, k)
		}
		for _, s := range []float64{0, 0.1, 1, k / 2, k, k + 1, 2 * k} {
			want := 0.4*math.Pow(s-k, 3) + wMax
			got := float64(c.curve(time.Duration(s*1e9))) / mss
			slope := 3 * 0.4 * (s - k) * (s - k) // a tick of time is 1/1024 s, and K is a tick off
			above, slack := got-want, 0.01+slope/300
			if s < k {
				unit := min(mss, w/32+1)
				if missing := w - c.curve(time.Duration(s*1e9)); missing%unit != 0 {
					t.Errorf("W_max %.0f, t %.3f: %d bytes are missing", wMax, s, missing)
				}
				above = max(0, above-float64(unit)/mss) + min(0, above)
			}
			if math.Abs(above) > slack {
				t.Errorf("W_max %.0f, t %.3f: %.3f segments, want %.3f", wMax, s, got, want)
			}
		}
	}
}

// After a loss at W the window is 0.7 W (section 4.6), stays below W until K, and is W there: independent
// of the round-trip time, which is the point of CUBIC.
func TestCubicReturnsAfterK(t *testing.T) {
	for _, rtt := range []time.Duration{10 * time.Millisecond, 40 * time.Millisecond, 200 * time.Millisecond} {
		const w = 10_000_000
		c, now := grown(w)
		if got := c.Window(); got != w/10*7 {
			t.Fatalf("reduced to %d", got)
		}
		k := time.Duration(math.Cbrt(0.3*w/mss/0.4) * 1e9) // 19.57 s
		now = play(c, now, k/2, rtt)
		half := float64(c.Window()) / w
		play(c, now, k-k/2, rtt)
		// Halfway the cubic has made up 7/8 of the reduction. The target is what it has a round trip later, rounded up.
		later := 1 - 0.3*math.Pow(0.5-rtt.Seconds()/k.Seconds(), 3) + float64(mss)/w
		if full := float64(c.Window()) / w; half < 0.9625 || half > later || math.Abs(full-1) > 0.001 {
			t.Errorf("rtt %v: after K/2 %.6f W, at most %.6f, after K %.4f W", rtt, half, later, full)
		}
	}
}

// Section 4.4: when a window has been acknowledged the window is what the curve has for one round trip later, also where
// the ACKs come in a burst, however many there are; it never is above that.
func TestCubicBurstReachesTarget(t *testing.T) {
	const w, rtt = 10_000_000, 200 * time.Millisecond
	for _, acks := range []int64{1, 2, 10, 1000} {
		c, now := grown(w)
		for round := range 20 {
			now = now.Add(rtt)
			n := c.Window() / acks
			for range acks {
				c.Acked(now, Ack{Delivered: n, InFlight: c.Window(), RTT: rtt})
			}
			want := c.curve(now.Sub(c.epoch) + rtt)
			if got := c.Window(); got > want || got < want-2*acks-want/1000 {
				t.Fatalf("%d ACKs, round %d: a window of %d, the curve has %d", acks, round, got, want)
			}
		}
	}
}

// Many small ACKs reach the same window as few large ones, although the share of each rounds down to nothing.
func TestCubicSmallAcks(t *testing.T) {
	const w, rtt = 10_000_000, 10 * time.Millisecond
	few, now := grown(w)
	many, _ := grown(w)
	for range 2 { // halfway, and at the plateau
		playBursts(few, now, 10*time.Second, rtt, 4)
		now = playBursts(many, now, 10*time.Second, rtt, 1000)
		if r := float64(many.Window()) / float64(few.Window()); math.Abs(r-1) > 0.002 {
			t.Errorf("%d with 1000 ACKs per round trip, %d with 4", many.Window(), few.Window())
		}
	}
}

// Section 4.3: where the cubic is slower than Reno, Reno's average rate is the floor: 9/17 of a segment per
// round trip up to W_max, then one.
func TestCubicRenoFriendly(t *testing.T) {
	const rtt = 2 * time.Millisecond
	c, now := grown(20_000) // 14 segments after the loss; K is 2.5 s
	now = play(c, now, 12*rtt, rtt)
	if w := c.Window(); w < 19_000 || w > 21_000 {
		t.Errorf("12 round trips after 14 segments: %d bytes, want 14+12*9/17 = 20 segments", w)
	}
	before := c.Window()
	play(c, now, 10*rtt, rtt)
	if grew := c.Window() - before; grew < 8*mss || grew > 11*mss {
		t.Errorf("10 round trips above W_max: %d bytes more, want one segment each", grew)
	}
}

// Section 4.7: a second loss below W_max gives bandwidth up: W_max becomes 0.85 of that window.
func TestCubicFastConvergence(t *testing.T) {
	c, now := grown(1_000_000)
	c.Lost(now, Loss{InFlight: 700_000})
	if c.wMax != 595_000 || c.Window() != 490_000 {
		t.Errorf("W_max %d, window %d", c.wMax, c.Window())
	}
}

// A window that has come back to where it was, but for a part of a segment, has not lost below W_max.
func TestCubicConvergesBelowASegment(t *testing.T) {
	for missing, want := range map[int64]int64{0: 30_000, 1: 29_999, mss - 1: 29_001, mss: 29_000 / 20 * 17} {
		c, now := grown(30_000)
		c.cwnd = 30_000 - missing
		c.Lost(now.Add(time.Second), Loss{InFlight: c.cwnd})
		if c.wMax != want {
			t.Errorf("lost again %d bytes below: W_max %d, want %d", missing, c.wMax, want)
		}
	}
}

// Section 5.8: time without traffic does not grow the window.
func TestCubicIdleTime(t *testing.T) {
	c, now := grown(10_000_000)
	now = play(c, now, time.Second, 10*time.Millisecond)
	before := c.Window()
	c.Acked(now, Ack{Delivered: 1000, InFlight: 1000, AppLimited: true, RTT: 10 * time.Millisecond})
	now = now.Add(time.Minute)
	c.Acked(now, Ack{Delivered: 10_000, InFlight: before, RTT: 10 * time.Millisecond})
	if grew := c.Window() - before; grew > 2*mss {
		t.Errorf("a minute of silence grew the window by %d", grew)
	}
}

// Section 4.8: slow start to 0.7 of what was, then a curve that begins at its own plateau.
func TestCubicTimeout(t *testing.T) {
	c, now := grown(1_000_000)
	c.Timeout(now, Loss{InFlight: 700_000})
	if c.Window() != mss || c.SSThresh() != 490_000 {
		t.Fatalf("window %d, ssthresh %d", c.Window(), c.SSThresh())
	}
	for c.Window() < c.SSThresh() {
		now = now.Add(time.Millisecond)
		c.Acked(now, Ack{Delivered: c.Window(), InFlight: c.Window(), InRecovery: true, RTT: time.Millisecond})
	}
	if c.Window() != 490_000 {
		t.Fatalf("slow start overshot to %d", c.Window())
	}
	c.Acked(now, Ack{Delivered: 1000, InFlight: 490_000, RTT: time.Millisecond})
	if c.k != 0 || c.origin != 490_000 {
		t.Errorf("K %d, plateau %d", c.k, c.origin)
	}
}
