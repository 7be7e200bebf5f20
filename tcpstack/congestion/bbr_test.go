package congestion

import (
	"testing"
	"time"
)

func (f *testFlow) bbr() *BBR { return f.c.(*BBR) }

// A flow fills 100 Mb/s x 40 ms, keeps the queue short, and knows the path's length and rate.
func TestBBRFillsThePipe(t *testing.T) {
	for _, every := range []int{1, 2, 16, 44} {
		p := mbps100(t, 4)
		p.every = every
		f := p.add("bbr", 0)
		p.run(2 * time.Second)
		startup := float64(p.peak) / float64(p.bdp())
		p.peak = 0
		share := f.over(8 * time.Second)
		queue := float64(p.peak) / float64(p.bdp())
		b := f.bbr()
		t.Logf("%2d packets per ACK: %.1f %%, Startup's queue %.2f BDP, then %.2f, min_rtt %v, max_bw %d", every, share*100, startup, queue, b.minRTT, b.bandwidth())
		if share < 0.95 || startup > 1.5 || queue > 1.5 || p.drops > 0 {
			t.Errorf("%.1f %% of the rate, queues of %.2f and %.2f BDP, %d drops", share*100, startup, queue, p.drops)
		}
		if b.minRTT < p.rtt || b.minRTT > p.rtt+p.rtt/20 || b.bandwidth() > p.rate+p.rate/50 {
			t.Errorf("min_rtt %v, max_bw %d", b.minRTT, b.bandwidth())
		}
	}
}

// Losses at random of up to LossThresh cost no more than themselves and a tenth.
func TestBBRRandomLoss(t *testing.T) {
	for _, loss := range []float64{0.001, 0.01, 0.02} {
		p := mbps100(t, 1)
		p.loss = loss
		f := p.add("bbr", 0)
		p.run(2 * time.Second)
		share := f.over(12*time.Second) / (1 - loss)
		t.Logf("%.1f %% lost: %.1f %% of what arrives at most", loss*100, share*100)
		if share < 0.9 {
			t.Errorf("%.1f %% lost: %.1f %% of the rate", loss*100, share*100)
		}
	}
}

// After Startup a shallow queue is seldom overflown, and the path still used.
func TestBBRShallowQueue(t *testing.T) {
	for _, bdps := range []float64{0.1, 0.3} {
		p := mbps100(t, bdps)
		f := p.add("bbr", 0)
		p.run(2 * time.Second)
		drops, sent := p.drops, f.sent
		share := f.over(20 * time.Second)
		lost := float64(p.drops-drops) / float64(f.sent-sent)
		t.Logf("queue %.1f BDP: %.1f %% of the rate, %.2f %% lost; in the first 2 s %.1f %%", bdps, share*100, lost*100, float64(drops)/float64(sent)*100)
		if share < 0.9 || lost > 0.005 {
			t.Errorf("queue %.1f BDP: %.1f %% of the rate, %.2f %% lost", bdps, share*100, lost*100)
		}
	}
}

// A flow that comes second gets its share, though BBRv3 takes its time: it probes every two to three seconds.
func TestBBRSharesFairly(t *testing.T) {
	p := mbps100(t, 4)
	a, b := p.add("bbr", 0), p.add("bbr", time.Second)
	p.run(45 * time.Second)
	p.peak = 0
	a0, b0 := a.una, b.una
	p.run(20 * time.Second)
	x, y := float64(a.una-a0), float64(b.una-b0)
	jain := (x + y) * (x + y) / 2 / (x*x + y*y)
	used := (x + y) * testMSS / 20 / float64(p.rate)
	t.Logf("%.1f %% to %.1f %%: Jain's index %.3f; %.1f %% used", x/(x+y)*100, y/(x+y)*100, jain, used*100)
	if jain < 0.95 || used < 0.95 || p.peak > 2*p.bdp() {
		t.Errorf("Jain's index %.3f, %.1f %% used, queue %d", jain, used*100, p.peak)
	}
}

