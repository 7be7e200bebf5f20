package congestion

import "ocaserve/tcpstack/mono"

// checkFullPipe looks for the plateau of the delivery rate (section 5.3.1.2): three rounds that did not
// deliver a quarter more.
//
// We deviate as Linux does: growth that any ACK of a round shows counts, not only its first. Few ACKs are
// one of 64 KiB, and Startup that ends early costs a short transfer most.
func (b *BBR) checkFullPipe(s *bbrSample) {
	if b.fullBWNow || s.appLimited || !s.valid {
		return
	}
	if s.bw >= b.fullBW+b.fullBW/4 {
		b.resetFullPipe()
		b.fullBW = s.bw
		return
	}
	if !b.roundStart {
		return
	}
	b.fullBWCount++
	b.fullBWNow = b.fullBWCount >= 3
	b.fullBWReached = b.fullBWReached || b.fullBWNow
}

func (b *BBR) resetFullPipe() { b.fullBW, b.fullBWCount, b.fullBWNow = 0, 0, false }

// checkStartupDone is section 5.3.1.1's.
func (b *BBR) checkStartupDone(s *bbrSample) {
	b.checkStartupCongestion(s)
	if b.state == bbrStartup && b.fullBWReached {
		b.enterDrain()
	}
}

// checkStartupCongestion ends Startup for losses (section 5.3.1.3): a round in recovery, more than LossThresh
// lost, in six places; we count ACKs that brought losses, as Linux does. Two rounds on end of CE marks end it
// too (Linux's bbr_check_ecn_too_high_in_startup).
func (b *BBR) checkStartupCongestion(s *bbrSample) {
	if b.fullBWReached || !s.valid {
		return
	}
	if s.Lost > 0 {
		b.startupLoses++
	}
	if b.roundStart {
		b.ecnRounds++
		if !b.ecnHigh {
			b.ecnRounds = 0
		}
	}
	lossy := b.lossRoundStart && s.InRecovery && b.startupLoses >= bbrFullLossCount && b.inflightTooHigh(s)
	if lossy || b.ecnRounds >= ecnFullCount {
		b.undoState = bbrStartup
		b.fullBWReached = true
		b.longterm = max(b.inflight(b.bandwidth(), 100), b.latestVolume)
	}
	if b.lossRoundStart {
		b.startupLoses = 0
	}
}

func (b *BBR) enterDrain() {
	b.state = bbrDrain
	b.drainRound = b.rounds
	b.ssthresh = b.inflight(b.bandwidth(), 100)
	b.resetCongestionSignals() // Linux: what Startup caused is no sign of others
}

// checkDrainDone is section 5.3.2: drained, or three rounds on.
func (b *BBR) checkDrainDone(now mono.Time, s *bbrSample) {
	if b.state == bbrDrain && (s.Pipe <= b.inflight(b.bw(), 100) || b.rounds > b.drainRound+3) {
		b.startDown(now)
	}
}
