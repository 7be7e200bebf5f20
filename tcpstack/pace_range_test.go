package tcpstack

import (
	"math"
	"testing"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/recovery"
	"ocaserve/tcpstack/stream"
)

// pacedPair is one connection whose departures are logged.
type pacedPair struct {
	*pair
	client, server *app
	sent           departures
}

func newPacedPair(t *testing.T, cfg Config) *pacedPair {
	p := &pacedPair{pair: newPair(t, cfg)}
	p.client, p.server = p.connect()
	p.run(100*time.Millisecond, nil)
	p.db.drop = logTo(p)
	return p
}

// logTo begins a log of what the server sends.
func logTo(p *pacedPair) func(*link.Frame) bool {
	log := departureLog{}
	return func(f *link.Frame) bool {
		log.see(p.now, f.Data, f.Len())
		p.sent = *log[40000]
		return false
	}
}

func (p *pacedPair) send(n int) {
	for ; n > 0; n -= min(n, len(endlessData)) {
		p.server.c.Append(stream.Bytes(endlessData[:min(n, len(endlessData))]))
	}
}

// timeOf is when the byte at off left.
func (p *pacedPair) timeOf(off int64) mono.Time {
	i := 0
	for i+1 < len(p.sent.sum) && p.sent.sum[i+1] <= off {
		i++
	}
	return p.sent.at[i]
}

// Two responses with rates of their own on one connection, and one without: each takes the time that its own
// rate asks for, to within a burst, and the third is as fast as an unpaced connection.
func TestPaceRangeEndsWithItsLastByte(t *testing.T) {
	p := newPacedPair(t, Config{Functions: FunctionsBase})
	c := p.server.c
	const size = 1_000_000
	p.send(size) // opens the window, which an idle time would close again
	p.run(2*time.Second, func() bool { return p.sent.last == size })
	p.run(30*time.Millisecond, nil)
	p.sent = departures{}
	p.db.drop = logTo(p)
	for _, r := range []pacing.Rate{2_000_000, 8_000_000, 0} {
		if r > 0 && !c.PaceRange(pacing.Range{Rate: r}) {
			t.Fatal("refused")
		}
		p.send(size)
		if r > 0 {
			c.EndPace()
		}
	}
	p.run(10*time.Second, func() bool { return p.sent.last == 3*size })
	if p.sent.last != 3*size {
		t.Fatalf("%d bytes left", p.sent.last)
	}
	for i, want := range []time.Duration{500 * time.Millisecond, 125 * time.Millisecond} {
		got := p.timeOf(int64(i+1)*size - 1).Sub(p.timeOf(int64(i) * size))
		if off := (got - want).Abs(); off > 2*time.Millisecond {
			t.Errorf("response %d took %v, want %v", i, got, want)
		}
	}
	// The third begins when the second's last burst is paid for; then the window alone limits it.
	if got := p.timeOf(2 * size).Sub(p.timeOf(2*size - 1)); got > 2*time.Millisecond {
		t.Errorf("the third response waits %v", got)
	}
	if got := p.timeOf(3*size - 1).Sub(p.timeOf(2 * size)); got > 100*time.Millisecond {
		t.Errorf("the third response took %v: a rate has leaked", got)
	}
	if c.PacingRate() != 0 || c.pace.ranges != nil {
		t.Errorf("the connection is left at %v with ranges %v", c.PacingRate(), c.pace.ranges)
	}
}

// A response held up by its peer catches up to its deadline, and no faster than Max.
func TestPaceRangeCatchesUp(t *testing.T) {
	p := newPacedPair(t, Config{})
	c := p.server.c
	start := p.now
	const size = 2_000_000
	c.PaceRange(pacing.Range{To: size, Rate: 1_000_000, Deadline: start.Add(2 * time.Second), CatchUp: true, Max: 4_000_000})
	p.client.pause = true // the window closes at some 64 KB
	p.send(size)
	p.run(time.Second, nil)
	if p.sent.last > 200_000 {
		t.Fatalf("%d bytes left: the client holds nothing up", p.sent.last)
	}
	p.client.pause = false
	p.client.Readable(p.client.c)
	p.run(3*time.Second, func() bool { return p.sent.last == size })
	took := p.timeOf(size - 1).Sub(start)
	if took > 2*time.Second || took < 1900*time.Millisecond {
		t.Errorf("the last byte left after %v, the deadline was 2s", took)
	}
}

