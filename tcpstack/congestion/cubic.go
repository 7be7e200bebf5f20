package congestion

import (
	"math/bits"
	"time"

	"ocaserve/tcpstack/mono"
)

// Cubic is RFC 9438: after a loss the window returns to where it was along a cubic function of time, flat
// around the point of the loss, so that growth does not depend on the round-trip time. All arithmetic is
// in integers.
//
// Its first slow start is HyStart++, as section 4.10 wants.
type Cubic struct {
	reno
	cubicEpoch
	held  mono.Time // since when the window was not in use; 0: it is
	srtt  time.Duration
	was   cubicEpoch // what Undo restores, with reno.before
	wasAt mono.Time  // and when that was
}

// A cubicEpoch is a curve and where it stands.
type cubicEpoch struct {
	wMax   int64     // the window before the last reduction, less after fast convergence, bytes
	prior  int64     // cwnd_prior: the window before the last reduction, bytes
	wEst   int64     // what Reno would have (section 4.3), bytes
	estAcc int64     // bytes delivered towards wEst's next increase
	origin int64     // the plateau of this epoch's curve, bytes
	k      int64     // from the epoch's beginning to the plateau, in 1/1024 s
	base   int64     // the window that the round trip began with, at most what it is now, bytes
	rest   int64     // bytes to be delivered until the next one begins
	epoch  mono.Time // beginning of congestion avoidance; 0: not begun
}

// The curve's units: time in 1/1024 s, C = 0.4 segments/s^3 (section 5).
const (
	cubicTick = time.Second / 1024
	maxCurve  = 1 << 20 // ticks from the plateau that the curve is followed: 17 minutes
)

// unknownDivisor: where slow start ended without a loss, the curve begins with its plateau, and the window would stay for
// seconds where a rise of the delay has stopped it. Until a loss shows where the path ends, it grows by a twentieth per
// round trip. RFC 9438 does not have this, Linux does (bictcp_update).
const unknownDivisor = 20

// NewCubic makes a controller in slow start.
func NewCubic(mss int) *Cubic {
	c := &Cubic{}
	c.init(mss)
	return c
}

func (c *Cubic) Name() string { return "cubic" }

func (c *Cubic) Acked(now mono.Time, e Ack) {
	if e.RTT > 0 {
		if c.srtt == 0 {
			c.srtt = e.RTT
		}
		c.srtt += (e.RTT - c.srtt) / 8
	}
	n := c.usable(now, e)
	if n == 0 {
		c.hold(now, e)
		return
	}
	c.resume(now)
	if n = c.slowStart(n); n > 0 {
		c.follow(now, n)
	}
}

// hold and resume stop the epoch's clock while the window is not in use: section 5.8 wants no growth by
// time that has passed without traffic.
func (c *Cubic) hold(now mono.Time, e Ack) {
	if !e.InRecovery && !c.held.IsSet() {
		c.held = now
	}
}

func (c *Cubic) resume(now mono.Time) {
	if c.held.IsSet() && c.epoch.IsSet() {
		c.epoch = c.epoch.Add(now.Sub(c.held))
	}
	c.held = 0
}

// follow is congestion avoidance, section 4.2.
func (c *Cubic) follow(now mono.Time, n int64) {
	if !c.epoch.IsSet() {
		c.beginEpoch(now)
	}
	c.reno3(n)
	// Section 4.4: the target is the curve one round trip ahead, at least cwnd and at most 1.5 cwnd.
	target := c.curve(now.Sub(c.epoch) + c.srtt)
	target = min(max(target, c.cwnd), c.cwnd+c.cwnd/2)
	wnd := max(min(c.cwnd+c.step(target, n), target), c.wEst) // section 4.3: never below Reno
	if c.wMax == 0 {
		wnd = max(wnd, c.cwnd+n/unknownDivisor)
	}
	c.cwnd = wnd
}

// step is by how much n delivered bytes bring the window nearer to the target: (target - cwnd)/cwnd for each (section
// 4.4). Rounding down leaves it behind by cwnd/n bytes at most, a share of one in the bytes of an ACK.
//
// We deviate: that is the cwnd which the round trip began with, and not what the ACKs before this one have made of it.
// The target is what the window is to be when a window has been acknowledged. With a share of what is left at each ACK
// it comes 63 % of the way, where the ACKs come in a burst, and on a long path stays 2 % behind the curve. Linux keeps
// the share for a tick of its clock, to the same end. A target that runs away from that cwnd moves the window no faster
// than half of what is delivered, which is what section 4.4 bounds it by.
func (c *Cubic) step(target, n int64) int64 {
	if c.rest <= 0 {
		c.base, c.rest = c.cwnd, c.cwnd
	}
	c.rest -= n
	hi, lo := bits.Mul64(uint64(target-c.base), uint64(min(n, c.base)))
	grow, _ := bits.Div64(hi, lo, uint64(c.base))
	return min(int64(grow), n/2)
}

