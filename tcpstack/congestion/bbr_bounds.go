package congestion

import (
	"math"

	"ocaserve/tcpstack/mono"
)

// A bbrBounds is how much the path was seen to bear: inflight_longterm, which bandwidth probes set and
// raise, and bw_shortterm and inflight_shortterm, which congestion since the last probe sets.
type bbrBounds struct {
	longterm  int64 // inflight_longterm, bytes
	shortterm int64 // inflight_shortterm, bytes
	shortBW   int64 // bw_shortterm, bytes/s

	lossRound      int64 // loss_round_delivered
	lossRoundStart bool
	lossInRound    bool
	lostInRound    int64 // bytes judged lost in the loss round
	ackedInRound   int64 // bytes delivered in it
	latestBW       int64 // bw_latest: the largest sample of this round
	latestVolume   int64 // inflight_latest

	ecnAlpha     int64 // the smoothed share of CE marks, in 1/ecnUnit
	ecnInRound   bool
	ecnHigh      bool  // the round that just ended was marked beyond ecnThresh
	ecnRounds    int   // rounds of Startup on end that were
	ceMarked     int64 // bytes with CE in this round
	ceDelivered  int64 // of so many
	startupLoses int   // ACKs with losses in this round of Startup
}

// Linux's bbr_ecn_alpha_gain = 1/16 (DCTCP's g), bbr_ecn_alpha_init = 1, bbr_ecn_factor = 1/3, bbr_ecn_thresh
// = 1/2 and bbr_full_ecn_cnt = 2.
//
// We deviate: Linux heeds ECN at an RTT below 5 ms only (bbr_ecn_max_rtt_us), and where a route says that
// marks are early. We asked for marks, so that we owe a response at any RTT (RFC 3168 section 6.1.2).
const (
	ecnUnit      = 1 << 10
	ecnGain      = 16
	ecnFactor    = 3
	ecnThresh    = 2
	ecnFullCount = 2
)

// noteLoss begins a round of loss (section 5.5.10.2).
func (b *BBR) noteLoss() {
	if !b.lossInRound {
		b.lossRound = b.delivered
		b.lostInRound, b.ackedInRound = 0, 0
	}
	b.lossInRound = true
}

// updateLatestDelivery is section 5.5.10.3: the maxima of a round.
func (b *BBR) updateLatestDelivery(s *bbrSample) {
	b.lossRoundStart = false
	b.lostInRound += s.Lost
	b.ackedInRound += s.Delivered
	if !s.valid {
		return
	}
	b.latestBW = max(b.latestBW, s.bw)
	b.latestVolume = max(b.latestVolume, s.volume)
	if s.Rate.PriorDelivered >= b.lossRound {
		b.lossRound = b.delivered
		b.lossRoundStart = true
	}
}

func (b *BBR) advanceLatestDelivery(s *bbrSample) {
	if b.lossRoundStart {
		b.latestBW, b.latestVolume = s.bw, s.volume
		b.lostInRound, b.ackedInRound = 0, 0
	}
}

func (b *BBR) resetCongestionSignals() {
	b.lossInRound, b.ecnInRound = false, false
	b.latestBW, b.latestVolume = 0, 0
}

// updateCongestion takes the rate sample and, once per round, answers to what went wrong in it.
func (b *BBR) updateCongestion(s *bbrSample) {
	if !s.valid {
		return
	}
	b.updateMaxBW(s)
	if !b.lossRoundStart {
		return
	}
	b.adaptLowerBounds()
	b.lossInRound, b.ecnInRound = false, false
}

// countECN keeps ecn_alpha, as bbr_update_ecn_alpha does.
func (b *BBR) countECN(e Ack) {
	b.ecnHigh = false
	b.ecnInRound = b.ecnInRound || e.Marked > 0
	b.ceMarked += min(e.Marked, e.Delivered)
	b.ceDelivered += e.Delivered
	if !b.roundStart || b.ceDelivered == 0 {
		return
	}
	share := mulDiv(b.ceMarked, ecnUnit, b.ceDelivered)
	b.ecnAlpha += (share - b.ecnAlpha) / ecnGain
	b.ecnHigh = share > ecnUnit/ecnThresh
	b.ceMarked, b.ceDelivered = 0, 0
}

