package recovery

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// An RTT estimates the round-trip time and its variation (RFC 6298 section 2). Zero: no sample yet.
type RTT struct {
	srtt, rttvar, latest time.Duration
	min                  [2]time.Duration // minimum of this period and of the one before; 0: none
	minSince             mono.Time        // start of this period
	roundEnd             int64            // once more than this is acknowledged a new round begins
	taken, expected      uint16           // samples in this round and in the one before
}

const (
	granularity = 100 * time.Microsecond // G of RFC 6298: the wheel's tick, not the clock's
	minPeriod   = 10 * time.Second       // MinRTT looks back one to two of these
	maxSample   = 2 * time.Minute        // no segment lives longer (RFC 9293 MSL): a wrong sample
)

// SRTT is the smoothed round-trip time; 0 before the first sample.
func (r *RTT) SRTT() time.Duration { return r.srtt }

// RTTVar is the smoothed mean deviation.
func (r *RTT) RTTVar() time.Duration { return r.rttvar }

// Latest is the most recent sample.
func (r *RTT) Latest() time.Duration { return r.latest }

// MinRTT is the least sample of the last 10 to 20 seconds: windowed, because a path may change.
func (r *RTT) MinRTT() time.Duration {
	if r.min[0] == 0 || r.min[1] > 0 && r.min[1] < r.min[0] {
		return r.min[1]
	}
	return r.min[0]
}

// update is RFC 6298 (2.2) and (2.3), "alpha=1/8 and beta=1/4".
//
// With more than one sample per round trip those gains forget too fast; RFC 7323 section 4.2 asks for less
// and its appendix G divides them by the number of samples to expect per round. We take as expectation
// what the round before had, which also holds for receivers that acknowledge 64 KiB at a time. With one
// sample per round this is RFC 6298 to the letter.
func (r *RTT) update(sample time.Duration) {
	r.taken = min(r.taken+1, 1<<15)
	if r.srtt == 0 {
		r.srtt, r.rttvar = sample, sample/2
		return
	}
	n := time.Duration(max(r.expected, 1))
	r.rttvar += ((r.srtt - sample).Abs() - r.rttvar) / (4 * n) // before SRTT, as (2.3) orders
	r.srtt = max(r.srtt+(sample-r.srtt)/(8*n), 1)
}

// observe notes what the network did, without touching the estimate that the RTO is made of.
func (r *RTT) observe(now mono.Time, sample time.Duration) {
	r.latest = sample
	if !r.minSince.IsSet() || now.Sub(r.minSince) >= minPeriod {
		r.min[0], r.min[1] = 0, r.min[0]
		r.minSince = now
	}
	if r.min[0] == 0 || sample < r.min[0] {
		r.min[0] = sample
	}
}

// round begins a new round trip with the first ACK of what was sent in it.
func (r *RTT) round(una, next int64) {
	if una <= r.roundEnd || r.taken == 0 {
		return
	}
	r.expected, r.taken, r.roundEnd = r.taken, 0, next
}

// variance is the part of the RTO above SRTT: max(G, K*RTTVAR), K = 4 (RFC 6298 (2.3)).
func (r *RTT) variance() time.Duration { return max(granularity, 4*r.rttvar) }
