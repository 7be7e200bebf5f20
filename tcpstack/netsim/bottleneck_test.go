package netsim

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// throttle is a path of one bottleneck.
func throttle(b **Bottleneck, cfg BottleneckConfig) func(*Network) []Element {
	return func(n *Network) []Element {
		*b = n.NewBottleneck(cfg)
		return []Element{*b}
	}
}

// TestSerialization: a packet takes its size over the rate, and the next one begins when it ends.
func TestSerialization(t *testing.T) {
	var b *Bottleneck
	l := newLab(t, 1, throttle(&b, BottleneckConfig{Rate: megabyte, Overhead: 38}))
	l.send(0, 1462, 62, 62)
	l.send(1650*us, 62) // the line is busy until 1.7 ms
	l.send(5*ms, 962)
	l.run(10 * ms)
	l.want("1@1500000", "2@1600000", "3@1700000", "4@1800000", "5@6000000")
}

// TestSerializationDoesNotDrift: the formula of Bottleneck, over thousands of packets at an awkward rate.
func TestSerializationDoesNotDrift(t *testing.T) {
	const rate = 7_000_003
	var b *Bottleneck
	l := newLab(t, 1, throttle(&b, BottleneckConfig{Rate: rate}))
	r := rand.New(rand.NewPCG(1, 1))
	total := int64(0)
	var want []string
	for i := range 3000 {
		size := 40 + r.IntN(1461)
		l.send(0, size)
		total += int64(size)
		ns := new(big.Int).Mul(big.NewInt(total), big.NewInt(1e9))
		ns.Add(ns, big.NewInt(rate-1)).Div(ns, big.NewInt(rate))
		want = append(want, fmt.Sprintf("%d@%d", i+1, ns))
	}
	l.run(time.Second)
	l.want(want...)
}

func TestDropTailDropsByNumber(t *testing.T) {
	for _, tt := range []struct {
		name  string
		queue DropTail
		lost  []uint32
	}{
		// Number 1 is under way at once and no longer in the queue.
		{"bytes", DropTail{Bytes: 3000}, []uint32{4, 5, 6}},
		{"packets", DropTail{Packets: 3}, []uint32{5, 6}},
		{"no limit", DropTail{}, nil},
		{"less than a packet is one", DropTail{Bytes: 10}, []uint32{3, 4, 5, 6}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b *Bottleneck
			l := newLab(t, 1, throttle(&b, BottleneckConfig{Rate: megabyte, Queue: &tt.queue}))
			l.send(0, 1500, 1500, 1500, 1500, 1500, 1500)
			l.send(20*ms, 1500)
			l.run(100 * ms)
			var want []uint32
			for i := uint32(1); i <= 7; i++ {
				if !slices.Contains(tt.lost, i) {
					want = append(want, i)
				}
			}
			if got := l.numbers(); !slices.Equal(got, want) {
				t.Errorf("arrived %v, want %v", got, want)
			}
			c := b.Counters()
			if balance(t, c); c.Dropped != uint64(len(tt.lost)) || c.DroppedBytes != c.Dropped*1500 || c.Held != 0 {
				t.Errorf("counters %+v, want %d dropped", c, len(tt.lost))
			}
		})
	}
}

// TestRateChanges: the packet under way ends as planned.
func TestRateChanges(t *testing.T) {
	var b *Bottleneck
	l := newLab(t, 1, throttle(&b, BottleneckConfig{Rate: megabyte}))
	l.send(0, 1000, 1000, 1000, 1000)
	l.net.After(1500*us, func(mono.Time) { b.SetRate(2 * megabyte) })
	l.run(10 * ms)
	l.want("1@1000000", "2@2000000", "3@2500000", "4@3000000")
	b.SetRate(4 * megabyte) // while idle
	l.send(20*ms, 1000)
	l.run(20 * ms)
	l.want("5@20250000")
}

// TestStepMarking is DCTCP's switch: CE from a queue of MarkAbove bytes on (RFC 8257 section 3.1).
func TestStepMarking(t *testing.T) {
	n := New(1)
	var marked []uint32
	tap := n.NewTap(func(_ mono.Time, p *Packet) {
		var h wire.IPHeader
		if _, d := wire.ParseIP(p.Data, &h); d != wire.DropNone {
			t.Errorf("marking broke the packet: %v", d)
		}
		if h.TOS&3 == 3 {
			marked = append(marked, number(p.Data))
		}
	})
	b := n.NewBottleneck(BottleneckConfig{Rate: megabyte, Queue: &DropTail{MarkAbove: 2000}})
	first := Chain(n.NewDiscard(""), b, tap)
	for i := range uint32(6) {
		n.Inject(first, numbered(i+1, 1000)) // the queues that they find: none, 0, 1000, 2000, ...
	}
	n.RunFor(time.Second, nil)
	if want := []uint32{4, 5, 6}; !slices.Equal(marked, want) || b.Counters().Marked != 3 {
		t.Errorf("marked %v, want %v; counted %d", marked, want, b.Counters().Marked)
	}
}

