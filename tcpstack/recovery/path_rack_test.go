package recovery

import (
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
)

// with gives a path whose sender is configured; both detectors see the same seed, if not the same fates.
func with(seed uint64, total int64, d Detector, undo bool) *path {
	p := newPath(seed, true, total)
	p.s.Init(Config{MSS: mss, SACK: true, Detector: d, Undo: undo})
	p.dsack, p.stamps = true, undo
	return p
}

func (p *path) took() time.Duration { return time.Duration(p.now) - time.Hour }

// Over any path everything arrives with RACK, with undo, with a receiver that reports what came twice.
func TestPathDeliversRACK(t *testing.T) {
	for seed := range uint64(60) {
		p := with(seed, 500_001, DetectorRACK, seed%2 == 0)
		p.loss = float64(seed%5) * 0.03
		p.reorder = float64(seed%3) * 0.05
		p.dup = float64(seed%7) * 0.02
		p.run(t)
		if p.s.Flight() != 0 || p.s.board.heap != nil || p.s.Deadline() != mono.Never {
			t.Fatalf("seed %d: not idle at the end", seed)
		}
	}
}

// RACK against the base on the same paths: in sum over many transfers it is never slower by more than 2 %,
// for short transfers and long ones. Under loss alone the window is fixed, so that what is compared is the
// recovery and not how often a detector that ends its episodes sooner must answer a loss with a reduction.
// With reordering the window shrinks with each episode, because that is what needless episodes cost.
func TestPathRACKIsNotSlower(t *testing.T) {
	for _, total := range []int64{4 * mss, 40 * mss, 400 * mss} {
		for _, loss := range []float64{0, 0.001, 0.01, 0.03} {
			for _, reorder := range []float64{0, 0.02} {
				var sum [2]time.Duration
				var rto [2]int
				for seed := range uint64(100) {
					for d := range sum {
						p := with(seed, total, Detector(d), true)
						p.s.SampleRTT(p.now, 2*pathDelay)
						p.loss, p.reorder = loss, reorder
						if p.trust = true; reorder > 0 {
							p.reno = &reno{ssthresh: p.window, limit: p.window}
						}
						p.run(t)
						sum[d] += p.took()
						rto[d] += p.timeouts
					}
				}
				t.Logf("%7d bytes, loss %.3f, reorder %.2f: base %v (%d time-outs), rack %v (%d)",
					total, loss, reorder, sum[0], rto[0], sum[1], rto[1])
				if sum[1] > sum[0]*102/100 {
					t.Errorf("%d bytes, loss %v, reorder %v: rack %v, base %v", total, loss, reorder, sum[1], sum[0])
				}
			}
		}
	}
}

// The last segment is lost: a probe and a round trip with RACK, a time-out with the base.
func TestPathTailLoss(t *testing.T) {
	var took [2]time.Duration
	for d := range took {
		p := with(1, 20*mss, Detector(d), true)
		p.s.SampleRTT(p.now, 2*pathDelay)
		p.output()
		p.events = p.events[:len(p.events)-1] // the last segment
		p.dropped++
		p.run(t)
		took[d] = p.took()
		if d == int(DetectorRACK) && (p.timeouts > 0 || p.probes != 1) {
			t.Errorf("%d time-outs, %d probes", p.timeouts, p.probes)
		}
	}
	// 40 ms; the PTO adds 2*SRTT and the receiver's 200 ms for a lone segment, unless the RTO is sooner; 40 ms.
	if took[1] > took[0] {
		t.Errorf("rack %v, base %v", took[1], took[0])
	}

	for d := range took { // the last three: the PTO is 2*SRTT
		p := with(1, 20*mss, Detector(d), true)
		p.s.SampleRTT(p.now, 2*pathDelay)
		p.output()
		p.events = p.events[:len(p.events)-3]
		p.run(t)
		took[d] = p.took()
	}
	if took[1] != 40*ms+80*ms+80*ms { // the rest, the PTO, the probe, the retransmission
		t.Errorf("rack %v", took[1])
	}
	if took[0] < 320*ms {
		t.Errorf("base %v", took[0])
	}
}

// Reordering without loss, within the window that RACK can have (one round trip): nothing is sent again
// needlessly once it has adapted, while the base goes on with it.
func TestPathReorderingAdapts(t *testing.T) {
	for seed := range uint64(10) {
		var late [2]int
		for d := range late {
			p := with(seed, 4_000_000, Detector(d), true)
			p.s.SampleRTT(p.now, 2*pathDelay)
			p.reorder = 0.05 // by up to half a round trip
			p.run(t)
			for _, at := range p.needless {
				if at.Sub(mono.Time(time.Hour)) > 600*ms { // of 2.5 s
					late[d]++
				}
			}
			if p.timeouts > 0 {
				t.Errorf("seed %d, %v: %d time-outs", seed, Detector(d), p.timeouts)
			}
		}
		if late[1] != 0 {
			t.Errorf("seed %d: %d segments sent needlessly after adaptation (base: %d)", seed, late[1], late[0])
		}
		if late[0] == 0 {
			t.Errorf("seed %d: not even the base was disturbed: the test shows nothing", seed)
		}
	}
}

// Needless episodes are undone.
func TestPathUndo(t *testing.T) {
	p := with(3, 2_000_000, DetectorBase, true)
	p.reorder = 0.05
	p.run(t)
	if p.undone == 0 || p.dropped != 0 {
		t.Fatalf("%d undone, %d dropped", p.undone, p.dropped)
	}
	for d := range Detector(2) { // and needed ones are not
		p = with(3, 1_000_000, d, true)
		p.loss = 0.01
		p.run(t)
		if p.undone != 0 || len(p.needless) > 3 { // the ACK was lost, or the tail was probed
			t.Fatalf("%v: %d undone, %d needless on a path without reordering", d, p.undone, len(p.needless))
		}
	}
}
