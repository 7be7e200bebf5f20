package tcpstack

import (
	"math/rand/v2"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/netsim"
)

// lastOf loses the last segments of a response of total ones, as they are sent the first time.
type lastOf struct{ lose, total, seen int }

func (l *lastOf) Lost(_ mono.Time, _ *rand.Rand, _ uint64, p *netsim.Packet) bool {
	if payloadLen(p.Data) == 0 {
		return false
	}
	l.seen++
	return l.seen > l.total-l.lose && l.seen <= l.total
}

// RFC 8985 section 7: a lost tail is found by a loss probe, not by a time-out, also where a FIN ends it.
func TestLostTail(t *testing.T) {
	const segments, rtt = 46, 20 * time.Millisecond
	for _, cc := range []string{"newreno", "cubic", "bbr"} {
		for _, lose := range []int{2, 3, 10} {
			loss := &lastOf{lose: lose, total: segments}
			w := newWorld(t, 1, netsim.DumbbellConfig{RTT: rtt, Rate: goldenRate, BDPs: 4,
				Forward: netsim.WireConfig{Loss: loss}}, Config{Functions: FunctionsRack, Congestion: cc})
			d := w.download(0, goldenData, segments*1448)
			w.run(time.Minute, func() bool { return d.eof || d.err != nil })
			d.check(t)
			s := &w.from[0].stats
			t.Logf("%s, the last %d lost: %v, %d probes, %d time-outs", cc, lose, d.end.Sub(d.start), s.LossProbes, s.Timeouts)
			// Without loss it takes 80 ms. The probe, its SACK and all that is sent again then take 5 round trips with the
			// PTO; what ssthresh does not let out at once takes one more.
			if took := d.end.Sub(d.start); took > 80*time.Millisecond+6*rtt {
				t.Errorf("%s, the last %d lost: %v", cc, lose, took)
			}
			if s.Timeouts > 0 || s.LossProbes == 0 {
				t.Errorf("%s, the last %d lost: %d time-outs, %d probes", cc, lose, s.Timeouts, s.LossProbes)
			}
		}
	}
}