// TestRED: none below Min, all beyond twice Max, and in between evenly spread at about the configured share.
func TestRED(t *testing.T) {
	const warmUp = 3000 // packets
	share := func(load, weight float64, ecn bool) (dropped, marked float64, longest int) {
		var b *Bottleneck
		q := &RED{Min: 10_000, Max: 30_000, MaxP: 0.1, Weight: weight, ECN: ecn}
		l := newLab(t, 1, throttle(&b, BottleneckConfig{Rate: megabyte, Queue: q}))
		gap := time.Duration(float64(ms) / load)
		l.every(gap, 20_000, 1000)
		l.run(30 * time.Second)
		lastDrop, last := uint32(warmUp), uint32(warmUp)
		for _, a := range l.got {
			if a.num > last+1 {
				longest = max(longest, int(a.num-lastDrop))
				lastDrop = a.num
			}
			last = max(last, a.num)
		}
		c := b.Counters()
		balance(t, c)
		return float64(c.Dropped) / 20_000, float64(c.Marked) / 20_000, longest
	}
	if d, _, _ := share(0.9, 0.002, false); d != 0 {
		t.Errorf("%.3f dropped at 90 %% load", d)
	}
	// 5 % too much: RED settles where it drops 1/21 of what comes. Its drops are evenly spread: the gaps between
	// them are uniform up to twice the mean, where independent ones would sometimes be 7 times as long.
	if d, _, gap := share(1.05, 0.002, false); d < 0.045 || d > 0.05 || gap < 30 || gap > 60 {
		t.Errorf("%.4f dropped at 105 %% load, up to %d packets apart; want 0.0476, and at most about 42", d, gap)
	}
	if d, m, _ := share(1.05, 0.002, true); m < 0.05 || d > 0.05 {
		t.Errorf("with ECN %.4f dropped and %.4f marked", d, m)
	}
	if d, _, _ := share(4, 0.05, false); d < 0.74 || d > 0.76 {
		t.Errorf("%.4f dropped at 400 %% load, want 0.75", d)
	}
}

// TestREDForgetsWhileIdle: the average decays over an idle time as if small packets had passed.
func TestREDForgetsWhileIdle(t *testing.T) {
	var b *Bottleneck
	q := &RED{Min: 1000, Max: 1_000_000, Weight: 0.1}
	l := newLab(t, 1, throttle(&b, BottleneckConfig{Rate: megabyte, Queue: q}))
	l.send(0, slices.Repeat([]int{1500}, 50)...)
	l.run(75 * ms) // it is idle from here on
	high := q.average
	l.send(75*ms+15*ms, 1500) // idle for the time of 10 packets
	l.run(15 * ms)
	want := high
	for range 11 { // the queue itself was empty one packet before the line
		want *= 0.9
	}
	if d := q.average - want; high < 10_000 || d > 1e-6 || d < -1e-6 {
		t.Errorf("the average fell from %f to %f, want %f", high, q.average, want)
	}
}

// TestCoDel: RFC 8289 with a constant 10 % overload: the first drop comes one interval after the delay
// went above the target, and the following ones at interval/sqrt(count).
func TestCoDel(t *testing.T) {
	n := New(1)
	q := &CoDel{}
	b := n.NewBottleneck(BottleneckConfig{Rate: megabyte, Queue: q}) // a packet of 1000 bytes takes 1 ms
	var drops []time.Duration
	inner := q.env.drop
	q.env.drop = func(p *Packet) { drops = append(drops, n.Now().Sub(Epoch)); inner(p) }
	b.Connect(n.NewDiscard(""))
	for i := range 2000 {
		n.After(time.Duration(i)*900*us, func(mono.Time) { n.Inject(b, numbered(uint32(i), 1000)) })
	}
	n.RunFor(1800*ms, nil)
	// Packet k, from 0, waits k * 100 us and is sent at k ms: above 5 ms first at 50 ms, dropped at 150 ms.
	want := []time.Duration{150 * ms}
	next := 150*ms + 100*ms // count 1
	for _, root := range []float64{1.4142135623730951, 1.7320508075688772, 2, 2.23606797749979, 2.449489742783178} {
		want = append(want, (next+ms-1)/ms*ms) // the first dequeue not before
		next += time.Duration(float64(100*ms) / root)
	}
	if len(drops) < len(want) || !slices.Equal(drops[:len(want)], want) {
		t.Errorf("dropped at %v\n    want %v, ...", drops, want)
	}
	balance(t, b.Counters())
}

// TestCoDelSparesGoodQueues: bursts that drain within an interval lose nothing.
func TestCoDelSparesGoodQueues(t *testing.T) {
	var b *Bottleneck
	l := newLab(t, 1, throttle(&b, BottleneckConfig{Rate: megabyte, Queue: &CoDel{}}))
	for i := range 20 {
		l.send(time.Duration(i)*200*ms, slices.Repeat([]int{1000}, 90)...) // 90 ms each
	}
	l.run(5 * time.Second)
	if c := b.Counters(); c.Dropped != 0 || c.Out != 1800 {
		t.Errorf("%d of 1800 packets dropped, %d arrived", c.Dropped, c.Out)
	}
}

