package congestion

import (
	"math"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
)

const mss = 1000

// RFC 6928 section 2.
func TestInitialWindow(t *testing.T) {
	for _, c := range []struct {
		mss  int
		want int64
	}{{536, 5360}, {1448, 14480}, {1460, 14600}, {2000, 14600}, {8948, 17896}, {1, 10}} {
		if got := InitialWindow(c.mss); got != c.want {
			t.Errorf("InitialWindow(%d) = %d, want %d", c.mss, got, c.want)
		}
	}
}

// A step of a NewReno story: what happens, and the window and threshold (in bytes) after it.
type step struct {
	name           string
	do             func(c *NewReno)
	cwnd, ssthresh int64
}

func acked(n, inFlight int64) func(*NewReno) {
	return func(c *NewReno) { c.Acked(1, Ack{Delivered: n, InFlight: inFlight}) }
}

func recovering(n, inFlight int64) func(*NewReno) {
	return func(c *NewReno) { c.Acked(1, Ack{Delivered: n, InFlight: inFlight, InRecovery: true}) }
}

func lost(inFlight int64) func(*NewReno) {
	return func(c *NewReno) { c.Lost(1, Loss{InFlight: inFlight}) }
}
func expire(inFlight int64) func(*NewReno) {
	return func(c *NewReno) { c.Timeout(1, Loss{InFlight: inFlight}) }
}

// RFC 5681 section 3.1 and equation (4), by bytes: RFC 3465 sections 2.1 and 2.2.
func TestNewReno(t *testing.T) {
	const none = math.MaxInt64
	tell(t, []step{
		{"initial window", func(*NewReno) {}, 10_000, none},
		{"slow start counts bytes", acked(4000, 10_000), 14_000, none},
		{"one ACK of 64 KiB counts whole", acked(64_000, 64_000), 78_000, none},
		{"half the flight is lost", lost(78_000), 39_000, 39_000},
		{"no growth in recovery", recovering(30_000, 39_000), 39_000, 39_000},
		{"avoidance: not yet a window", acked(38_999, 39_000), 39_000, 39_000},
		{"avoidance: a window, a segment", acked(1, 39_000), 40_000, 39_000},
		{"avoidance: the rest is kept", acked(60_000, 40_000), 41_000, 39_000},
		{"avoidance: and used", acked(21_000, 41_000), 42_000, 39_000},
		{"a small flight: 2 segments at least", lost(1000), 2000, 2000},
	})
}

// RFC 5681 section 3.1: the loss window, and ssthresh once per episode.
func TestNewRenoTimeout(t *testing.T) {
	tell(t, []step{
		{"grow", acked(30_000, 10_000), 40_000, math.MaxInt64},
		{"time-out", expire(40_000), 1000, 20_000},
		{"again: ssthresh is held", expire(1000), 1000, 20_000},
		{"slow start while in Loss", recovering(1000, 1000), 2000, 20_000},
		{"what was delivered before does not count", recovering(30_000, 2000), 4000, 20_000},
		{"up to ssthresh", recovering(64_000, 16_000), 20_000, 20_000},
		{"then avoidance", recovering(20_000, 20_000), 21_000, 20_000},
		{"a later episode reduces again", acked(100, 21_000), 21_000, 20_000},
		{"time-out", expire(21_000), 1000, 10_500},
	})
}

// RFC 7661 section 4.2, RFC 3465 section 2.3: a window that is not used does not grow.
func TestNewRenoValidation(t *testing.T) {
	tell(t, []step{
		{"half used", acked(5000, 5000), 15_000, math.MaxInt64},
		{"less than half", acked(5000, 7499), 15_000, math.MaxInt64},
		{"limited by the application", func(c *NewReno) { c.Acked(1, Ack{Delivered: 5000, InFlight: 15_000, AppLimited: true}) }, 15_000, math.MaxInt64},
		{"grow", acked(85_000, 15_000), 100_000, math.MaxInt64},
		{"idle before any loss", func(c *NewReno) { c.Idle(1) }, 10_000, math.MaxInt64},
		{"grow", acked(90_000, 10_000), 100_000, math.MaxInt64},
		{"lost", lost(100_000), 50_000, 50_000},
		{"grow", acked(50_000, 50_000), 51_000, 50_000},
		{"idle after a loss keeps 3/4 as ssthresh", func(c *NewReno) { c.Idle(1) }, 10_000, 50_000},
		{"smaller segments", func(c *NewReno) { c.SetMSS(500) }, 10_000, 50_000},
		{"larger than the window", func(c *NewReno) { c.SetMSS(20_000) }, 20_000, 50_000},
	})
}

