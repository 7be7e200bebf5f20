package congestion

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// A bbrRTT is the length of the path (section 5.5.7) and ProbeRTT's state (section 5.3.4).
type bbrRTT struct {
	minRTT        time.Duration // the smallest RTT of ten seconds; 0: none yet
	minStamp      mono.Time
	probeMinRTT   time.Duration // the smallest since the last ProbeRTT
	probeMinStamp mono.Time
	probeExpired  bool
	probeDone     mono.Time // when ProbeRTT may end; 0: the pipe is not drained yet
	probeRound    bool      // a round has passed since it was
	idleRestart   bool
}

// updateMinRTT is section 5.3.4.3's.
func (b *BBR) updateMinRTT(now mono.Time, s *bbrSample) {
	b.probeExpired = now.Sub(b.probeMinStamp) > bbrProbeInterval
	if s.RTT > 0 && (b.probeMinRTT == 0 || s.RTT < b.probeMinRTT || b.probeExpired) {
		b.probeMinRTT, b.probeMinStamp = s.RTT, now
	}
	if b.probeMinRTT == 0 {
		return
	}
	if b.minRTT == 0 || b.probeMinRTT < b.minRTT || now.Sub(b.minStamp) > bbrMinRTTFilter {
		b.minRTT, b.minStamp = b.probeMinRTT, b.probeMinStamp
	}
}

// checkProbeRTT enters ProbeRTT when five seconds have brought no smaller RTT, unless the connection was
// idle: that drained the queue as well.
func (b *BBR) checkProbeRTT(now mono.Time, s *bbrSample) {
	if b.state != bbrProbeRTT && b.probeExpired && !b.idleRestart {
		b.saveCwnd()
		b.state = bbrProbeRTT
		b.probeDone = 0
		b.phase = acksProbeStopping
		b.startRound(now)
	}
	if b.state == bbrProbeRTT {
		b.handleProbeRTT(now, s)
	}
	b.idleRestart = b.idleRestart && !s.valid
}

func (b *BBR) handleProbeRTT(now mono.Time, s *bbrSample) {
	b.lowUntil = b.delivered + s.Pipe // "Ignore low rate samples during ProbeRTT"
	switch {
	case !b.probeDone.IsSet():
		if s.Pipe <= b.probeRTTCwnd() {
			b.probeDone = now.Add(bbrProbeDuration)
			b.probeRound = false
			b.startRound(now)
		}
	default:
		b.probeRound = b.probeRound || b.roundStart
		if b.probeRound {
			b.checkProbeRTTDone(now)
		}
	}
}

// checkProbeRTTDone leaves ProbeRTT (section 5.3.4.4): to CRUISE, since the pipe is not full.
func (b *BBR) checkProbeRTTDone(now mono.Time) {
	if !b.probeDone.IsSet() || now.Sub(b.probeDone) <= 0 {
		return
	}
	b.probeMinStamp = now
	b.restoreCwnd()
	b.resetShortTerm()
	b.state = bbrStartup
	if b.fullBWReached {
		b.startDown(now)
		b.startCruise()
	}
}

// Idle is HandleRestartFromIdle (section 5.4.1): the window stays, the rate is exactly the estimate.
func (b *BBR) Idle(now mono.Time) {
	b.idleRestart = true
	b.aggStart, b.aggAcked = now, 0
	if b.inProbeBW() {
		b.setPacingRate(100)
	} else if b.state == bbrProbeRTT {
		b.checkProbeRTTDone(now)
	}
}

// Undo is HandleSpuriousLossDetection (section 5.5.11.2).
func (b *BBR) Undo(now mono.Time) {
	if !b.canUndo {
		return
	}
	b.canUndo = false
	b.restoreCwnd()
	b.lossInRound = false
	b.resetFullPipe()
	b.shortBW = max(b.shortBW, b.undoShortBW)
	b.shortterm = max(b.shortterm, b.undoShortterm)
	b.longterm = max(b.longterm, b.undoLongterm)
	switch {
	case b.undoState == bbrStartup && b.state != bbrStartup:
		b.fullBWReached = false
		if b.state != bbrProbeRTT {
			b.state = bbrStartup
		}
	case b.undoState == bbrUp && b.state != bbrUp && b.state != bbrProbeRTT:
		b.startRefill(now)
	}
	b.undoState = bbrDrain
}
