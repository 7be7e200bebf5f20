package congestion

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// BBR is BBRv3 as draft-ietf-ccwg-bbr-06 has it: it measures how fast the path delivers and how long the
// way is, sends at that rate, and keeps little more in flight than the product of the two. Section numbers in
// the bbr files are that draft's, and names follow it. Of ECN the draft says nothing; what is done about it is
// Google's BBRv3 for Linux (net/ipv4/tcp_bbr.c of github.com/google/bbr, branch v3).
//
//	     |
//	     V
//	+--> Startup ------------+      accelerate: double the rate each round
//	|      V                 |
//	|    Drain --------------+      empty the queue that Startup left
//	|      V                 |
//	+--> DOWN ---------------+      send less than is delivered, leave headroom
//	| ^    V                 |
//	| |  CRUISE -------------+      send what is delivered
//	| |    V                 |
//	| |  REFILL -------------+      fill the pipe, not the queue
//	| |    V                 |
//	| +--UP -----------------+      probe for more
//	|                        |
//	+--- ProbeRTT <----------+      nearly empty the pipe to see its length
//
// An ACK goes through these files: bbr.go, bbr_rate.go (how fast), bbr_bounds.go (how much is safe),
// bbr_startup.go, bbr_probebw.go and bbr_rtt.go (the states), bbr_control.go (window and rate).
//
// We deviate from the draft where it is said, and in this: recovery reports losses with the ACK that led to
// them, not packet by packet, so that HandleLostPacket (section 5.5.10.2) works on the sample of that ACK, as
// Linux does for each ACK too.
type BBR struct {
	bbrRate
	bbrBounds
	bbrProbe
	bbrRTT
	bbrUndo

	mss       int64
	state     bbrState
	cwnd      int64
	priorCwnd int64 // the last window that neither recovery nor ProbeRTT held down
	pacing    int64 // bytes per second; 0: not known yet
	ssthresh  int64 // for display: the estimate of the pipe when Startup ended
	recovery  bool  // between Lost or Timeout and the end of recovery
	begun     bool
	random    uint64
}

type bbrState uint8

const (
	bbrStartup bbrState = iota
	bbrDrain
	bbrDown
	bbrCruise
	bbrRefill
	bbrUp
	bbrProbeRTT
)

var bbrNames = [...]string{"Startup", "Drain", "ProbeBW_DOWN", "ProbeBW_CRUISE", "ProbeBW_REFILL", "ProbeBW_UP", "ProbeRTT"}

func (s bbrState) String() string { return bbrNames[s] }

// bbrGains are section 5.6.1's table, in per cent.
var bbrGains = [...]struct{ pacing, cwnd int64 }{
	bbrStartup:  {277, 200}, // 4 ln 2: the rate doubles each round
	bbrDrain:    {50, 200},
	bbrDown:     {90, 200},
	bbrCruise:   {100, 200},
	bbrRefill:   {100, 200},
	bbrUp:       {125, 225},
	bbrProbeRTT: {100, 50},
}

// Section 2's constants.
const (
	bbrLossThresh    = 2  // BBR.LossThresh, per cent
	bbrBeta          = 70 // BBR.Beta, per cent
	bbrHeadroom      = 15 // BBR.Headroom, per cent
	bbrPacingMargin  = 1  // BBR.PacingMarginPercent
	bbrMinPipe       = 4  // BBR.MinPipeCwnd, segments
	bbrFullLossCount = 6  // BBRStartupFullLossCnt
	bbrProbeInterval = 5 * time.Second
	bbrMinRTTFilter  = 10 * time.Second
	bbrProbeDuration = 200 * time.Millisecond
	bbrExtraRounds   = 5 // the filter holds one to two times as many rounds
	bbrExtraMax      = 100 * time.Millisecond
)

// NewBBR makes a controller in Startup.
func NewBBR(mss int) *BBR {
	b := &BBR{mss: int64(max(mss, 1)), ssthresh: infinite}
	b.cwnd = InitialWindow(int(b.mss))
	b.resetShortTerm()
	b.longterm, b.perInc, b.ecnAlpha = infinite, infinite, ecnUnit
	return b
}

func (b *BBR) Name() string { return "bbr" }

// Window is the congestion window in bytes.
func (b *BBR) Window() int64 { return b.cwnd }

// PacingRate is in bytes per second.
func (b *BBR) PacingRate() int64 { return b.pacing }

// SSThresh is what the pipe was estimated to hold when Startup ended.
func (b *BBR) SSThresh() int64 { return b.ssthresh }

