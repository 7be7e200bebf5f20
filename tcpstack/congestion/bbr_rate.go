package congestion

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// A bbrRate is the model's rate: section 5.5.1 to 5.5.6, and 5.5.9.
type bbrRate struct {
	delivered  int64     // C.delivered, bytes
	roundAt    mono.Time // when the round began
	nextRound  int64     // next_round_delivered: a sample from there on begins a round
	roundStart bool      // this ACK begins a round
	rounds     int64     // round_count
	maxBW      [2]int64  // the largest sample of the last ProbeBW cycle and of this one, bytes/s
	lowUntil   int64     // delivered: samples of what was sent before are too low (ProbeRTT)

	aggStart  mono.Time // extra_acked_interval_start
	aggAcked  int64     // extra_acked_delivered
	aggMax    [2]int64  // extra_acked, the largest of the last rounds and of these, bytes
	aggRounds int       // rounds in aggMax[1]
}

// A bbrSample is what an ACK tells: RS, and the state of the connection then.
type bbrSample struct {
	Ack
	valid      bool  // there is a sample
	bw         int64 // RS.delivery_rate, bytes/s
	volume     int64 // RS.delivered, bytes
	appLimited bool  // RS.is_app_limited
	cwndFull   bool  // C.is_cwnd_limited
}

// sample computes the delivery rate and tells rounds apart: UpdateRound (section 5.5.1).
//
// We deviate: a round also takes the better part of min_rtt. What was retransmitted needlessly is acknowledged at
// once, by the ACK of the original; each of those would count as a round, and hundreds come together.
func (b *BBR) sample(now mono.Time, e Ack) bbrSample {
	r := &e.Rate
	s := bbrSample{Ack: e, volume: r.Delivered - r.PriorDelivered}
	// An interval of 0 means that the ACK may be of an earlier transmission than the newest: that one's state
	// then tells nothing of rounds either, and each of a burst of such ACKs would count as one.
	s.valid = r.Interval > 0 && r.TxInFlight > 0 && s.volume > 0
	s.cwndFull = !e.AppLimited && e.InFlight+2*b.mss > b.cwnd
	s.appLimited = r.AppLimited || r.PriorDelivered < b.lowUntil
	b.roundStart = false
	if !s.valid {
		return s
	}
	s.bw = mulDiv(s.volume, int64(time.Second), int64(r.Interval))
	b.delivered = max(b.delivered, r.Delivered)
	if r.PriorDelivered >= b.nextRound && now.Sub(b.roundAt) >= b.minRTT/8*7 {
		b.startRound(now)
		b.rounds++
		b.sinceProbe++
		b.roundStart = true
	}
	return s
}

func (b *BBR) startRound(now mono.Time) { b.nextRound, b.roundAt = b.delivered, now }

// bandwidth is BBR.max_bw, and bw what the short-term model leaves of it: BoundBWForModel.
func (b *BBR) bandwidth() int64 { return max(b.maxBW[0], b.maxBW[1]) }
func (b *BBR) bw() int64        { return min(b.bandwidth(), b.shortBW) }

// updateMaxBW is section 5.5.5: "the estimator discards application-limited samples", unless they are
// larger than the estimate.
func (b *BBR) updateMaxBW(s *bbrSample) {
	if s.bw >= b.bandwidth() || !s.appLimited {
		b.maxBW[1] = max(b.maxBW[1], s.bw)
	}
}

// advanceMaxBW forgets the cycle before the last (section 5.5.6), unless this one saw nothing (Linux).
func (b *BBR) advanceMaxBW() {
	if b.maxBW[1] > 0 {
		b.maxBW[0], b.maxBW[1] = b.maxBW[1], 0
	}
}

// updateAggregation measures by how much ACKs come in lumps: what they cover beyond what the rate explains
// (section 5.5.9). As in Linux the filter is two buckets, of five rounds each or in Startup of one.
func (b *BBR) updateAggregation(now mono.Time, s *bbrSample) {
	if b.roundStart {
		b.aggRounds++
		if b.aggRounds >= bbrExtraRounds || !b.fullBWReached {
			b.aggMax[0], b.aggMax[1], b.aggRounds = b.aggMax[1], 0, 0
		}
	}
	expected := mulDiv(b.bw(), int64(now.Sub(b.aggStart)), int64(time.Second))
	if b.aggAcked <= expected {
		b.aggAcked, b.aggStart, expected = 0, now, 0
	}
	b.aggAcked += s.Delivered
	b.aggMax[1] = max(b.aggMax[1], min(b.aggAcked-expected, b.cwnd))
}

// extraAcked is bounded as in Linux: an ACK that comes seconds late is no reason for a queue of seconds.
func (b *BBR) extraAcked() int64 {
	return min(max(b.aggMax[0], b.aggMax[1]), mulDiv(b.bw(), int64(bbrExtraMax), int64(time.Second)))
}
