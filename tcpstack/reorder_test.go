package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/netsim"
)

// RFC 8985 section 6.2 step 4: on a path that reorders and loses nothing, D-SACKs widen the reordering window until
// no retransmission is needless any more. After the first seconds none is seen, and the rate is the path's.
func TestReorderingAdapts(t *testing.T) {
	if raceDetector {
		t.Skip("a long simulation in one goroutine")
	}
	const rtt = 40 * time.Millisecond
	for _, cc := range []string{"newreno", "cubic"} {
		w := newWorld(t, 1, netsim.DumbbellConfig{
			RTT: rtt, Rate: goldenRate, BDPs: 4, // more than the receive window: nothing is lost
			Forward: netsim.WireConfig{Reorder: .02, ReorderBy: rtt / 4},
		}, Config{Functions: FunctionsRack, Congestion: cc, MaxReceiveBuffer: 1 << 20})
		d := w.download(0, goldenData, 1<<30)
		w.run(5*time.Second, nil)
		st := &w.from[0].stats
		adapting, before := st.BytesRetransmitted, d.received
		w.run(30*time.Second, nil)
		twice := st.BytesRetransmitted - adapting
		share := float64(d.received-before) / 30 / float64(goldenRate)
		t.Logf("%s: %d bytes sent again while adapting, %d after; %.1f %% of the bottleneck; %d undos", cc, adapting, twice,
			share*100, st.DSACKUndos+st.FullUndos)
		if twice > 0 || share < .9 || d.wrong || d.err != nil {
			t.Errorf("%s: %d bytes were sent again after the window had adapted, %.1f %% used, wrong %v, %v", cc, twice, share*100, d.wrong, d.err)
		}
	}
}

// Reordering without loss costs next to nothing from the first segment on: slow start goes on through duplicate ACKs, ends
// where it ends without reordering, and what is sent again for nothing is taken back within the round trip.
func TestReorderingCostsNothing(t *testing.T) {
	if raceDetector {
		t.Skip("a long simulation in one goroutine")
	}
	const rtt = 100 * time.Millisecond
	take := func(seed uint64, reorder float64) (time.Duration, uint64) {
		w := newWorld(t, seed, netsim.DumbbellConfig{RTT: rtt, Rate: goldenRate, BDPs: 1,
			Forward: netsim.WireConfig{Reorder: reorder, ReorderBy: rtt / 4},
		}, Config{Functions: FunctionsRack, MaxReceiveBuffer: 16 << 20})
		d := w.download(0, goldenData, 4*len(goldenData))
		w.run(time.Minute, func() bool { return d.eof || d.err != nil })
		d.check(t)
		return d.end.Sub(d.start), w.from[0].stats.BytesRetransmitted
	}
	inOrder, _ := take(0, 0)
	for seed := range uint64(8) {
		took, again := take(seed, .02)
		if took > inOrder+inOrder/50 || again > 16*1448 {
			t.Errorf("seed %d: %v, in order %v; %d bytes sent again", seed, took, inOrder, again)
		}
	}
}
