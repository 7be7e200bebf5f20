package pacing

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"ocaserve/tcpstack/mono"
)

const pacerStart = mono.Time(24 * time.Hour)

// A pacedLoop sends through a Pacer as a connection with data does, and holds every departure against the
// formulas of the Pacer's doc. Work is counted in billionths of a byte, so that the checks are exact.
type pacedLoop struct {
	*testing.T
	p       Pacer
	now     mono.Time
	earned  int64 // the integral of the rates since the last reset, in billionths of a byte
	sent    int64 // bytes since then
	low     int64 // the smallest sent*1e9-earned seen just before a departure: where a window may begin
	quantum int64 // the largest in force since then
	idled   bool
}

func newPacedLoop(t *testing.T, r Rate, quantum int64) *pacedLoop {
	l := &pacedLoop{T: t, now: pacerStart}
	l.setRate(r, quantum)
	l.reset()
	return l
}

func (l *pacedLoop) reset() {
	l.earned, l.sent, l.low, l.quantum, l.idled = 0, 0, 0, l.p.Quantum(), false
}

func (l *pacedLoop) setRate(r Rate, quantum int64) {
	l.p.SetRate(l.now, r, quantum)
	l.quantum = max(l.quantum, quantum)
}

func (l *pacedLoop) wait(d time.Duration) {
	l.now = l.now.Add(d)
	l.earned += int64(d) * int64(l.p.Rate())
}

// sendAll sends what may leave now, in pieces of at most piece bytes, and returns how much.
func (l *pacedLoop) sendAll(piece int64) (total int64) {
	l.Helper()
	for n := l.p.Ready(l.now); n > 0; n = l.p.Ready(l.now) {
		l.low = min(l.low, l.sent*second-l.earned)
		n = min(n, piece)
		l.p.Sent(l.now, n)
		l.sent += n
		total += n
		l.wantBelow()
		if total > 2*l.quantum {
			l.Fatalf("%d bytes at one instant, the burst is %d", total, l.quantum)
		}
	}
	return total
}

// wantBelow: sent[s, t] <= rate*(t-s) + 2*quantum for every s, and rate*t + quantum from the first byte.
func (l *pacedLoop) wantBelow() {
	l.Helper()
	ahead := l.sent*second - l.earned
	if ahead-l.low > 2*l.quantum*second {
		l.Fatalf("%d ns: %d bytes ahead of the rate within a window", l.now-pacerStart, (ahead-l.low)/second)
	}
	if ahead > l.quantum*second && !l.idled {
		l.Fatalf("%d ns: %d bytes ahead of the rate, the burst is %d", l.now-pacerStart, ahead/second, l.quantum)
	}
}

// wantAbove: sent[0, t] >= rate*t - slack.
func (l *pacedLoop) wantAbove(slack int64) {
	l.Helper()
	if l.sent*second < l.earned-slack*second {
		l.Fatalf("%d ns: sent %d, which is %d below the rate", l.now-pacerStart, l.sent, l.earned/second-l.sent)
	}
}

var pacedRates = []Rate{1, 999, 125_000, 625_000, 3_125_000, 12_500_000, 123_456_789, 1_250_000_000}

// Woken in time, what was sent is the rate times the time, to the byte, at each departure: no drift, though
// the time between two departures is no whole number of nanoseconds.
func TestPacerKeepsTheSchedule(t *testing.T) {
	for _, r := range pacedRates {
		q := Quantum(r, Burst, 1447)
		l := newPacedLoop(t, r, q)
		for range 2000 {
			if l.earned > math.MaxInt64/2 {
				break
			}
			l.wantAbove(q) // just before a departure
			if n := l.sendAll(math.MaxInt64); n != q {
				t.Fatalf("%v: a departure of %d bytes, want %d", r, n, q)
			}
			l.wantAbove(0)
			l.wait(l.p.Next().Sub(l.now))
			// A whole burst is due, and was not a nanosecond ago.
			if due := l.sent * second; l.earned < due || l.earned-int64(r) >= due {
				t.Fatalf("%v: next departure %d ns off", r, (l.earned-due)/int64(r))
			}
		}
	}
}

// A loop that wakes late by less than a burst loses nothing, whatever the sizes of the pieces.
func TestPacerCatchesUp(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for _, r := range pacedRates[1:] {
		q := Quantum(r, Burst, 1448)
		l := newPacedLoop(t, r, q)
		spare := int64(r.Duration(q))
		for range 2000 {
			if l.earned > math.MaxInt64/2 {
				break
			}
			l.wantAbove(q)
			l.sendAll(1 + rng.Int64N(2*q))
			l.wait(max(0, l.p.Next().Sub(l.now)) + time.Duration(rng.Int64N(spare)))
		}
	}
}