// probing is IsProbingBW: bounds do not hold while the path is being tried.
func (b *BBR) probing() bool {
	return b.state == bbrStartup || b.state == bbrRefill || b.state == bbrUp
}

// adaptLowerBounds is AdaptLowerBoundsFromCongestion, with Linux's cut by ecn_alpha / 3.
func (b *BBR) adaptLowerBounds() {
	if b.probing() {
		return
	}
	ecn := int64(infinite)
	if b.ecnInRound {
		b.initShortterm()
		ecn = b.shortterm - mulDiv(b.shortterm, b.ecnAlpha, ecnUnit*ecnFactor)
	}
	if b.lossInRound && b.beyondThresh(b.lostInRound, b.lostInRound+b.ackedInRound) {
		b.initShortterm()
		if b.shortBW == infinite {
			b.shortBW = b.bandwidth()
		}
		b.shortBW = min(b.shortBW, max(b.tolerated(b.latestBW), b.shortBW/100*bbrBeta, 1))
		b.shortterm = min(b.shortterm, max(b.tolerated(b.latestVolume), b.shortterm/100*bbrBeta))
	}
	b.shortterm = min(b.shortterm, ecn)
}

func (b *BBR) initShortterm() {
	if b.shortterm == infinite {
		b.shortterm = b.cwnd
	}
}

// tolerated is what a path that delivered n may be given after a round with losses.
//
// We deviate: the draft gives it n. What is sent is n and what was lost, at a rate a margin below the
// estimate; to send n at that margin next time makes a rate that sinks by the margin and the loss in each
// round, of which there are sixty until the next probe: a path that loses 1 % at random would be used to a
// half. LossThresh says which loss is no sign of congestion; so much, and the margin, is given back. Where
// more is lost the rate sinks by what goes beyond.
func (b *BBR) tolerated(n int64) int64 {
	lost := min(mulDiv(b.lostInRound, 1000, max(b.lostInRound+b.ackedInRound, 1)), 10*bbrLossThresh)
	n = mulDiv(n, 1000+10*bbrPacingMargin+lost, 1000)
	return mulDiv(n, 100, min(bbrGains[b.state].pacing, 100))
}

func (b *BBR) resetShortTerm() { b.shortBW, b.shortterm = infinite, infinite }

// inflightTooHigh is IsInflightTooHigh: more than LossThresh of the flight lost, or for half of the last round
// CE (Linux's bbr_is_inflight_too_high).
func (b *BBR) inflightTooHigh(s *bbrSample) bool {
	return s.valid && b.beyondThresh(s.Rate.Lost, s.Rate.TxInFlight) || b.ecnHigh
}

// beyondThresh reports whether more than LossThresh of a flight was lost.
//
// We deviate: a path that loses just that share at random loses more of every other flight. Of a flight of
// which n segments may be lost, n + 2 sqrt(n) are tolerated: chance goes beyond once in forty times.
func (b *BBR) beyondThresh(lost, flight int64) bool {
	most := flight / 100 * bbrLossThresh
	return lost > most+2*int64(math.Sqrt(float64(most)*float64(b.mss)))
}

// handleTooHigh is HandleInflightTooHigh: a probe went too far, and is over.
func (b *BBR) handleTooHigh(now mono.Time, s *bbrSample) {
	b.prevTooHigh, b.probeSample = true, false
	if !s.appLimited {
		b.longterm = max(s.Rate.TxInFlight, b.targetInflight()/100*bbrBeta, b.minPipe())
	}
	if b.state == bbrUp {
		b.undoState = bbrUp
		b.startDown(now)
	}
}

// withHeadroom leaves a part of the long-term bound to others: InflightWithHeadroom.
func (b *BBR) withHeadroom() int64 {
	if b.longterm == infinite {
		return infinite
	}
	return max(b.longterm-max(b.mss, b.longterm/100*bbrHeadroom), b.minPipe())
}

// A bbrUndo is what an episode of loss found (section 5.5.11.1).
type bbrUndo struct {
	canUndo       bool
	undoState     bbrState // Startup or UP if the losses ended it, else none: Drain
	undoShortBW   int64
	undoShortterm int64
	undoLongterm  int64
}

func (b *BBR) saveState() {
	b.saveCwnd()
	b.canUndo, b.undoState = true, bbrDrain
	b.undoShortBW, b.undoShortterm, b.undoLongterm = b.shortBW, b.shortterm, b.longterm
}