// SetMaxPacingRate takes effect at once, in both directions, and holds for retransmissions; probes and pure
// ACKs do not wait.
func TestSetMaxPacingRateAtOnce(t *testing.T) {
	p := newPacedPair(t, Config{Functions: FunctionsBase})
	c := p.server.c
	c.SetMaxPacingRate(1000) // three seconds for a burst
	p.send(500_000)
	p.run(time.Second, nil)
	if p.sent.last != pacing.Quantum(1000, pacing.Burst, c.snd.mss) {
		t.Fatalf("%d bytes left", p.sent.last)
	}
	if c.pending || !c.timers[timerPace].IsSet() {
		t.Error("a connection that waits for its departure stands in line")
	}
	c.SetMaxPacingRate(0)
	p.run(time.Second, func() bool { return p.sent.last == 500_000 })
	if p.sent.last != 500_000 {
		t.Errorf("%d bytes left without a rate: the wait for the old one goes on", p.sent.last)
	}
}

// rack spreads a window over the round trip: after the first window no burst is larger than its quantum, and
// base lets all go at once.
func TestWindowIsSpread(t *testing.T) {
	for _, fn := range []string{FunctionsRack, FunctionsBase} {
		p := newPacedPair(t, Config{Functions: fn})
		p.send(3_000_000)
		most, quantum := int64(0), int64(0)
		p.run(5*time.Second, func() bool {
			quantum = max(quantum, p.server.c.pace.Quantum())
			return p.sent.last == 3_000_000
		})
		for i := 1; i+1 < len(p.sent.sum); i++ {
			if p.sent.sum[i] > 200_000 {
				most = max(most, p.sent.sum[i+1]-p.sent.sum[i])
			}
		}
		t.Logf("%s: bursts of at most %d bytes, quantum %d, cwnd %d", fn, most, quantum, p.server.c.cc.Window())
		if fn == FunctionsRack && (most > 2*quantum || quantum > pacing.MaxQuantum) || fn == FunctionsBase && most < 100_000 {
			t.Errorf("%s: bursts of %d bytes, quantum %d", fn, most, quantum)
		}
	}
}

// acknowledged is p's connection when all that was in flight has arrived, in round trips of 10 ms.
func acknowledged(p *peer) *Conn {
	c := p.host.c
	for n := range int64(10) {
		p.together(false, sg{flags: fA, seq: 1, ack: 1 + (n+1)*1460})
	}
	for c.rec.Flight() > 0 {
		p.advance(10 * time.Millisecond)
		p.together(true, sg{flags: fA, seq: 1, ack: 1 + c.rec.Next()})
	}
	return c
}

// A small window is spread over a quarter of the round trip in the first slow start. In congestion avoidance a small
// window is spread over half a round trip, a larger one over five sixths.
func TestPaceOfSmallWindows(t *testing.T) {
	c := acknowledged(sending100(t, FunctionsRack, "cubic"))
	c.pace.link = recovery.Dispersion{}
	for _, tc := range []struct {
		segments, ssthresh int64
		percent            int64
	}{
		{21, math.MaxInt64, 400},
		{33, math.MaxInt64, 200},
		{15, 31 * 1460, 200},
		{24, 24 * 1460, 200},
		{32, 32 * 1460, 200},
		{33, 33 * 1460, 120},
	} {
		rtt := c.rec.RTT().SRTT()
		if tc.percent == 400 {
			rtt = c.rec.RTT().MinRTT()
		}
		want := tc.segments * 1460 * tc.percent / 100 * 1e6 / rtt.Microseconds()
		if got := paceAt(c, tc.segments, tc.ssthresh); got != want {
			t.Errorf("%d segments, ssthresh %d: %d B/s, want %d %% of the window per round trip, %d", tc.segments, tc.ssthresh, got, tc.percent, want)
		}
	}
}

// paceAt is the pace with a window of so many segments.
func paceAt(c *Conn, segments, ssthresh int64) int64 {
	c.cc.(congestion.Seeder).Seed(c.shard.now, segments*1460, ssthresh, 0)
	c.setPace(c.shard.now)
	return int64(c.PacingRate())
}