// A loop that wakes at Wake keeps the rate as one does that wakes at Next, and finds whole bursts due: Wake is later by less
// than a quarter of a burst's time and than MaxGrain, and stands on a grid that connections share.
func TestPacerWake(t *testing.T) {
	for _, r := range pacedRates[1:] {
		q := Quantum(r, Burst, 1447)
		l := newPacedLoop(t, r, q)
		interval := int64(r.Duration(q))
		for range 2000 {
			if l.earned > math.MaxInt64/2 {
				break
			}
			l.wantAbove(q + q/4 + 1)
			if n := l.sendAll(math.MaxInt64); n != q {
				t.Fatalf("%v: a departure of %d bytes, want %d", r, n, q)
			}
			at, late := l.p.Wake(), int64(l.p.Wake()-l.p.Next())
			if late < 0 || late > interval/4 || late >= MaxGrain {
				t.Fatalf("%v: wakes %d ns late, the burst is %d ns", r, late, interval)
			}
			if grain := min(interval/8, MaxGrain); at&-at < mono.Time(grain)/2 {
				t.Fatalf("%v: wakes at %d, on no grid of %d ns", r, at, grain)
			}
			l.wait(at.Sub(l.now))
		}
	}
	if p := (Pacer{next: 5}); p.Wake() != 5 {
		t.Error("unpaced, Wake is not Next")
	}
}

// A loop that stood still catches up one burst, not what a second would have carried.
func TestPacerForgetsALongDelay(t *testing.T) {
	l := newPacedLoop(t, 3_125_000, 10_000)
	l.sendAll(math.MaxInt64)
	if l.p.Ready(l.now) != 0 {
		t.Fatal("twice at once")
	}
	l.wait(time.Second)
	if n := l.sendAll(math.MaxInt64); n != 20_000 {
		t.Errorf("%d bytes after a second of standing still, want two bursts", n)
	}
}

// Idleness is no credit: a connection that had nothing to send starts with one burst.
func TestPacerIdle(t *testing.T) {
	l := newPacedLoop(t, 3_125_000, 10_000)
	for range 3 {
		if n := l.p.Ready(l.now); n != 10_000 {
			t.Fatalf("%d bytes after idleness, want one burst", n)
		}
		l.p.Sent(l.now, 10_000)
		if want := l.now.Add(3200 * time.Microsecond); l.p.Next() != want {
			t.Fatalf("next departure %d ns off", l.p.Next()-want)
		}
		l.now = l.now.Add(time.Hour) // nothing asked for: idle
	}
}

// What must not wait (a probe) goes and is paid for.
func TestPacerSentBeyondReady(t *testing.T) {
	l := newPacedLoop(t, 1_000_000, 3000)
	l.p.Sent(l.now, 500) // without asking
	if n := l.sendAll(math.MaxInt64); n != 0 {
		t.Fatalf("%d more bytes: the schedule was ahead", n)
	}
	l.p.Sent(l.now, 4500)
	if want := pacerStart.Add(5 * time.Millisecond); l.p.Next() != want {
		t.Errorf("next departure %v off", l.p.Next().Sub(want))
	}
}

// A change of rate in the middle of a wait keeps what is owed, in bytes.
func TestPacerRateChange(t *testing.T) {
	l := newPacedLoop(t, 1_000, 3000)
	l.sendAll(math.MaxInt64) // 3 s at this rate
	l.wait(time.Second)
	l.setRate(1_000_000, 4000)
	if got := l.p.Next().Sub(l.now); got != 2*time.Millisecond {
		t.Errorf("2000 bytes owed at 1 MB/s: %v", got)
	}
	l.setRate(0, 0)
	if l.p.Ready(l.now) != math.MaxInt64 {
		t.Error("the rate 0 waits")
	}
	l.setRate(500, 3000)
	if l.p.Ready(l.now) != 3000 {
		t.Error("what was sent unpaced is owed")
	}
}

// runPacer interprets ops: waits to the departure, late, early; pieces; changes of the rate; idle times.
// The formulas hold throughout.
func runPacer(t *testing.T, ops []byte) {
	l := newPacedLoop(t, 3_125_000, 4344)
	late := false // behind by more than a burst: the lower bound is off
	arg := func() int64 {
		if len(ops) == 0 {
			return 0
		}
		v := ops[0]
		ops = ops[1:]
		return int64(v)
	}
	for len(ops) > 0 && l.earned < math.MaxInt64/4 {
		spare := int64(l.p.Rate().Duration(l.p.Quantum()))
		switch op := arg() % 5; op {
		case 0:
			l.wait(max(0, l.p.Next().Sub(l.now)) + time.Duration(spare*arg()/256))
		case 1: // anything from a nanosecond to 4 ms
			before := l.p.Next()
			l.wait(time.Duration(1 + arg()<<(arg()%15)))
			late = late || int64(l.now-before) >= spare
		case 2:
			r := Rate(1 + arg()<<(arg()%22))
			// The lower bound holds for the largest burst; what a smaller one cannot catch up is lost.
			late = late || l.p.Next() < l.now
			l.setRate(r, Quantum(r, Burst, 1448))
		case 3: // idle: no questions, and no credit for it
			l.sendAll(math.MaxInt64)
			l.now = max(l.now, l.p.Next()).Add(time.Duration(arg() << (arg() % 30)))
			if l.p.late {
				l.now = l.p.Next()
			}
			l.reset()
			l.idled, late = true, true
		}
		piece := 1 + arg()<<8
		for n := l.p.Ready(l.now); n > 0; n = l.p.Ready(l.now) {
			l.low = min(l.low, l.sent*second-l.earned)
			n = min(n, piece)
			l.p.Sent(l.now, n)
			l.sent += n
			l.wantBelow()
		}
		if !late {
			l.wantAbove(l.quantum)
		}
		if next := l.p.Next(); next <= l.now {
			t.Fatalf("nothing may leave, but the next departure is %d ns ago: the loop would spin", l.now-next)
		}
	}
}

