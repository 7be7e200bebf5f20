package congestion

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// A hystart is HyStart++ (RFC 9406): slow start that ends when the round-trip time rises, before the
// queue overflows. On the first sign of a rise growth is slowed to a quarter (Conservative Slow Start, CSS);
// if the rise was noise, slow start goes on as before, else congestion avoidance begins after five rounds.
//
// A round's delay tells late of a queue of a bandwidth-delay product or less; see train.
//
// It is for "the initial slow start" only (section 4.3): later ones know their ssthresh. There is no limit
// L of what one ACK may add: section 4.3 allows L = infinity to a sender that paces.
//
// We deviate: section 4.2 judges a round by eight RTT samples or more. A receiver behind GRO acknowledges up
// to 64 KiB at once, so that rounds of a window of 300 kB have five. Such a round of n < 8 samples is judged
// too, when it is over, by 8/n times the threshold. The smallest of n delays that are spread evenly over a
// range J exceeds x with probability (1 - x/J)^n, and (1 - 8t/(nJ))^n <= (1 - t/J)^8: fewer samples never
// make a false alarm likelier than eight of them do.
type hystart struct {
	end      int64         // SND.NXT when the round began: SND.UNA there is the round's end
	last     time.Duration // lastRoundMinRTT; 0: none
	least    time.Duration // currentRoundMinRTT; 0: none
	baseline time.Duration // cssBaselineMinRtt; 0: not in CSS
	samples  int           // in this round
	rounds   int           // rounds of CSS begun
	rest     int64         // bytes delivered in CSS that did not make a whole step of growth yet
	train    train
}

// Section 4.3, "Tuning Constants and Other Considerations".
const (
	minRTTThresh = 4 * time.Millisecond
	maxRTTThresh = 16 * time.Millisecond
	rttDivisor   = 8 // MIN_RTT_DIVISOR
	rttSamples   = 8 // N_RTT_SAMPLE
	cssDivisor   = 4 // CSS_GROWTH_DIVISOR
	cssRounds    = 5 // CSS_ROUNDS
)

// acked takes an ACK in the first slow start and reports whether slow start is over.
func (h *hystart) acked(now mono.Time, e Ack) (over bool) {
	if h.end == 0 {
		h.end = e.Next
	}
	if e.RTT > 0 {
		h.samples++
		h.least = smaller(h.least, e.RTT)
		if h.samples >= rttSamples {
			h.judge(rttSamples)
		}
	}
	base := h.least
	if h.last > 0 {
		base = min(base, h.last)
	}
	if base > 0 && h.train.acked(now, e, base) {
		return true
	}
	if e.Una < h.end {
		return false
	}
	if 0 < h.samples && h.samples < rttSamples {
		h.judge(h.samples)
	}
	// Section 4.2: "When windowEnd is ACKed, the current round ends and windowEnd is set to SND.NXT."
	h.end, h.samples = e.Next, 0
	h.last, h.least = h.least, 0
	if h.baseline == 0 {
		return false
	}
	// "CSS lasts at most CSS_ROUNDS rounds. If the transition into CSS happens in the middle of a round,
	// that partial round counts towards the limit."
	h.rounds++
	return h.rounds >= cssRounds
}

// judge compares the smallest RTT of the round, of n samples, with that of the round before, and in CSS with
// the one that led there.
func (h *hystart) judge(n int) {
	if h.baseline > 0 {
		if h.least < h.baseline { // the rise was not real: "resume slow start"
			h.baseline, h.rounds = 0, 0
		}
		return
	}
	if h.last == 0 {
		return
	}
	thresh := min(max(minRTTThresh, h.last/rttDivisor), maxRTTThresh)
	if h.least >= h.last+thresh*rttSamples/time.Duration(n) {
		h.baseline, h.rest = h.least, 0
	}
}

// grow is how much n delivered bytes add to the window.
func (h *hystart) grow(n int64) int64 {
	if h.baseline == 0 {
		return n
	}
	h.rest += n
	n = h.rest / cssDivisor
	h.rest -= n * cssDivisor
	return n
}

// smaller is the smaller of two times, of which the first may be 0: none yet.
func smaller(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}