// Where the initial window has shown what the narrowest link carries, any window leaves nearly as fast as that: not
// faster than eight windows per round trip, and not slower than without knowing. Its burst is that of its own rate. While
// there is a queue it does not, nor after several segments were lost at once.
func TestPaceByLink(t *testing.T) {
	c := acknowledged(sending100(t, FunctionsRack, "cubic"))
	for range 100 { // what was spread over the last round trip came back sooner
		c.rec.SampleRTT(c.shard.now, c.rec.RTT().MinRTT())
	}
	know := func(link time.Duration) int64 { // per segment
		c.pace.link = recovery.Dispersion{}
		for n := range mono.Time(10) {
			c.pace.link.Acked(1+n*mono.Time(link), 1460, 10*time.Millisecond+time.Duration(n)*link)
		}
		r := c.pace.link.Rate()
		return r - r/4
	}
	windows := func(n, percent int64) int64 {
		return n * 1460 * percent / 100 * 1e6 / c.rec.RTT().SRTT().Microseconds()
	}
	for _, tc := range []struct{ ssthresh, usual int64 }{{math.MaxInt64, 200}, {30 * 1460, 120}} {
		for _, link := range []time.Duration{time.Microsecond, 100 * time.Microsecond, time.Millisecond} {
			want := min(max(know(link), windows(40, tc.usual)), windows(40, 800))
			if got := paceAt(c, 40, tc.ssthresh); got != want {
				t.Errorf("a segment in %v, ssthresh %d: %d B/s, want %d", link, tc.ssthresh, got, want)
			}
			if got, want := c.pace.Quantum(), c.paceBurst(pacing.Rate(windows(40, tc.usual))); got != want {
				t.Errorf("a segment in %v, ssthresh %d: bursts of %d, want %d", link, tc.ssthresh, got, want)
			}
		}
	}
	know(100 * time.Microsecond)
	c.pace.overran = true
	if got, want := paceAt(c, 40, 30*1460), windows(40, 120); got != want {
		t.Errorf("after an overrun: %d B/s, want %d", got, want)
	}
	c.pace.overran = false
	for range 20 {
		c.rec.SampleRTT(c.shard.now, 12*time.Millisecond)
	}
	if got, want := paceAt(c, 40, 30*1460), windows(40, 120); got != want {
		t.Errorf("with a queue: %d B/s, want %d", got, want)
	}
}

// The cap holds to within a burst, and the connections share it equally, in the order of the line.
func TestEgressCap(t *testing.T) {
	const rate = 25_000_000
	c := newCrowd(t, 20*time.Microsecond, Config{EgressRate: rate, Functions: FunctionsBase})
	for i := range 20 {
		c.open(uint16(1000+i), 0)
	}
	c.pass(500 * time.Millisecond)
	start, before := c.now, map[uint16]int64{}
	total := func() (n int64) {
		st := &c.b.stats
		return int64(st.BytesSent + headerCost*st.SegmentsSent)
	}
	n := total()
	for port, d := range c.log {
		before[port] = d.last
	}
	c.pass(500 * time.Millisecond)
	got, want := float64(total()-n), rate*c.now.Sub(start).Seconds()
	least, most := int64(math.MaxInt64), int64(0)
	for port, d := range c.log {
		least, most = min(least, d.last-before[port]), max(most, d.last-before[port])
	}
	t.Logf("%.0f bytes of %.0f; the connections got %d to %d", got, want, least, most)
	if math.Abs(got-want) > 3*pacing.MaxQuantum {
		t.Errorf("%.0f bytes left, the cap is %.0f", got, want)
	}
	if most-least > 4*pacing.MaxQuantum {
		t.Errorf("the connections got %d to %d bytes", least, most)
	}
}

// Shards that want all share the cap equally; what an idle one leaves goes to the others, and comes back when it
// begins to send.
func TestEgressSharesBetweenShards(t *testing.T) {
	const rate = 8_000_000
	cap := newEgressCap(rate, 4)
	var shards [4]egress
	for i := range shards {
		shards[i].init(cap, i)
	}
	now := mono.Time(time.Hour)
	// run lets each shard send what it wants, in bytes per second, for d, and returns what each sent.
	run := func(d time.Duration, wants [4]int64) (sent [4]int64) {
		const step = 100 * time.Microsecond
		for end := now.Add(d); now < end; now = now.Add(step) {
			elapsed := d - end.Sub(now) + step
			for i := range shards {
				for sent[i] < int64(float64(wants[i])*elapsed.Seconds()) && shards[i].mayEgress(now) {
					shards[i].sent(now, 1500)
					sent[i] += 1500
				}
			}
		}
		return sent
	}
	run(200*time.Millisecond, [4]int64{1e9, 1e9, 0, 0})
	for _, c := range []struct{ wants, want [4]int64 }{
		{[4]int64{1e9, 1e9, 1e9, 1e9}, [4]int64{2e6, 2e6, 2e6, 2e6}},
		{[4]int64{1e9, 0, 0, 0}, [4]int64{7.6e6, 0, 0, 0}},
		{[4]int64{1e9, 1e9, 1e6, 0}, [4]int64{3e6, 3e6, 1e6, 0}},
	} {
		run(100*time.Millisecond, c.wants)
		got, sum := run(time.Second, c.wants), int64(0)
		for i, n := range got {
			sum += n
			if n < c.want[i]*85/100 {
				t.Errorf("wants %v: shard %d sent %d, want %d", c.wants, i, n, c.want[i])
			}
		}
		if sum > rate+8*pacing.MaxQuantum {
			t.Errorf("wants %v: %d bytes in a second", c.wants, sum)
		}
	}
}
