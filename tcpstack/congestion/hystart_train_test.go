package congestion

import (
	"math/rand/v2"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
)

// leftSlowStart is the window, in BDP, at which a flow over 100 Mb/s x 40 ms with a queue of one BDP left slow start
// without a loss; 0: it did not.
func leftSlowStart(t *testing.T, every int, jitter time.Duration, seed uint64) (window float64, drops int64) {
	p := mbps100(t, 1)
	p.random = rand.New(rand.NewPCG(seed, 2))
	p.every, p.jitter = every, jitter
	f := p.add("cubic", 0)
	r := renoOf(f.c)
	f.onAck = func(Ack) {
		if window == 0 && r.ssthresh != infinite && p.drops == 0 {
			window = float64(r.cwnd) / float64(p.bdp())
		}
	}
	p.run(600 * ms)
	return window, p.drops
}

// A full pipe shows at little more than the window that fills it, before the queue overflows, also where GRO merges
// ACKs.
func TestTrainLeavesInTime(t *testing.T) {
	for every, most := range map[int]float64{1: 1.4, 2: 1.4, 4: 1.4, 44: 1.8} {
		w, drops := leftSlowStart(t, every, 0, 1)
		t.Logf("%d packets per ACK: left at %.2f BDP, %d drops", every, w, drops)
		if w < 0.95 || w > most || drops > 0 {
			t.Errorf("%d packets per ACK: left at %.2f BDP, %d drops", every, w, drops)
		}
	}
}

// Jitter makes it blind rather than hasty.
func TestTrainInJitter(t *testing.T) {
	for _, jitter := range []time.Duration{ms, 3 * ms, 10 * ms} {
		for _, every := range []int{1, 2, 4, 16, 44} {
			for seed := range uint64(2) {
				if w, _ := leftSlowStart(t, every, jitter, seed); w > 0 && w < 0.9 {
					t.Errorf("jitter %v, %d packets per ACK, seed %d: left at %.2f BDP", jitter, every, seed, w)
				}
			}
		}
	}
}

// A trainStory feeds a train with ACKs of two segments of a flight of 160, over 80 ms.
type trainStory struct {
	train
	now mono.Time
}

// acks gives n ACKs, each so long after the one before and with an RTT higher by more; it reports whether one of
// them showed a full pipe.
func (s *trainStory) acks(n int, every, rtt, more time.Duration, app bool) (full bool) {
	for range n {
		s.now = s.now.Add(every)
		rtt += more
		e := Ack{Delivered: 2 * mss, InFlight: 160 * mss, RTT: rtt, AppLimited: app}
		full = s.acked(s.now, e, 80*ms) || full
	}
	return full
}

func TestTrain(t *testing.T) {
	const us = time.Microsecond
	for _, c := range []struct {
		what  string
		every time.Duration // a flight of 160 in 80 ms is 1 ms for two
		more  time.Duration
		app   bool
		full  bool
	}{
		{"the rate of slow start", 1000 * us, 20 * us, false, false},
		{"a full pipe", 1250 * us, 250 * us, false, true},
		{"slow without a queue", 1250 * us, 0, false, false},
		{"a queue that drains", 1250 * us, -100 * us, false, false},
		{"the application is slow", 1250 * us, 250 * us, true, false},
		{"a flight of single packets", 5 * ms, 250 * us, false, false},
	} {
		s := trainStory{now: mono.Time(time.Hour)}
		if got := s.acks(24, c.every, 80*ms, c.more, c.app); got != c.full {
			t.Errorf("%s: full %v", c.what, got)
		}
	}
	// A pause between two flights is no slow rate: what comes after it is another train.
	s := trainStory{now: mono.Time(time.Hour)}
	for range 4 {
		if s.acks(12, 800*us, 80*ms, 20*us, false) {
			t.Error("full after a pause")
		}
		s.now = s.now.Add(30 * ms)
	}
}
