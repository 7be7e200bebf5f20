package recovery

import (
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
)

// probe takes what Probe offers, compares, and sends it.
func (x *story) probe(unsent, from, to int64) {
	x.Helper()
	r, isNew := x.s.Probe(unsent)
	if r.From != from || r.To != to || isNew != (from == x.s.Next() && from < to) {
		x.Fatalf("Probe(%d) = %v, %v, want %d..%d", unsent, r, isNew, from, to)
	}
	if from < to {
		x.resend(from, to)
		if r, _ := x.s.Probe(unsent); r.To != 0 {
			x.Fatalf("a second probe %v", r)
		}
	}
}

// RFC 8985 section 7.2, TLP_calc_PTO.
func TestPTO(t *testing.T) {
	x := fast(t) // RTO 100 + 200 ms
	x.send(2000)
	x.wantDeadline(TimerProbe, 200*ms) // 2*SRTT
	x.advance(100 * ms)
	x.ack(1000, nil, "acked 1000, rtt 100ms")
	x.wantDeadline(TimerProbe, 300*ms) // + TLP.max_ack_delay for a lone segment, but not after the RTO
	x.s.minRTO = time.Second
	x.advance(10 * ms)
	x.send(500)
	x.wantDeadline(TimerProbe, 200*ms) // restarted by new data: two segments
	x.advance(90 * ms)
	x.ack(2000, nil, "acked 1000, rtt 200ms")
	x.wantDeadline(TimerProbe, 2*x.s.rtt.SRTT()+200*ms)

	x = tell(t, Config{SACK: true, Detector: DetectorRACK, InitialRTO: 3 * time.Second, MaxAckDelay: 50 * ms})
	x.send(2000)
	x.wantDeadline(TimerProbe, time.Second) // no SRTT
	x.timeout(time.Second, "probe")
	x.probe(0, 0, 0)                        // RFC 8985 section 7.3: "the sender has obtained an RTT measurement ... since the start"
	x.wantDeadline(TimerRTO, 2*time.Second) // where it was: no probe was sent
	x.advance(10 * ms)
	x.ack(1500, nil, "acked 1500, rtt 1.01s")
	x.wantDeadline(TimerProbe, 2020*ms+50*ms)
}

// RFC 8985 section 3.3, tail loss: the probe's SACK tells RACK about the rest, and no time-out is waited for.
func TestTLPTailLoss(t *testing.T) {
	x := fast(t)
	x.send(6000) // the last three are lost
	x.advance(100 * ms)
	x.ack(3000, nil, "acked 3000, rtt 100ms")
	x.timeout(200*ms, "probe")
	x.probe(0, 5000, 6000)
	x.wantState(Open)
	x.wantDeadline(TimerRTO, x.s.RTO()) // "the sender MUST re-arm the RTO timer"
	x.advance(100 * ms)
	x.ack(3000, sack(5000, 6000), "sacked 1000, lost 2000, entered, tail")
	x.lost(64_000, 3000, 5000)
	x.advance(100 * ms)
	x.ack(6000, nil, "acked 3000, delivered 2000, exited")
	x.wantIdle()
}

// A probe goes alone and may come back sooner than any segment of a burst: it is still the probe that arrived.
func TestTLPFasterThanAnyBefore(t *testing.T) {
	for _, c := range []struct {
		rtt  time.Duration
		want string
	}{
		{95 * ms, "sacked 1000, lost 2000, entered, tail"},
		{80 * ms, "sacked 1000"}, // the original
	} {
		x := fast(t)
		x.send(6000)
		x.advance(100 * ms)
		x.ack(3000, nil, "acked 3000, rtt 100ms")
		x.timeout(200*ms, "probe")
		x.probe(0, 5000, 6000)
		x.advance(c.rtt)
		x.ack(3000, sack(5000, 6000), c.want)
	}
}