func tell(t *testing.T, steps []step) {
	t.Helper()
	c := NewNewReno(mss)
	for _, s := range steps {
		s.do(c)
		t.Logf("%-40s cwnd %d ssthresh %d", s.name, c.Window(), c.SSThresh())
		if c.Window() != s.cwnd || c.SSThresh() != s.ssthresh {
			t.Fatalf("%s: cwnd %d, ssthresh %d, want %d, %d", s.name, c.Window(), c.SSThresh(), s.cwnd, s.ssthresh)
		}
	}
}

func TestRegistry(t *testing.T) {
	for _, name := range Names() {
		c, err := New(name, mss)
		if err != nil || c.Name() != name || c.Window() != InitialWindow(mss) {
			t.Errorf("New(%q) = %v, %v", name, c, err)
		}
	}
	if c, err := New("", mss); err != nil || c.Name() != Default {
		t.Errorf("New of nothing: %v, %v", c, err)
	}
	_, err := New("vegas", mss)
	if want := `unknown congestion control "vegas"; there are: bbr, cubic, dctcp, newreno`; err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

// FuzzControllers: whatever happens, a window is at least a segment, grows by no more than was delivered,
// and shrinks only where it is told to.
func FuzzControllers(f *testing.F) {
	f.Add([]byte{0, 200, 0, 255, 1, 100, 0, 255, 2, 0, 0, 3, 5, 0, 9})
	f.Fuzz(func(t *testing.T, ops []byte) {
		for _, name := range Names() {
			c, _ := New(name, mss)
			now := mono.Time(time.Hour)
			size := int64(mss)
			for i := 0; i+1 < len(ops); i += 2 {
				v := int64(ops[i+1])
				before := c.Window()
				now = now.Add(time.Duration(ops[i]>>4) * 100 * time.Millisecond)
				switch ops[i] % 8 {
				case 1:
					c.Lost(now, Loss{InFlight: v << 12})
					if c.Window() > max(before, 2*size) {
						t.Fatalf("%s: a loss grew the window from %d to %d", name, before, c.Window())
					}
				case 2:
					c.Timeout(now, Loss{InFlight: v << 12})
					if c.Window() != size {
						t.Fatalf("%s: the loss window is %d", name, c.Window())
					}
				case 3:
					c.(Idler).Idle(now)
				case 4:
					size = v*8 + 1
					c.(MSSSetter).SetMSS(int(size))
				default:
					n := v * size
					c.Acked(now, Ack{Delivered: n, InFlight: c.Window() * int64(ops[i]>>4) / 12, InRecovery: ops[i]&8 != 0, RTT: time.Duration(v) * time.Millisecond})
					if (name == "newreno" || name == "cubic") && (c.Window() < before || c.Window() > before+max(n, size)) {
						t.Fatalf("%s: %d bytes delivered moved the window from %d to %d", name, n, before, c.Window())
					}
				}
				if c.Window() < size || c.(Thresholder).SSThresh() < 1 {
					t.Fatalf("%s: window %d, ssthresh %d, segment %d", name, c.Window(), c.(Thresholder).SSThresh(), size)
				}
			}
		}
	})
}

func TestNoAllocations(t *testing.T) {
	for _, name := range Names() {
		c, _ := New(name, mss)
		now := mono.Time(time.Hour)
		c.Lost(now, Loss{InFlight: 1 << 20})
		if n := testing.AllocsPerRun(1000, func() {
			now = now.Add(time.Millisecond)
			c.Acked(now, Ack{Delivered: 2 * mss, InFlight: c.Window(), RTT: 10 * time.Millisecond})
		}); n != 0 {
			t.Errorf("%s: %v allocations per ACK", name, n)
		}
	}
}

func BenchmarkAcked(b *testing.B) {
	for _, name := range Names() {
		b.Run(name, func(b *testing.B) {
			c, _ := New(name, 1448)
			now := mono.Time(time.Hour)
			c.Lost(now, Loss{InFlight: 10 << 20})
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(10 * time.Microsecond)
				c.Acked(now, Ack{Delivered: 2 * 1448, InFlight: c.Window(), RTT: 10 * time.Millisecond})
			}
		})
	}
}