// Section 5.5.4: what the application limits does not lower the estimate; and after it the rate is there at once.
func TestBBRApplicationLimited(t *testing.T) {
	p := mbps100(t, 1)
	f := p.add("bbr", 0)
	p.run(3 * time.Second)
	before := f.bbr().bandwidth()
	f.start, f.app = p.now.Add(-time.Duration(float64(f.next*testMSS)/1e6*1e9)), 1_000_000
	p.run(20 * time.Second)
	after := f.bbr().bandwidth()
	f.app = 0
	share := f.over(time.Second)
	t.Logf("max_bw %d, after 20 s at 1 MB/s %d; then %.1f %% of the rate", before, after, share*100)
	if after < before*95/100 || share < 0.85 {
		t.Errorf("max_bw %d, was %d; %.1f %% of the rate", after, before, share*100)
	}
}

// The states follow one another as the diagram has it, ProbeRTT comes every five seconds for a fifth of one
// (section 5.3.4), and probes for bandwidth every two to three or after 63 rounds (section 5.3.3.8).
func TestBBRStates(t *testing.T) {
	next := map[bbrState][]bbrState{
		bbrStartup: {bbrDrain}, bbrDrain: {bbrDown, bbrCruise}, bbrDown: {bbrCruise, bbrRefill}, bbrCruise: {bbrRefill},
		bbrRefill: {bbrUp}, bbrUp: {bbrDown}, bbrProbeRTT: {bbrCruise, bbrStartup},
	}
	p := mbps100(t, 2)
	f := p.add("bbr", 0)
	seen := map[bbrState]int{}
	state, since := bbrStartup, p.now
	f.onAck = func(Ack) {
		s := f.bbr().state
		if s == state {
			return
		}
		ok := s == bbrProbeRTT
		for _, n := range next[state] {
			ok = ok || s == n
		}
		d := p.now.Sub(since)
		if !ok {
			t.Errorf("%v after %v", s, state)
		}
		if state == bbrProbeRTT && (d < 200*ms || d > 350*ms) {
			t.Errorf("ProbeRTT took %v", d)
		}
		if state == bbrCruise && d > 3*time.Second {
			t.Errorf("cruised for %v", d)
		}
		seen[s]++
		state, since = s, p.now
	}
	p.run(30 * time.Second)
	t.Logf("%v", seen)
	if seen[bbrProbeRTT] < 5 || seen[bbrProbeRTT] > 6 || seen[bbrUp] < 8 || seen[bbrDrain] != 1 {
		t.Errorf("in 30 s: %v", seen)
	}
}

// A path that gets longer is noticed within the filter's ten seconds, and one that gets faster within a few
// probes.
func TestBBRFollowsThePath(t *testing.T) {
	p := mbps100(t, 2)
	f := p.add("bbr", 0)
	p.run(3 * time.Second)
	p.rtt = 80 * ms
	p.run(16 * time.Second)
	if got := f.bbr().minRTT; got < 80*ms || got > 90*ms {
		t.Errorf("min_rtt %v on a path of 80 ms", got)
	}
	p.testRate(25_000_000)
	p.run(8 * time.Second)
	if got := f.bbr().bandwidth(); got < 23_000_000 {
		t.Errorf("max_bw %d on a path of 25 MB/s", got)
	}
	p.testRate(6_000_000)
	p.run(8 * time.Second)
	if got := f.bbr().bandwidth(); got > 7_000_000 {
		t.Errorf("max_bw %d on a path of 6 MB/s", got)
	}
}

func (p *testPath) testRate(rate int64) {
	p.rate, p.queue = rate, 2*int64(float64(rate)*p.rtt.Seconds())
}