// beginEpoch fixes the curve: K = cbrt((W_max - cwnd_epoch) / C), section 4.2.
func (c *Cubic) beginEpoch(now mono.Time) {
	c.epoch, c.estAcc, c.rest = now, 0, 0
	c.wEst = c.cwnd
	c.prior = max(c.prior, c.cwnd) // section 4.10: slow start may end without a loss
	c.origin, c.k = c.cwnd, 0
	if c.wMax > c.cwnd {
		c.origin = c.wMax
		// In ticks: cbrt(segments * 5/2) * 1024 = cbrt(bytes * 5/2 / mss * 2^30); bounded so that the
		// quotient fits: a window of 400 GB.
		segs5 := min((c.wMax-c.cwnd)*5/2, 1<<40)
		hi, lo := bits.Mul64(uint64(segs5), 1<<30)
		cube, _ := bits.Div64(hi, lo, uint64(max(c.mss, 256)))
		c.k = int64(cbrt(cube))
	}
}

// curve is W_cubic(t) = C*(t-K)^3 + W_max, in bytes. We deviate: below the plateau only whole segments are missing, as in
// Linux (bictcp_update), or, of small windows, 32nds. The rest of one would be missing for as long as the curve is flat.
func (c *Cubic) curve(t time.Duration) int64 {
	d := int64(t/cubicTick) - c.k
	neg := d < 0
	if neg {
		d = -d
	}
	d = min(d, maxCurve)
	// C*d^3 segments = 2/5 * (d/1024)^3 * mss bytes, in 128 bits.
	hi, lo := bits.Mul64(uint64(d*d), uint64(d)*uint64(c.mss))
	cube := int64(hi<<34|lo>>30) / 5 * 2
	if neg {
		unit := min(c.mss, c.origin/32+1)
		return c.origin - (cube - cube%unit)
	}
	return c.origin + cube
}

// reno3 estimates Reno's window, section 4.3: "W_est + alpha_cubic * segments_acked / cwnd", where
// alpha_cubic = 3*(1-beta)/(1+beta) = 9/17 until W_est has come back to cwnd_prior, then 1.
func (c *Cubic) reno3(n int64) {
	c.estAcc += min(n, c.cwnd)
	need := c.cwnd
	if c.wEst < c.prior {
		need = c.cwnd / 9 * 17
	}
	if c.estAcc >= need {
		c.estAcc -= need
		c.wEst += c.mss
	}
}

// Lost reduces to beta_cubic = 0.7 (section 4.6) and releases bandwidth faster if the window had not come back to where it
// was lost before (fast convergence, section 4.7). To an ECN echo in congestion avoidance it reacts less, as RFC 8511
// section 3 has it; that RFC sets a number for Reno only, and 0.85 is what its authors measured CUBIC with.
func (c *Cubic) Lost(now mono.Time, e Loss) {
	c.save(now, e)
	c.remember()
	part := min(e.InFlight, c.cwnd) / 20
	if e.ECN && !c.inSlowStart() {
		c.reduce(part * 17)
		return
	}
	c.reduce(part * 14)
}

func (c *Cubic) save(now mono.Time, e Loss) {
	c.reno.save(e)
	c.was, c.wasAt = c.cubicEpoch, now
	if c.held.IsSet() {
		c.wasAt = c.held
	}
}

// remember fixes W_max. We deviate from "cwnd < W_max" by a segment: the curve is flat there and takes seconds for the last
// part of one, and a flow that lost in the same place again would have its next plateau at 0.85 of it.
func (c *Cubic) remember() {
	c.prior = c.cwnd
	if c.cwnd <= c.wMax-c.mss {
		c.wMax = c.cwnd / 20 * 17 // cwnd * (1 + beta) / 2
	} else {
		c.wMax = c.cwnd
	}
	c.epoch, c.held = 0, 0
}

// Undo restores the window and its curve (section 4.9: cwnd, cwnd_prior, ssthresh, W_max, K, t_epoch and
// W_est), "if the current cwnd is lower than cwnd_prior". The epoch's clock has stood still since.
func (c *Cubic) Undo(mono.Time) {
	if c.restore() {
		c.cubicEpoch, c.held = c.was, c.wasAt
	}
}

// Timeout: section 4.8 follows RFC 5681, "with ssthresh set using beta_cubic". The first congestion
// avoidance after it starts its curve at the window it then has.
func (c *Cubic) Timeout(now mono.Time, e Loss) {
	if !c.inLoss {
		c.save(now, e)
		c.remember()
	}
	c.timeout(min(e.InFlight, c.cwnd) / 10 * 7)
	c.wMax, c.epoch = min(c.wMax, c.ssthresh), 0
}

// Seed takes over another controller's window; the curve begins there.
func (c *Cubic) Seed(now mono.Time, window, ssthresh int64, srtt time.Duration) {
	c.reno.Seed(now, window, ssthresh, srtt)
	c.srtt = srtt
}

// Idle forgets the epoch too: the curve starts anew from the window that slow start reaches.
func (c *Cubic) Idle(now mono.Time) {
	c.reno.Idle(now)
	c.epoch, c.held = 0, 0
}

// cbrt is the integer cube root, rounded down.
func cbrt(x uint64) uint64 {
	var y uint64
	for s := 63; s >= 0; s -= 3 {
		y += y
		b := 3*y*(y+1) + 1
		if x>>uint(s) >= b {
			x -= b << uint(s)
			y++
		}
	}
	return y
}
