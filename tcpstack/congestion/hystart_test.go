package congestion

import (
	"math/rand/v2"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
)

// A hyStory feeds a CUBIC with rounds of ACKs, each of one segment.
type hyStory struct {
	t    *testing.T
	c    *Cubic
	una  int64
	next int64
}

func newHyStory(t *testing.T) *hyStory { return &hyStory{t: t, c: NewCubic(mss), next: 10 * mss} }

// round delivers a flight in n ACKs with that RTT, and sends the next one meanwhile.
func (s *hyStory) round(n int64, rtt time.Duration) {
	s.t.Helper()
	flight := s.next - s.una
	end := s.next
	for i := int64(1); i <= n; i++ {
		una := end - flight + flight*i/n
		e := Ack{Delivered: una - s.una, InFlight: s.next - s.una, RTT: rtt, Una: una, Next: s.next}
		if i == n { // what the ACK lets go counts to the round that it ends
			after := *s.c
			after.Acked(1, e)
			e.Next = una + after.Window()
		}
		s.una = una
		s.c.Acked(mono.Time(1), e)
		s.next = s.una + s.c.Window()
	}
	s.t.Logf("%3d ACKs, RTT %v: cwnd %d ssthresh %d", n, rtt, s.c.Window(), s.c.SSThresh())
}

func (s *hyStory) want(what string, cwnd, ssthresh int64) {
	s.t.Helper()
	if s.c.Window() != cwnd || s.c.SSThresh() != ssthresh {
		s.t.Fatalf("%s: cwnd %d, ssthresh %d, want %d, %d", what, s.c.Window(), s.c.SSThresh(), cwnd, ssthresh)
	}
}

const ms = time.Millisecond

// RFC 9406 section 4.2: a rise of an eighth leads to CSS, in which the window grows by a quarter of what is
// delivered, and after five rounds to congestion avoidance.
func TestHyStartLeavesSlowStart(t *testing.T) {
	s := newHyStory(t)
	s.round(10, 80*ms)
	s.want("doubles", 20_000, infinite)
	s.round(20, 80*ms)
	s.want("doubles", 40_000, infinite)
	s.round(40, 90*ms)
	// The eighth ACK of 40 shows it; it and the rest count a quarter.
	s.want("enters CSS", 40_000+7_000+33_000/4, infinite)
	for range 3 {
		s.round(8, 90*ms)
	}
	if s.c.SSThresh() != infinite {
		t.Fatal("left CSS early: the partial round and three more make four")
	}
	w := s.c.Window()
	s.round(8, 90*ms)
	if got := s.c.SSThresh(); got == infinite || got < w || got > w+w/4 {
		t.Fatalf("after five rounds ssthresh is %d, want the window", got)
	}
}

// Section 4.2: "if (currentRoundMinRTT < cssBaselineMinRtt)" the rise was none, and slow start resumes.
func TestHyStartResumes(t *testing.T) {
	s := newHyStory(t)
	s.round(10, 80*ms)
	s.round(20, 92*ms)
	w := s.c.Window()
	s.round(20, 91*ms)
	// Seven of 20 ACKs count a quarter, the eighth shows that the RTT fell.
	if grew, want := s.c.Window()-w, w*7/20/4+w*13/20; grew < want-1 || grew > want+1 {
		t.Fatalf("grew by %d after the RTT fell, want %d", grew, want)
	}
	s.round(20, 91*ms)
	if s.c.SSThresh() != infinite {
		t.Fatal("left slow start")
	}
}

// Section 4.3's bounds of RttThresh: 4 ms and 16 ms.
func TestHyStartThresholds(t *testing.T) {
	for _, c := range []struct {
		from, to time.Duration
		css      bool
	}{
		{10 * ms, 13 * ms, false}, {10 * ms, 14 * ms, true},
		{80 * ms, 89 * ms, false}, {80 * ms, 90 * ms, true},
		{400 * ms, 415 * ms, false}, {400 * ms, 416 * ms, true},
	} {
		s := newHyStory(t)
		s.round(10, c.from)
		s.round(20, c.to)
		if got := s.c.hystart.baseline != 0; got != c.css {
			t.Errorf("%v to %v: CSS %v", c.from, c.to, got)
		}
	}
}