// RFC 8985 section 7.3: unsent data is the better probe.
func TestTLPNewData(t *testing.T) {
	x := fast(t)
	x.send(3000)
	x.timeout(200*ms, "probe")
	x.probe(5000, 3000, 4000)
	x.advance(100 * ms)
	x.ack(0, sack(3000, 4000), "sacked 1000, lost 3000, entered, tail, rtt 100ms")
	x.lost(64_000, 0, 3000)
	x.advance(100 * ms)
	x.ack(4000, nil, "acked 4000, delivered 3000, exited")
}

// The last segment is cut as it was: what is left over after full ones.
func TestTLPShortSegment(t *testing.T) {
	x := fast(t)
	x.send(2300)
	x.timeout(200*ms, "probe")
	x.probe(0, 2000, 2300)
}

// RFC 8985 section 7.4.2, cases 1 to 3, and new data.
func TestTLPLossAccounting(t *testing.T) {
	begin := func(unsent int64) *story {
		x := fast(t)
		x.send(2000)
		x.advance(100 * ms)
		x.ack(1000, nil, "acked 1000, rtt 100ms")
		x.timeout(300*ms, "probe")
		x.probe(unsent, 2000-1000*min(1, 1-unsent/1000), 2000+unsent)
		x.advance(50 * ms)
		return x
	}
	x := begin(0) // case 1: both copies arrived
	x.ack(2000, nil, "acked 1000")
	x.advance(50 * ms)
	x.ack(2000, sack(1000, 2000), "duplicate 1, dsack 1000..2000")
	x.wantNoProbeLoss(2)
	if x.s.rack.mult != 1 {
		t.Fatal("a probe's D-SACK widened the window")
	}
	x = begin(0) // case 2: the same, without D-SACK
	x.ack(2000, nil, "acked 1000")
	x.ackInfo(AckInfo{Ack: 2000, IsDup: true}, "-")
	x.wantNoProbeLoss(2)

	x = begin(0) // case 3: only one copy arrived
	x.ack(2000, nil, "acked 1000")
	x.send(2000)
	x.advance(100 * ms)
	x.ack(3000, nil, "acked 1000, entered, probe loss, rtt 100ms")
	x.wantState(Open)
	x.ack(4000, nil, "acked 1000, rtt 100ms")

	x = begin(1000) // new data: RACK sees losses
	x.ack(3000, nil, "acked 2000, rtt 50ms")
	x.wantNoProbeLoss(3)
}

func (x *story) wantNoProbeLoss(segments int64) {
	x.Helper()
	if x.s.probe.end != 0 {
		x.Fatal("the episode is not over")
	}
	x.send(1000)
	x.advance(100 * ms)
	x.ack(segments*1000+1000, nil, "acked 1000, rtt 100ms")
}

// RFC 8985 section 7.3, the two conditions: one probe at a time, and a sample between two.
func TestTLPConditions(t *testing.T) {
	x := fast(t)
	x.send(2000)
	x.timeout(200*ms, "probe")
	x.probe(0, 1000, 2000)
	x.send(2000) // arms the PTO again
	x.timeout(200*ms, "probe")
	x.probe(0, 0, 0) // the first is still under way, and the time-out is not put off
	x.wantDeadline(TimerRTO, x.s.RTO()-200*ms)
	x.advance(ms)
	x.ack(2000, sack(1000, 2000), "acked 2000, duplicate 1, dsack 1000..2000") // Karn: no sample
	x.wantDeadline(TimerProbe, 200*ms)
	x.timeout(200*ms, "probe")
	x.probe(0, 0, 0)
	x.advance(ms)
	x.ack(3000, nil, "acked 1000, rtt 402ms")
	x.now = x.s.Deadline()
	x.expect("PTO", x.s.Timeout(x.now), "probe")
	x.probe(0, 3000, 4000)
}

