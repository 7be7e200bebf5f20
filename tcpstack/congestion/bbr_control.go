package congestion

import "time"

// setPacingRate is section 5.6.2: the estimate times the gain, 1 % less "to drive the network toward lower
// queues". Until the pipe was full once it only rises. Before the first sample it is the initial window per
// round trip; and before the first round trip unknown.
//
// We deviate there: the draft assumes 1 ms, which would send ten segments in 0.4 ms. The stack's own pacing
// knows the handshake's round trip.
func (b *BBR) setPacingRate(gain int64) {
	bw := b.bw()
	if b.pacing == 0 && b.minRTT > 0 { // the first ACKs tell of a part of the first flight only
		bw = max(bw, mulDiv(InitialWindow(int(b.mss)), int64(time.Second), int64(b.minRTT)))
	}
	rate := mulDiv(bw, gain*(100-bbrPacingMargin), 100*100)
	if b.fullBWReached || rate > b.pacing {
		b.pacing = rate
	}
}

// bdp is BDPMultiple: gain per cent of what fits into the pipe at that rate.
func (b *BBR) bdp(bw, gain int64) int64 {
	if b.minRTT == 0 || bw == 0 {
		return InitialWindow(int(b.mss))
	}
	return mulDiv(mulDiv(bw, int64(b.minRTT), int64(time.Second)), gain, 100)
}

// inflight adds what offloads need to the multiple of the BDP: QuantizationBudget.
func (b *BBR) inflight(bw, gain int64) int64 { return b.quantized(b.bdp(bw, gain)) }

func (b *BBR) quantized(n int64) int64 {
	n = max(n, 3*b.quantum(), b.minPipe())
	if b.state == bbrUp {
		n += 2 * b.mss
	}
	return n
}

// quantum is the size of a burst: a millisecond's worth, between 2 segments and 64 KiB (section 5.6.3).
//
// We deviate: not more than an eighth of the round trip's worth either. Three of them are allowed in flight
// however short the pipe is, and at 1 ms that would be three times the pipe.
func (b *BBR) quantum() int64 {
	t := min(time.Millisecond, b.minRTT/8)
	return max(min(mulDiv(b.pacing, int64(t), int64(time.Second)), 64<<10), 2*b.mss)
}

func (b *BBR) minPipe() int64 { return bbrMinPipe * b.mss }

// setCwnd is section 5.6.4.6: the window grows by what is delivered towards what the model allows, and is cut
// to it at once, but not before the pipe was full.
func (b *BBR) setCwnd(s *bbrSample) {
	limit := b.quantized(b.bdp(b.bw(), bbrGains[b.state].cwnd) + b.extraAcked())
	switch {
	case b.fullBWReached:
		b.cwnd = min(b.cwnd+s.Delivered, limit)
	case b.cwnd < limit || b.delivered < InitialWindow(int(b.mss)):
		b.cwnd += s.Delivered
	}
	b.cwnd = max(b.cwnd, b.minPipe())
	if b.state == bbrProbeRTT {
		b.cwnd = min(b.cwnd, b.probeRTTCwnd())
	}
	b.boundCwnd()
}

func (b *BBR) probeRTTCwnd() int64 {
	return max(b.bdp(b.bw(), bbrGains[bbrProbeRTT].cwnd), b.minPipe())
}

// boundCwnd is BoundCwndForModel (section 5.6.4.7).
func (b *BBR) boundCwnd() {
	limit := int64(infinite)
	switch {
	case b.state == bbrCruise || b.state == bbrProbeRTT:
		limit = b.withHeadroom()
	case b.inProbeBW():
		limit = b.longterm
	}
	b.cwnd = min(b.cwnd, max(min(limit, b.shortterm), b.minPipe()))
}
