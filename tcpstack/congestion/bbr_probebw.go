package congestion

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// A bbrProbe is where in its cycle of probing for bandwidth the connection is (section 5.3.3).
type bbrProbe struct {
	fullBW        int64 // the baseline of the search for a plateau, bytes/s
	fullBWCount   int
	fullBWNow     bool // a plateau was reached
	fullBWReached bool // at least once
	drainRound    int64

	phase           bbrPhase
	probeSample     bool // is_bw_probe_sample: samples reflect what REFILL or UP sent
	prevTooHigh     bool // prev_probe_too_high
	prevPrecaution  bool // prev_probe_precautionary
	cycleStamp      mono.Time
	probeWait       time.Duration
	sinceProbe      int64 // rounds_since_probe_up
	upRounds        uint  // bw_probe_up_rounds
	upAcked, perInc int64 // bytes delivered since the last increment of inflight_longterm; so many make one
}

// A bbrPhase says what ACKs reflect.
type bbrPhase uint8

const (
	acksInit bbrPhase = iota
	acksRefilling
	acksProbeStarting
	acksProbeFeedback
	acksProbeStopping
)

func (b *BBR) inProbeBW() bool { return b.state >= bbrDown && b.state <= bbrUp }

func (b *BBR) startDown(now mono.Time) {
	b.resetCongestionSignals()
	b.perInc = infinite
	b.pickProbeWait()
	b.cycleStamp = now
	b.phase = acksProbeStopping
	b.startRound(now)
	b.state = bbrDown
}

// startCruise takes Linux's care that no short-term bound of before is above the long-term one.
func (b *BBR) startCruise() {
	if b.shortterm != infinite {
		b.shortterm = min(b.shortterm, b.longterm)
	}
	b.state = bbrCruise
}

func (b *BBR) startRefill(now mono.Time) {
	b.resetShortTerm()
	b.upRounds, b.upAcked = 0, 0
	b.prevPrecaution = false
	b.phase = acksRefilling
	b.startRound(now)
	b.state = bbrRefill
}

func (b *BBR) startUp(now mono.Time, s *bbrSample) {
	b.phase = acksProbeStarting
	b.startRound(now)
	b.cycleStamp = now
	b.resetFullPipe()
	b.fullBW = s.bw
	b.state = bbrUp
	b.raiseSlope()
}

// updateCycle is UpdateProbeBWCyclePhase (section 5.3.3.9).
func (b *BBR) updateCycle(now mono.Time, s *bbrSample) {
	if !b.fullBWReached || !s.valid || b.adaptLongTerm(now, s) {
		return
	}
	switch b.state {
	case bbrDown:
		if !b.probeTime(now) && b.cruiseTime(s) {
			b.startCruise()
		}
	case bbrCruise:
		b.probeTime(now)
	case bbrRefill:
		if b.roundStart {
			b.probeSample = true
			b.startUp(now, s)
		}
	case bbrUp:
		if b.downTime(s) {
			b.prevTooHigh = false
			b.startDown(now)
		}
	}
}

// adaptLongTerm is AdaptLongTermModel: it reports whether it changed the state.
func (b *BBR) adaptLongTerm(now mono.Time, s *bbrSample) bool {
	if b.phase == acksProbeStarting && b.roundStart {
		b.phase = acksProbeFeedback
	}
	if b.phase == acksProbeStopping && b.roundStart {
		b.probeSample = false
		b.phase = acksInit
		if b.inProbeBW() && !s.appLimited {
			b.advanceMaxBW()
		}
		// Section 5.3.3.6: a cautious probe went well, and is followed by a whole one.
		if b.inProbeBW() && b.prevPrecaution && !b.prevTooHigh {
			b.startRefill(now)
			return true
		}
	}
	if b.inflightTooHigh(s) {
		if b.probeSample {
			b.handleTooHigh(now, s)
		}
		return false
	}
	if b.longterm != infinite {
		b.longterm = max(b.longterm, s.Rate.TxInFlight)
		if b.state == bbrUp {
			b.probeUpward(s)
		}
	}
	return false
}

// cruiseTime is IsTimeToCruise.
func (b *BBR) cruiseTime(s *bbrSample) bool {
	return s.Pipe <= b.withHeadroom() && s.Pipe <= b.inflight(b.bandwidth(), 100)
}

// downTime is IsTimeToGoDown (section 5.3.3.7).
func (b *BBR) downTime(s *bbrSample) bool {
	if b.prevTooHigh && s.InFlight >= b.longterm {
		b.prevPrecaution = true
		return true
	}
	if s.cwndFull && b.cwnd >= b.longterm {
		b.resetFullPipe()
		b.fullBW = s.bw
		return false
	}
	return b.fullBWNow
}

// raiseSlope makes inflight_longterm grow by 1, 2, 4, 8 segments in successive rounds.
func (b *BBR) raiseSlope() {
	b.perInc = max(b.cwnd>>b.upRounds, b.mss)
	b.upRounds = min(b.upRounds+1, 30)
}

// probeUpward is ProbeInflightLongtermUpward.
func (b *BBR) probeUpward(s *bbrSample) {
	if !s.cwndFull || b.cwnd < b.longterm {
		return // not using all of it
	}
	b.upAcked += s.Delivered
	if b.upAcked >= b.perInc {
		n := b.upAcked / b.perInc
		b.upAcked -= n * b.perInc
		b.longterm += n * b.mss
	}
	if b.roundStart {
		b.raiseSlope()
	}
}

// probeTime starts a probe when it is time (section 5.3.3.8): after two to three seconds, or sooner where a
// Reno flow of this window would have had a loss, after as many rounds as the window has segments, 63 at
// most.
func (b *BBR) probeTime(now mono.Time) bool {
	reno := min(b.targetInflight()/b.mss, 63)
	if now.Sub(b.cycleStamp) <= b.probeWait && b.sinceProbe < reno {
		return false
	}
	b.startRefill(now)
	return true
}

func (b *BBR) pickProbeWait() {
	b.sinceProbe = int64(b.draw(2))
	b.probeWait = 2*time.Second + time.Duration(b.draw(uint64(time.Second)))
}

// targetInflight is how much we want in flight: "our estimated BDP, unless congestion cut C.cwnd".
func (b *BBR) targetInflight() int64 { return min(b.bdp(b.bw(), 100), b.cwnd) }