// Marks above a shallow threshold keep the queue there (bbr_ecn_alpha).
func TestBBRMarks(t *testing.T) {
	p := mbps100(t, 4)
	p.mark = p.bdp() / 4
	f := p.add("bbr", 0)
	p.run(2 * time.Second)
	p.peak, p.queueSum = 0, 0
	sent := f.sent
	share := f.over(10 * time.Second)
	mean := p.queueSum / float64(f.sent-sent) / float64(p.bdp())
	t.Logf("%.1f %% of the rate, queue %.2f BDP on average, %.2f at most", share*100, mean, float64(p.peak)/float64(p.bdp()))
	if share < 0.9 || mean > 0.1 || p.peak > p.bdp() {
		t.Errorf("%.1f %% of the rate, queue %.2f BDP, at most %d", share*100, mean, p.peak)
	}
}

// Section 5.6.4.4: one segment after a time-out, and the window of before when recovery ends.
func TestBBRTimeout(t *testing.T) {
	p := mbps100(t, 2)
	f := p.add("bbr", 0)
	p.run(2 * time.Second)
	b := f.bbr()
	w := b.Window()
	b.Timeout(p.now, Loss{InFlight: w})
	if b.Window() != testMSS {
		t.Errorf("window %d", b.Window())
	}
	b.Acked(p.now, Ack{Delivered: testMSS, InFlight: testMSS, InRecovery: true})
	if b.Window() > 4*testMSS {
		t.Errorf("window %d after the first ACK", b.Window())
	}
	b.Acked(p.now, Ack{Delivered: testMSS, InFlight: testMSS})
	if b.Window() < w*9/10 {
		t.Errorf("window %d at the end of recovery, was %d", b.Window(), w)
	}
}

// Section 5.4: an idle connection keeps its window and goes on at the estimated rate, and does not take its
// silence for a path to be measured anew.
func TestBBRIdle(t *testing.T) {
	p := mbps100(t, 2)
	f := p.add("bbr", 0)
	p.run(3 * time.Second)
	b := f.bbr()
	w, bw := b.Window(), b.bw()
	b.Idle(p.now.Add(7 * time.Second))
	if b.Window() != w || b.PacingRate() != bw/100*99 && b.PacingRate() != bw*99/100 {
		t.Errorf("window %d, was %d; rate %d of %d", b.Window(), w, b.PacingRate(), bw)
	}
	e := Ack{Delivered: testMSS, InFlight: testMSS, RTT: 41 * ms}
	b.Acked(p.now.Add(7100*ms), e)
	if b.state == bbrProbeRTT {
		t.Error("ProbeRTT after silence")
	}
}

// Section 5.6.2: until more is known the rate is the initial window per round trip, times the gain. The first ACK
// covers a segment or two, which is no reason to send as slowly.
func TestBBRFirstRate(t *testing.T) {
	b := NewBBR(mss)
	if b.PacingRate() != 0 {
		t.Errorf("rate %d before the first round trip", b.PacingRate())
	}
	b.Acked(1, Ack{Delivered: mss, InFlight: 10 * mss, RTT: 100 * ms, Una: mss, Next: 10 * mss,
		Rate: RateSample{Delivered: mss, Interval: 100 * ms, TxInFlight: mss}})
	if want := int64(10 * mss * 10 * 277 / 100 * 99 / 100); b.PacingRate() != want {
		t.Errorf("rate %d after the first ACK, want %d", b.PacingRate(), want)
	}
}

// ACKs that come sooner after a retransmission than a round trip takes end no round, whatever they say: Drain gives
// up after three.
func TestBBRRoundsTakeTime(t *testing.T) {
	c, now := filled(t, "bbr")
	b := c.(*BBR)
	before := b.rounds
	for range 10 {
		now = now.Add(ms)
		b.Acked(now, Ack{Delivered: mss, InFlight: 10 * mss, InRecovery: true,
			Rate: RateSample{Delivered: b.delivered + mss, PriorDelivered: b.delivered, Interval: 10 * ms, TxInFlight: 10 * mss}})
	}
	if b.rounds > before+1 {
		t.Errorf("%d rounds in a round trip", b.rounds-before)
	}
}
