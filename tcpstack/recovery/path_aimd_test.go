package recovery

import (
	"testing"
	"time"
)

// RACK against the base where each episode halves the window, with PRR and without: with RACK there are next to
// no time-outs, and it is not slower.
//
// The exception is a window so small and a loss so frequent that each episode meets further losses. A lost
// retransmission keeps the base in one recovery until the time-out, six round trips later, and what is lost
// meanwhile costs no reduction (RFC 6675 section 5: one per recovery point); with RACK the episode is over after
// one round trip, and the next loss begins another. So it makes a tenth more reductions, none of which is
// needless. This is the standards' response to what happened, and so it is bounded here and not avoided.
func TestPathAIMD(t *testing.T) {
	for _, c := range []struct {
		segments int64
		loss     float64
		percent  time.Duration // of what the base takes
	}{{40, 0.01, 100}, {40, 0.03, 100}, {100, 0.01, 100}, {100, 0.03, 95}, {400, 0.01, 102}, {400, 0.03, 108}} {
		for _, prr := range []bool{false, true} {
			var took [2]time.Duration
			var rto, reductions, again [2]int
			for seed := range uint64(150) {
				for d := range took {
					p := with(seed, c.segments*mss, Detector(d), true)
					p.s.SampleRTT(p.now, 2*pathDelay)
					p.loss, p.trust = c.loss, true
					p.reno = &reno{ssthresh: p.window, limit: p.window, prr: prr}
					p.run(t)
					took[d] += p.took()
					rto[d] += p.timeouts
					reductions[d] += p.entered
					again[d] += p.again
				}
			}
			t.Logf("%d segments, loss %v, PRR %v: %v, time-outs %v, reductions %v, lost again %v",
				c.segments, c.loss, prr, took, rto, reductions, again)
			if took[1] > took[0]*c.percent/100 || rto[1]*3 > rto[0]*2 || c.segments > 100 && rto[1] > rto[0]/10 {
				t.Errorf("%d segments, loss %v, PRR %v: rack %v (%d time-outs), base %v (%d)",
					c.segments, c.loss, prr, took[1], rto[1], took[0], rto[0])
			}
		}
	}
}

// Reordering without loss (RFC 8985 section 6.2 step 4): once the window has adapted nothing is sent again
// needlessly, whatever share of the segments is late, with all of the window's room and however the bursts
// are cut; and the time-out is not needed.
func TestPathReorderingProperty(t *testing.T) {
	for seed := range uint64(24) {
		p := with(seed, 4_000_000, DetectorRACK, true)
		p.s.SampleRTT(p.now, 2*pathDelay)
		p.trust = true
		p.reorder = []float64{0.002, 0.02, 0.1, 0.4}[seed%4]
		p.window = []int64{8, 64, 200}[seed%3] * mss
		if seed%2 == 0 {
			p.reno = &reno{ssthresh: p.window, limit: p.window, prr: true}
		}
		p.run(t)
		// Each D-SACK widens the window by a quarter of the least round trip, once per round trip; with a few
		// late segments per round trip that is soon over.
		end := p.now
		for i, at := range p.needless {
			if at.Sub(0)-time.Hour > p.took()/2 {
				t.Errorf("seed %d: segment %d of %d sent needlessly %v before the end of %v",
					seed, i, len(p.needless), end.Sub(at), p.took())
			}
		}
		if p.timeouts > 0 {
			t.Errorf("seed %d: %d time-outs", seed, p.timeouts)
		}
	}
}

// The last segment and the FIN behind it are lost (RFC 8985 section 7.2): one probe brings both back, after
// 2*SRTT, or with a lone segment in flight after what the peer may delay its ACK by as well.
func TestPathTailWithFIN(t *testing.T) {
	for _, keep := range []int{0, 1} { // of the last two segments
		p := with(1, 20*mss+1, DetectorRACK, true) // the odd byte is the FIN
		p.s.Init(Config{MSS: mss, SACK: true, Detector: DetectorRACK, Undo: true, MaxAckDelay: 25 * ms})
		p.s.SampleRTT(p.now, 2*pathDelay)
		p.output()
		p.events = p.events[:len(p.events)-2+keep]
		p.run(t)
		if p.timeouts > 0 || p.probes != 1 {
			t.Errorf("%d of the last two kept: %d time-outs, %d probes", keep, p.timeouts, p.probes)
		}
		want := 40*ms + 80*ms + 40*ms // all but the tail; the PTO since its ACK; the probe
		if keep == 0 {
			want += 40 * ms // the probe is the FIN: its SACK tells of the segment before
		} else {
			want += 25 * ms
		}
		if got := p.took(); got != want {
			t.Errorf("%d of the last two kept: took %v, want %v", keep, got, want)
		}
	}
}
