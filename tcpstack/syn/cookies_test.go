package syn

import (
	"math/rand/v2"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// bench is a maker of cookies and a peer that answers them.
type bench struct {
	t    *testing.T
	c    *Cookies
	g    *Generator
	f    wire.Flow
	irs  wire.Seq
	opts wire.Options
	ecn  bool
}

func newBench(t *testing.T, opts wire.Options) *bench {
	g := NewGenerator(testKey)
	return &bench{t: t, c: NewCookies(testKey, g), g: g, f: flow(7), irs: 1_000_000, opts: opts}
}

// syn returns the ACK with which the peer answers our SYN-ACK.
func (b *bench) syn(now mono.Time) wire.Segment {
	iss, tsval := b.c.Make(now, &b.f, b.irs, &b.opts, b.ecn)
	ack := wire.Segment{Seq: b.irs + 1, Ack: iss + 1, Flags: wire.ACK}
	if b.opts.HasTS {
		ack.Options = wire.Options{HasTS: true, TSVal: b.opts.TSVal + 1, TSEcr: tsval}
	}
	return ack
}

// fullOptions are those of a Linux client.
var fullOptions = wire.Options{MSS: 1460, WScale: 7, HasWScale: true, SACKPermitted: true, HasTS: true, TSVal: 99}

// TestCookieOptions: every combination of options survives, rounded down to what a cookie can say.
func TestCookieOptions(t *testing.T) {
	for _, ts := range []bool{false, true} {
		for scale := range uint8(16) {
			for _, mss := range []uint16{0, 100, 536, 1459, 1460, 1461, 9000, 65535} {
				for _, sack := range []bool{false, true} {
					checkOptions(t, wire.Options{MSS: mss, WScale: scale, HasWScale: scale < 15, SACKPermitted: sack, HasTS: ts, TSVal: 7})
				}
			}
		}
	}
}

func checkOptions(t *testing.T, o wire.Options) {
	t.Helper()
	b := newBench(t, o)
	ack := b.syn(start)
	e, ok := b.c.Check(start.Add(time.Second), &b.f, &ack)
	if !ok {
		t.Fatalf("%+v: refused", o)
	}
	if e.Flow != b.f || e.IRS != b.irs || e.ISS != ack.Ack-1 || e.SACK != o.SACKPermitted || e.TS != o.HasTS {
		t.Fatalf("%+v became %+v", o, e)
	}
	if e.HasWScale != o.HasWScale || e.WScale > o.WScale || o.HasTS && o.HasWScale && e.WScale != o.WScale {
		t.Fatalf("window scale %d became %d", o.WScale, e.WScale)
	}
	mss := max(o.MSS, 216) // the least a cookie can say
	if o.MSS == 0 {
		mss = 536
	}
	for _, v := range cookieMSS {
		if e.MSS > mss || v <= mss && e.MSS < v {
			t.Fatalf("MSS %d became %d", o.MSS, e.MSS)
		}
	}
	if e.TS && e.TSRecent != ack.Options.TSVal || e.Sent.IsSet() || e.Retries != 0 {
		t.Fatalf("%+v", e)
	}
}

// TestCookieCommon: what real clients announce is kept exactly.
func TestCookieCommon(t *testing.T) {
	for _, mss := range []uint16{536, 1220, 1360, 1400, 1440, 1460} {
		for _, scale := range []uint8{0, 2, 4, 6, 7, 8} {
			b := newBench(t, wire.Options{MSS: mss, WScale: scale, HasWScale: true})
			ack := b.syn(start)
			if e, ok := b.c.Check(start, &b.f, &ack); !ok || e.MSS != mss || e.WScale != scale {
				t.Errorf("MSS %d, scale %d: %+v %v", mss, scale, e, ok)
			}
		}
	}
}

// TestCookieECN: the agreement on ECN (RFC 3168 section 6.1.1) survives with timestamps, and only with them.
func TestCookieECN(t *testing.T) {
	for _, ts := range []bool{false, true} {
		for _, ecn := range []bool{false, true} {
			b := newBench(t, wire.Options{MSS: 1460, HasTS: ts, TSVal: 7})
			b.ecn = ecn
			ack := b.syn(start)
			if e, ok := b.c.Check(start, &b.f, &ack); !ok || e.ECN != (ts && ecn) {
				t.Errorf("timestamps %v, ECN %v: %+v %v", ts, ecn, e, ok)
			}
		}
	}
}

// TestCookieLife: a cookie is good in the tick it was made and the next, and never after.
func TestCookieLife(t *testing.T) {
	tick := mono.Time(CookieTick)
	for _, made := range []mono.Time{100 * tick, 101*tick - 1, 101 * tick, 101*tick + tick/2} {
		b := newBench(t, fullOptions)
		ack := b.syn(made)
		end := (made/tick + 2) * tick
		for _, c := range []struct {
			at mono.Time
			ok bool
		}{{made, true}, {made + tick, true}, {end - 1, true}, {end, false}, {end + tick, false}, {end + 2*tick, false}} {
			b.c.made = c.at // others are being made: only this cookie is old
			if _, ok := b.c.Check(c.at, &b.f, &ack); ok != c.ok {
				t.Errorf("made at %v, checked %v later: %v", made, c.at.Sub(made), ok)
			}
		}
	}
}

// TestCookieOnlyWhenExpected: without a cookie made lately there is nothing to guess.
func TestCookieOnlyWhenExpected(t *testing.T) {
	b := newBench(t, fullOptions)
	ack := b.syn(start)
	fresh := NewCookies(testKey, b.g)
	if _, ok := fresh.Check(start, &b.f, &ack); ok || fresh.Stats().Failed != 0 {
		t.Error("accepted by one that never made a cookie")
	}
	fresh.Make(start, &b.f, 5, &wire.Options{}, false)
	if _, ok := fresh.Check(start, &b.f, &ack); !ok {
		t.Error("a cookie of another shard with the same key was refused")
	}
	if _, ok := fresh.Check(start.Add(2*CookieTick), &b.f, &ack); ok {
		t.Error("accepted two ticks after the last was made")
	}
}

// TestCookieTampered: each bit of each number, and each option the MAC covers.
func TestCookieTampered(t *testing.T) {
	b := newBench(t, fullOptions)
	good := b.syn(start)
	refuse := func(what string, f wire.Flow, s wire.Segment) {
		t.Helper()
		if _, ok := b.c.Check(start, &f, &s); ok {
			t.Errorf("%s: accepted", what)
		}
	}
	for i := range 32 {
		s := good
		s.Ack ^= 1 << i
		refuse("cookie bit", b.f, s)
		s = good
		s.Seq ^= 1 << i
		refuse("sequence bit", b.f, s)
		if i < 6 {
			s = good
			s.Options.TSEcr ^= 1 << i
			refuse("option bit in TSEcr", b.f, s)
		}
	}
	s := good
	s.Options.HasTS = false
	refuse("timestamps gone", b.f, s)
	f := b.f
	f.RemotePort++
	refuse("another flow", f, good)
	for _, flags := range []wire.Flags{0, wire.SYN | wire.ACK, wire.RST | wire.ACK, wire.RST, wire.FIN} {
		s = good
		s.Flags = flags
		refuse("wrong flags", b.f, s)
	}
	if _, ok := NewCookies(NewKey(), b.g).Check(start, &b.f, &good); ok {
		t.Error("accepted under another key")
	}
	good.Flags |= wire.PSH
	good.Payload = []byte("GET")
	if _, ok := b.c.Check(start, &b.f, &good); !ok {
		t.Error("refused with data: the bare ACK may have been lost")
	}
}

// TestCookieForged: of 200,000 made-up ACKs 1/80 is expected to pass; two would be a miracle (p < 1e-4).
func TestCookieForged(t *testing.T) {
	rng := rand.New(rand.NewPCG(42, 43))
	b := newBench(t, fullOptions)
	good := b.syn(start)
	passed := 0
	for i := range 200_000 {
		s := good
		s.Ack = wire.Seq(rng.Uint32())
		s.Options.HasTS = i%2 == 0
		f := flow(i)
		if _, ok := b.c.Check(start, &f, &s); ok {
			passed++
		}
	}
	if passed > 1 {
		t.Fatalf("%d forged cookies passed", passed)
	}
}

// TestCookieLooks: numbers for successive peers look random in every bit; their options do not show.
func TestCookieLooks(t *testing.T) {
	b := newBench(t, fullOptions)
	const n = 4096
	var ones [32]int
	for i := range n {
		f := flow(i)
		iss, _ := b.c.Make(start, &f, b.irs, &fullOptions, false)
		for bit := range ones {
			ones[bit] += int(iss >> bit & 1)
		}
	}
	for bit, k := range ones {
		if k < n/2-6*32 || k > n/2+6*32 { // six standard deviations of 32
			t.Errorf("bit %d is set in %d of %d cookies", bit, k, n)
		}
	}
}

// TestCookieTimestamp: RFC 7323 section 4.3 wants timestamps that never go back: a cookie's is not ahead of the
// clock, nor more than 64 ticks behind.
func TestCookieTimestamp(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	b := newBench(t, fullOptions)
	for range 10_000 {
		f, now := randomFlow(rng), start.Add(time.Duration(rng.Int64N(int64(1000*time.Hour))))
		o := fullOptions
		o.WScale, o.SACKPermitted = uint8(rng.IntN(15)), rng.IntN(2) == 0
		_, tsval := b.c.Make(now, &f, 1, &o, rng.IntN(2) == 0)
		if behind := TSVal(now, b.g.TSOffset(&f)) - tsval; behind >= 64 {
			t.Fatalf("the timestamp is %d behind", int32(behind))
		}
	}
}

// FuzzCookies: whatever peer, time and options, an untouched answer within a tick passes, and one with any field
// changed does not (the chance of a false alarm is 2^-24 per run).
func FuzzCookies(f *testing.F) {
	f.Add(uint64(1), uint32(5), uint16(1460), uint8(7), uint8(7), uint32(0), uint32(0), int64(time.Hour))
	f.Add(uint64(3), uint32(5), uint16(9000), uint8(15), uint8(5), uint32(0), uint32(0), int64(time.Minute)) // shift above 14
	f.Add(uint64(2), uint32(5), uint16(0), uint8(200), uint8(5), uint32(1), uint32(0), int64(time.Second))
	f.Fuzz(func(t *testing.T, seed uint64, irs uint32, mss uint16, scale, bits uint8, dAck, dSeq uint32, at int64) {
		at = max(1, at&(1<<60-1))
		b := newBench(t, wire.Options{MSS: mss, WScale: scale, HasWScale: bits&1 != 0, SACKPermitted: bits&2 != 0, HasTS: bits&4 != 0})
		b.f, b.irs = randomFlow(rand.New(rand.NewPCG(seed, 0))), wire.Seq(irs)
		ack := b.syn(mono.Time(at))
		ack.Ack ^= wire.Seq(dAck)
		ack.Seq ^= wire.Seq(dSeq)
		e, ok := b.c.Check(mono.Time(at).Add(CookieTick), &b.f, &ack)
		if ok != (dAck == 0 && dSeq == 0) {
			t.Fatalf("%v with changes %#x, %#x", ok, dAck, dSeq)
		}
		if ok && (e.WScale > min(scale, 14) || e.SACK != b.opts.SACKPermitted || e.HasWScale != b.opts.HasWScale) {
			t.Fatalf("%+v became %+v", b.opts, e)
		}
	})
}

func TestCookieAllocs(t *testing.T) {
	b := newBench(t, fullOptions)
	now := start
	n := testing.AllocsPerRun(1000, func() {
		ack := b.syn(now)
		b.c.Check(now, &b.f, &ack)
		now = now.Add(time.Second)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCookieMake(b *testing.B) {
	c, f := NewCookies(testKey, NewGenerator(testKey)), flow(1)
	b.ReportAllocs()
	for b.Loop() {
		c.Make(start, &f, 1, &fullOptions, false)
	}
}

func BenchmarkCookieCheck(b *testing.B) {
	c, f := NewCookies(testKey, NewGenerator(testKey)), flow(1)
	iss, tsval := c.Make(start, &f, 1, &fullOptions, false)
	s := wire.Segment{Seq: 2, Ack: iss + 1, Flags: wire.ACK, Options: wire.Options{HasTS: true, TSEcr: tsval}}
	b.ReportAllocs()
	for b.Loop() {
		c.Check(start, &f, &s)
	}
}