// TestCoDelMarks: with ECN nothing is lost, and as many packets are marked as would have been dropped at
// first.
func TestCoDelMarks(t *testing.T) {
	var b *Bottleneck
	l := newLab(t, 1, throttle(&b, BottleneckConfig{Rate: megabyte, Queue: &CoDel{ECN: true}}))
	l.every(900*us, 1000, 1000)
	l.run(2 * time.Second)
	if c := b.Counters(); c.Dropped != 0 || c.Marked < 10 || c.Out != 1000 {
		t.Errorf("%d dropped, %d marked, %d arrived", c.Dropped, c.Marked, c.Out)
	}
}

// TestPolicer: Burst bytes at once, then Rate; what is over is dropped and nothing delayed.
func TestPolicer(t *testing.T) {
	var o *Policer
	l := newLab(t, 1, func(n *Network) []Element {
		o = n.NewPolicer(PolicerConfig{Rate: megabyte, Burst: 3000})
		return []Element{o}
	})
	l.send(0, 1500, 1500, 1500)
	l.send(1499999, 1500) // a nanosecond too early
	l.send(1500000, 1500)
	l.send(2*ms, 500, 40)
	l.send(3600*time.Second, 1500, 1500, 1) // no more than the burst is saved up
	l.run(2 * 3600 * time.Second)
	l.want("1@0", "2@0", "5@1500000", "6@2000000", "8@3600000000000", "9@3600000000000")
	if c := o.Counters(); c.Dropped != 4 {
		t.Errorf("counters %+v, want 4 dropped", c)
	}
}

// FuzzPolicer compares it with a bucket in rational numbers.
func FuzzPolicer(f *testing.F) {
	f.Add(int64(7_000_003), int64(5000), []byte{0, 10, 200, 3, 255, 255, 9})
	f.Fuzz(func(t *testing.T, rate, burst int64, gaps []byte) {
		rate, burst = 1+abs(rate)%1e12, abs(burst)%1e9
		n := New(1)
		o := n.NewPolicer(PolicerConfig{Rate: pacing.Rate(rate), Burst: burst})
		o.Connect(n.NewDiscard(""))
		have := big.NewRat(burst, 1)
		for _, g := range gaps {
			gap := int64(g) * int64(g) * 997
			n.now += mono.Time(gap)
			have.Add(have, new(big.Rat).Mul(big.NewRat(rate, 1e9), big.NewRat(gap, 1)))
			if have.Cmp(big.NewRat(burst, 1)) > 0 {
				have.SetInt64(burst)
			}
			size := int64(24 + int(g)*5)
			passes := have.Cmp(big.NewRat(size, 1)) >= 0
			if passes {
				have.Sub(have, big.NewRat(size, 1))
			}
			before := o.Counters().Out
			n.Inject(o, numbered(0, int(size)))
			if passed := o.Counters().Out > before; passed != passes {
				t.Fatalf("a packet of %d bytes passed: %v; the bucket holds %s", size, passed, have.FloatString(3))
			}
		}
	})
}

func abs(v int64) int64 { return max(v, -max(v, -1<<62)) }

func TestNarrow(t *testing.T) {
	var o *Narrow
	l := newLab(t, 1, func(n *Network) []Element {
		o = n.NewNarrow(NarrowConfig{MTU: 1400})
		return []Element{o}
	})
	reported := 0
	o.Report = func(_ mono.Time, p *Packet, mtu int) { reported += len(p.Data) - mtu }
	l.send(0, 1400, 1401, 100)
	l.run(ms)
	l.want("1@0", "3@0")
	if reported != 1 || o.Counters().Dropped != 1 {
		t.Errorf("reported %d bytes too many, dropped %d", reported, o.Counters().Dropped)
	}
}

func TestMarkCE(t *testing.T) {
	for _, tt := range []struct {
		tos  byte
		want bool
	}{{0, false}, {1, true}, {2, true}, {3, true}, {0xb8, false}, {0xba, true}} {
		for _, v6 := range []bool{false, true} {
			f, _ := superframe(v6, wire.ACK, 1, 0, 0)
			b := f.Data
			if v6 {
				b[0], b[1] = 0x60|tt.tos>>4, tt.tos<<4
			} else {
				b[1] = tt.tos
				sum4(b)
			}
			got := markCE(b)
			var h wire.IPHeader
			_, d := wire.ParseIP(b, &h)
			wantTOS := tt.tos
			if tt.want {
				wantTOS |= 3
			}
			if got != tt.want || d != wire.DropNone || h.TOS != wantTOS {
				t.Errorf("TOS %#x, v6 %v: marked %v, TOS %#x, %v", tt.tos, v6, got, h.TOS, d)
			}
		}
	}
	if markCE(nil) || markCE([]byte{0x45}) {
		t.Error("marked a fragment of a header")
	}
}