// RFC 8985 section 7.2: no PTO in recovery, none with SACKed segments; section 7.1: recovery ends an episode.
func TestTLPNotArmed(t *testing.T) {
	x := fast(t)
	x.spaced(3)
	x.advance(98 * ms)
	x.ack(0, sack(2000, 3000), "sacked 1000, rtt 99ms")
	x.wantDeadline(TimerReorder, 23750*time.Microsecond) // 1 + 99 + 99/4 - 101
	x.send(1000)
	x.wantDeadline(TimerReorder, 23750*time.Microsecond)
	x.timeout(23750*time.Microsecond, "reorder, lost 2000, entered")
	x.send(1000)
	x.wantDeadline(TimerRTO, x.s.RTO())

	x = fast(t)
	x.send(3000)
	x.timeout(200*ms, "probe")
	x.probe(0, 2000, 3000)
	x.timeout(300*ms, "lost 3000, entered")
	if x.s.probe.end != 0 {
		t.Fatal("a time-out ends the probe's episode")
	}
	x.lost(mss, 0, 1000)
	x.wantDeadline(TimerRTO, 600*ms)
}

// An ACK that comes before the probe could be sent makes it pointless.
func TestTLPNotSent(t *testing.T) {
	x := fast(t)
	x.send(3000)
	x.timeout(200*ms, "probe")
	x.ack(1000, nil, "acked 1000, rtt 200ms")
	x.probe(0, 0, 0)
	x.ack(3000, nil, "acked 2000, rtt 200ms")
	x.wantIdle()
}

// RFC 7765 section 4: few segments left and none to send: the time-out counts from the transmission.
func TestRTORestart(t *testing.T) {
	for _, c := range []struct {
		unsent int64
		want   time.Duration
	}{
		{0, 300*ms - 90*ms}, // T_earliest: the second was sent 90 ms ago
		{1500, 300 * ms},    // 2 + 2 segments are not below rrthresh
		{1000, 300*ms - 90*ms},
	} {
		x := tell(t, Config{SACK: true, RTORestart: true})
		x.s.SampleRTT(x.now, 100*ms)
		x.send(1000)
		x.advance(10 * ms)
		x.send(2000)
		x.advance(90 * ms)
		x.ackInfo(AckInfo{Ack: 1000, Unsent: c.unsent}, "acked 1000, rtt 100ms")
		x.wantDeadline(TimerRTO, c.want)
	}
	x := tell(t, Config{SACK: true, RTORestart: true}) // "RTO, otherwise": it would be past
	x.s.SampleRTT(x.now, 10*ms)
	x.send(1000)
	x.advance(ms)
	x.send(1000)
	x.s.timer = mono.Never - 1
	x.advance(5 * time.Second)
	x.ack(1000, nil, "acked 1000, rtt 5.001s")
	x.s.rto = 4 * time.Second
	x.s.restartTimer(x.now, 0)
	x.wantDeadline(TimerRTO, 4*time.Second)
}

// A tail that has just been sent is no tail to rescue: its own ACK would be taken for the rescue's, and the
// retransmission of before for lost once more (RFC 6675 section 4 rule 4 with RFC 8985 section 3.4).
func TestRescueWaitsForRoundTrip(t *testing.T) {
	start := func() *story {
		x := tell(t, Config{SACK: true, Detector: DetectorRACK})
		x.s.SampleRTT(x.now, 40*ms)
		x.send(5000)
		x.advance(39 * ms)
		x.send(2000) // all there is
		x.advance(ms)
		x.ack(0, sack(1000, 4000), "sacked 3000, lost 1000, entered, rtt 40ms")
		x.lost(mss, 0, 1000)
		x.rescue(0, 0)
		x.advance(40 * ms)
		return x
	}
	x := start() // the segments before the retransmission, sent a little earlier
	x.ack(0, sack(1000, 7000), "sacked 3000, rtt 41ms")
	x.ack(7000, nil, "acked 7000, delivered 1000, exited")

	x = start() // the tail is lost in truth
	x.ack(0, sack(1000, 6000), "sacked 2000, rtt 41ms")
	x.rescue(6000, 7000)
	x.ack(6000, nil, "acked 6000, delivered 1000, partial")
	x.advance(40 * ms)
	x.ack(7000, nil, "acked 1000, exited")
}