// OwnsRecovery: the model bounds what is in flight during recovery, too (section 5.6.4.4).
func (b *BBR) OwnsRecovery() {}

// Scalable: the echo of RFC 3168 tells too little, but a DCTCP receiver's is for shallow queues only.
func (b *BBR) Scalable() bool { return false }

// SetMSS follows a change of the segment size.
func (b *BBR) SetMSS(mss int) {
	b.mss = int64(max(mss, 1))
	b.cwnd = max(b.cwnd, b.mss)
}

// State is the state's name in the draft, for display.
func (b *BBR) State() string { return b.state.String() }

// Acked is UpdateOnACK (section 5.2.3).
func (b *BBR) Acked(now mono.Time, e Ack) {
	b.begin(now, e)
	s := b.sample(now, e)
	if e.Lost > 0 {
		b.noteLoss()
	}
	b.countECN(e)
	b.updateLatestDelivery(&s)
	b.updateCongestion(&s)
	b.updateAggregation(now, &s)
	b.checkFullPipe(&s)
	b.checkStartupDone(&s)
	b.checkDrainDone(now, &s)
	b.updateCycle(now, &s)
	b.updateMinRTT(now, &s)
	b.checkProbeRTT(now, &s)
	b.advanceLatestDelivery(&s)
	b.leaveRecovery(e)
	b.setPacingRate(bbrGains[b.state].pacing)
	b.setCwnd(&s)
}

// begin starts the clocks with the first ACK: a new controller has no time yet.
func (b *BBR) begin(now mono.Time, e Ack) {
	if b.begun {
		return
	}
	b.begun = true
	b.minStamp, b.probeMinStamp, b.aggStart, b.cycleStamp = now, now, now, now
	// Nothing in a connection is random but when its packets come, to the nanosecond: enough to keep two
	// flows from probing in step, and the same again in a simulation.
	b.random = uint64(now)*0x9E3779B97F4A7C15 ^ uint64(e.RTT)*0xBF58476D1CE4E5B9 ^ uint64(e.Una) | 1
}

// draw is a number of [0, n): xorshift64 (Marsaglia 2003).
func (b *BBR) draw(n uint64) uint64 {
	b.random ^= b.random << 13
	b.random ^= b.random >> 7
	b.random ^= b.random << 17
	return (b.random >> 16) % n
}

// Lost is OnEnterFastRecovery (section 5.6.4.4): the model answers to the losses themselves, round by round.
// An ECN echo is no loss; Acked has seen it.
func (b *BBR) Lost(_ mono.Time, e Loss) {
	if e.ECN {
		return
	}
	b.saveState()
	b.noteLoss()
	b.recovery = true
}

// Timeout is OnEnterRTO: "reduces C.cwnd to a value that will allow 1 C.SMSS to be transmitted".
func (b *BBR) Timeout(_ mono.Time, _ Loss) {
	b.saveState()
	b.noteLoss()
	// Linux: the path may be another now, so that the pipe is to be found full anew; and the bound that the
	// losses will reduce is the window of before.
	b.resetFullPipe()
	if !b.probing() && b.shortterm == infinite {
		b.shortterm = max(b.cwnd, b.priorCwnd)
	}
	b.cwnd, b.recovery = b.mss, true
}

// leaveRecovery restores the window of before; setCwnd bounds it by what has been learnt since.
func (b *BBR) leaveRecovery(e Ack) {
	if b.recovery && !e.InRecovery {
		b.recovery = false
		b.restoreCwnd()
	}
}

// saveCwnd and restoreCwnd are section 5.6.4.4's.
func (b *BBR) saveCwnd() {
	if b.recovery || b.state == bbrProbeRTT {
		b.priorCwnd = max(b.priorCwnd, b.cwnd)
		return
	}
	b.priorCwnd = b.cwnd
}

func (b *BBR) restoreCwnd() { b.cwnd = max(b.cwnd, b.priorCwnd) }

// Seed takes over another controller's window. Startup finds the rest out, from there: it begins at the
// rate that the window was good for.
func (b *BBR) Seed(_ mono.Time, window, _ int64, srtt time.Duration) {
	b.cwnd = max(window, b.mss)
	if srtt > 0 {
		b.minRTT, b.probeMinRTT = srtt, srtt
		if b.cwnd > InitialWindow(int(b.mss)) {
			b.maxBW[1] = mulDiv(b.cwnd, int64(time.Second), int64(srtt))
		}
		b.setPacingRate(bbrGains[bbrStartup].pacing)
	}
}
