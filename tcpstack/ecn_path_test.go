package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/netsim"
)

// ECN instead of loss (RFC 3168 section 6.1.2): through a queue that marks, a transfer loses nothing, keeps the queue
// short and fills the path, with every congestion control.
func TestMarksReplaceLosses(t *testing.T) {
	if raceDetector {
		t.Skip("a long simulation in one goroutine")
	}
	const rtt = 20 * time.Millisecond
	for _, c := range []struct {
		cc    string
		queue netsim.Queue
	}{
		{"newreno", &netsim.CoDel{Limit: 1 << 20, ECN: true}},
		{"cubic", &netsim.CoDel{Limit: 1 << 20, ECN: true}},
		{"bbr", &netsim.CoDel{Limit: 1 << 20, ECN: true}},
		{"dctcp", &netsim.RED{Min: 20_000, Max: 150_000, MaxP: 1, Weight: 1, Limit: 1 << 20, ECN: true}},
	} {
		w := newWorld(t, 1, netsim.DumbbellConfig{RTT: rtt, Rate: goldenRate, Queue: c.queue},
			Config{Congestion: c.cc, ECN: ECNRequest})
		d := w.download(0, goldenData, 1<<30)
		w.run(3*time.Second, nil)
		st, q := &w.from[0].stats, w.bell.Bottleneck.Counters
		drops, resent, before := q().Dropped, st.BytesRetransmitted, d.received
		w.run(10*time.Second, nil)
		share := float64(d.received-before) / 10 / float64(goldenRate)
		marked := q().Marked
		t.Logf("%s: %.1f %% of the bottleneck, %d marks, %d drops, %d echoes, %d reductions, srtt %v", c.cc, share*100, marked, q().Dropped,
			st.ECEReceived, st.ECNReductions, d.conn.RTT().SRTT())
		if marked == 0 || q().Dropped > drops || st.BytesRetransmitted > resent {
			t.Errorf("%s: %d marks, %d drops and %d bytes sent again after slow start", c.cc, marked, q().Dropped-drops, st.BytesRetransmitted-resent)
		}
		if srtt := d.conn.RTT().SRTT(); share < .8 || srtt > 2*rtt || d.wrong || d.err != nil {
			t.Errorf("%s: %.1f %% used, srtt %v, wrong %v, %v", c.cc, share*100, srtt, d.wrong, d.err)
		}
	}
}
