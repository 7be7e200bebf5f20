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

// RFC 5681 equation (4) for a loss, and by bytes: RFC 3465 sections 2.1 and 2.2.
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
		{"less than half, since the rest of the window waits for its departure", func(c *NewReno) { c.Acked(1, Ack{Delivered: 1000, InFlight: 7499, Spread: true}) }, 16_000, math.MaxInt64},
		{"limited by the application", func(c *NewReno) { c.Acked(1, Ack{Delivered: 5000, InFlight: 16_000, AppLimited: true}) }, 16_000, math.MaxInt64},
		{"grow", acked(84_000, 16_000), 100_000, math.MaxInt64},
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

// FuzzControllers: whatever happens, a window is at least a segment and never overflows; NewReno and CUBIC grow
// by no more than was delivered and shrink only where they are told to, and no loss grows a window.
func FuzzControllers(f *testing.F) {
	f.Add([]byte{0, 200, 0, 255, 1, 100, 0, 255, 2, 0, 0, 3, 5, 0, 9})
	f.Add([]byte{0, 9, 16, 50, 23, 99, 80, 255, 1, 255, 7, 0, 6, 30, 6, 31, 2, 4, 7, 0, 255, 255, 22, 255})
	f.Fuzz(func(t *testing.T, ops []byte) {
		for _, name := range Names() {
			c, _ := New(name, mss)
			s := &fuzzStory{T: t, c: c, size: mss, now: mono.Time(time.Hour)}
			for i := 0; i+1 < len(ops); i += 2 {
				s.step(ops[i], int64(ops[i+1]))
			}
		}
	})
}

type fuzzStory struct {
	*testing.T
	c         Controller
	now       mono.Time
	size      int64 // of a segment
	una       int64
	delivered int64
}

func (s *fuzzStory) step(op byte, v int64) {
	before := s.c.Window()
	s.now = s.now.Add(time.Duration(op>>4) * 100 * time.Millisecond)
	switch op % 8 {
	case 1:
		s.c.Lost(s.now, Loss{InFlight: v << 12, ECN: op&8 != 0})
		if s.c.Window() > max(before, 2*s.size) {
			s.Fatalf("%s: a loss grew the window from %d to %d", s.c.Name(), before, s.c.Window())
		}
	case 2:
		s.c.Timeout(s.now, Loss{InFlight: v << 12})
		if s.c.Window() != s.size {
			s.Fatalf("%s: the loss window is %d", s.c.Name(), s.c.Window())
		}
	case 3:
		if c, ok := s.c.(Idler); ok {
			c.Idle(s.now)
		}
	case 4:
		s.size = v*8 + 1
		s.c.(MSSSetter).SetMSS(int(s.size))
	case 7:
		s.c.(Undoer).Undo(s.now)
	default:
		s.ack(op, v)
	}
	if s.c.Window() < s.size || s.c.Window() > 1<<50 {
		s.Fatalf("%s: window %d, segment %d", s.c.Name(), s.c.Window(), s.size)
	}
	if c, ok := s.c.(Thresholder); ok && c.SSThresh() < 1 {
		s.Fatalf("%s: ssthresh %d", s.c.Name(), c.SSThresh())
	}
	if c, ok := s.c.(Pacer); ok && c.PacingRate() < 0 {
		s.Fatalf("%s: rate %d", s.c.Name(), c.PacingRate())
	}
}

// ack makes up an ACK: op says how it is, v how much it delivers, and both what else it claims.
func (s *fuzzStory) ack(op byte, v int64) {
	before, n := s.c.Window(), v*s.size
	s.delivered += n
	s.una += n
	e := Ack{Delivered: n, InFlight: before * int64(op>>4) / 12, InRecovery: op&8 != 0, RTT: time.Duration(v) * time.Millisecond,
		Una: s.una, Next: s.una + int64(op)*s.size}
	if op%8 == 6 {
		e.Lost, e.Marked, e.Pipe = int64(op)*s.size, n*int64(op>>4)/8, before
	}
	e.Rate = RateSample{Delivered: s.delivered, PriorDelivered: max(0, s.delivered-int64(op)*n), TxInFlight: v << (op >> 3),
		Lost: e.Lost, Interval: time.Duration(v) << (op >> 3), AppLimited: v%5 == 0}
	s.c.Acked(s.now, e)
	if name := s.c.Name(); name != "newreno" && name != "cubic" {
		return
	}
	if s.c.Window() < before || s.c.Window() > before+max(n, s.size) {
		s.Fatalf("%s: %d bytes delivered moved the window from %d to %d", s.c.Name(), n, before, s.c.Window())
	}
}

func TestNoAllocations(t *testing.T) {
	for _, name := range Names() {
		c, _ := New(name, mss)
		now := mono.Time(time.Hour)
		c.Lost(now, Loss{InFlight: 1 << 20})
		una := int64(20 * mss)
		if n := testing.AllocsPerRun(1000, func() {
			now = now.Add(time.Millisecond)
			una += 2 * mss
			c.Acked(now, Ack{Delivered: 2 * mss, InFlight: c.Window(), RTT: 10 * time.Millisecond, Una: una, Next: una + 200*mss,
				Rate: RateSample{Delivered: una, PriorDelivered: una - 20*mss, Interval: 10 * time.Millisecond, TxInFlight: 20 * mss}})
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
			una := int64(2000 * mss)
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(10 * time.Microsecond)
				una += 2 * mss
				c.Acked(now, Ack{Delivered: 2 * mss, InFlight: c.Window(), RTT: 10 * time.Millisecond, Una: una, Next: una + 200*mss,
					Rate: RateSample{Delivered: una, PriorDelivered: una - 2000*mss, Interval: 10 * time.Millisecond, TxInFlight: 2000 * mss}})
			}
		})
	}
}