func FuzzPacer(f *testing.F) {
	f.Add([]byte{0, 10, 255, 0, 200, 255, 1, 200, 14, 3, 2, 200, 12, 255, 0, 128, 9, 3, 9, 20, 255})
	f.Add([]byte{2, 1, 21, 255, 0, 255, 255, 2, 255, 21, 1, 0, 1, 1})
	f.Fuzz(runPacer)
}

func TestPacerRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 8985))
	for range 2000 {
		ops := make([]byte, rng.IntN(300))
		for i := range ops {
			ops[i] = byte(rng.Uint32())
		}
		runPacer(t, ops)
	}
}

// Numbers at the ends of their ranges wait for a long time, but never go backwards or overflow.
func TestPacerExtremes(t *testing.T) {
	for _, r := range []Rate{1, 7, MaxRate, math.MaxInt64} {
		for _, n := range []int64{1, MaxQuantum, 1 << 40, math.MaxInt64} {
			var p Pacer
			p.SetRate(pacerStart, r, n)
			for range 4 {
				before := p.Next()
				p.Ready(pacerStart)
				p.Sent(pacerStart, n)
				if p.Next() < before || p.Next() > mono.Never/2+1 {
					t.Fatalf("%d bytes at %d B/s: from %d to %d", n, r, before, p.Next())
				}
			}
			for _, to := range []Rate{1, MaxRate, math.MaxInt64, r} {
				p.SetRate(pacerStart, to, MaxQuantum)
				if p.Next() < pacerStart {
					t.Fatalf("from %d to %d B/s: %v in the past", r, to, pacerStart.Sub(p.Next()))
				}
			}
		}
	}
}

func TestQuantum(t *testing.T) {
	for _, c := range []struct {
		rate Rate
		mss  int
		want int64
	}{
		{125_000, 1448, 2 * 1448}, {3_125_000, 1448, 2 * 1448}, {12_500_000, 1448, 8 * 1448},
		{1e9, 1448, 45 * 1448}, {1e9, 8948, 7 * 8948}, {0, 1448, 2 * 1448}, {1e15, 65_483, 2 * 65_483}, {5000, 0, 5},
	} {
		if got := Quantum(c.rate, Burst, c.mss); got != c.want {
			t.Errorf("%v, MSS %d: %d bytes, want %d", c.rate, c.mss, got, c.want)
		}
	}
}

func TestPacerSize(t *testing.T) {
	if n := unsafe.Sizeof(Pacer{}); n > 40 {
		t.Errorf("%d bytes in each connection", n)
	}
}

func TestPacerNoAllocations(t *testing.T) {
	p, now := Pacer{}, pacerStart
	if n := testing.AllocsPerRun(1000, func() { pacerTurn(&p, &now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// pacerTurn is what a connection does per burst.
func pacerTurn(p *Pacer, now *mono.Time) {
	p.SetRate(*now, 3_125_000+Rate(*now)&1023, 4344)
	p.Sent(*now, p.Ready(*now))
	*now = p.Next()
}

func BenchmarkPacer(b *testing.B) {
	p, now := Pacer{}, pacerStart
	b.ReportAllocs()
	for b.Loop() {
		pacerTurn(&p, &now)
	}
}

// With a catch-up, what a late loop missed leaves at once, as far as that time goes; an idle time still earns nothing.
func TestCatchUp(t *testing.T) {
	const rate, burst = Rate(1_000_000), 2000 // a burst each 2 ms
	var p Pacer
	now := mono.Time(time.Hour)
	p.SetRate(now, rate, burst)
	p.SetCatchUp(10 * time.Millisecond)
	drain := func() (n int64) {
		for p.Ready(now) > 0 {
			n += p.Ready(now)
			p.Sent(now, p.Ready(now))
		}
		return n
	}
	for _, c := range []struct {
		name  string
		after time.Duration
		want  int64
	}{
		{"the first", 0, 2000},
		{"in time", 2 * time.Millisecond, 2000},
		{"7 ms late", 9 * time.Millisecond, 8000}, // due after 2, 4, 6, 8 ms
		{"50 ms late: 10 ms of it", 53 * time.Millisecond, 12000},
	} {
		now = now.Add(c.after)
		if got := drain(); got != c.want {
			t.Errorf("%s: %d bytes leave, want %d", c.name, got, c.want)
		}
	}
	for p.Ready(now) == 0 { // what is owed is waited for; then there is nothing to send
		now = p.Next()
	}
	p.Sent(now, burst)
	now = now.Add(time.Second)
	p.SetRate(now, rate, burst)
	if got := drain(); got != 2000 {
		t.Errorf("after an idle second %d bytes leave, want one burst", got)
	}
}