// Few ACKs: a round of n < 8 samples is judged at its end, by 8/n times the threshold.
func TestHyStartFewAcks(t *testing.T) {
	for _, c := range []struct {
		acks int64
		rtt  time.Duration
		css  bool
	}{
		{1, 159 * ms, false}, {1, 160 * ms, true},
		{4, 99 * ms, false}, {4, 100 * ms, true},
		{7, 91 * ms, false}, {7, 92 * ms, true},
	} {
		s := newHyStory(t)
		s.round(4, 80*ms)
		s.round(c.acks, c.rtt)
		if got := s.c.hystart.baseline != 0; got != c.css {
			t.Errorf("%d ACKs of %v after 80 ms: CSS %v", c.acks, c.rtt, got)
		}
	}
}

// Section 4.3: HyStart++ is for the initial slow start. After a time-out growth is not slowed.
func TestHyStartOnlyOnce(t *testing.T) {
	s := newHyStory(t)
	s.round(10, 20*ms)
	s.c.Timeout(1, Loss{InFlight: 64_000})
	s.next = s.una + mss
	s.round(1, 20*ms)
	s.round(2, 60*ms)
	s.round(4, 200*ms)
	s.want("doubles each round", 8*mss, 14_000)
}

// With 10 ms of jitter on 40 ms slow start is never left below the bandwidth-delay product, however many
// packets an ACK covers; and of a queue of that size it loses less than slow start does without.
func TestHyStartOnAPath(t *testing.T) {
	for _, name := range []string{"dctcp", "cubic"} {
		for _, every := range []int{1, 2, 16, 44} {
			for _, jitter := range []time.Duration{0, 10 * ms} {
				drops := map[bool]int64{}
				for _, on := range []bool{true, false} {
					for seed := range uint64(2) {
						drops[on] += hyDrops(t, name, every, jitter, 1, seed, on)
					}
				}
				t.Logf("%-8s %2d packets per ACK, jitter %v: %d drops, %d without", name, every, jitter, drops[true], drops[false])
				if drops[true] > drops[false] || every <= 16 && drops[true] > drops[false]*3/5 {
					t.Errorf("%s, %d packets per ACK, jitter %v: %d drops, %d without", name, every, jitter, drops[true], drops[false])
				}
			}
		}
	}
	if n := hyDrops(t, "cubic", 2, 0, 4, 1, true); n > 0 {
		t.Errorf("%d drops from a queue of 4 BDP", n)
	}
}

// hyDrops is what the first 700 ms lose. Without: in a slow start that is not the first.
func hyDrops(t *testing.T, name string, every int, jitter time.Duration, bdps float64, seed uint64, on bool) int64 {
	p := mbps100(t, bdps)
	p.random = rand.New(rand.NewPCG(seed, 2))
	p.every, p.jitter = every, jitter
	f := p.add(name, 0)
	r := renoOf(f.c)
	if !on {
		r.ssthresh = 1 << 60
	}
	f.onAck = func(Ack) {
		if on && r.ssthresh != infinite && p.drops == 0 && r.cwnd < p.bdp() {
			t.Fatalf("%s, %d packets per ACK, jitter %v, seed %d: left slow start at %d, the BDP is %d", name, every, jitter, seed, r.cwnd, p.bdp())
		}
	}
	p.run(700 * ms)
	return p.drops
}

func renoOf(c Controller) *reno {
	switch c := c.(type) {
	case *NewReno:
		return &c.reno
	case *Cubic:
		return &c.reno
	case *DCTCP:
		return &c.reno
	}
	return nil
}
