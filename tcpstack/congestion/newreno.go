package congestion

import (
	"math"
	"time"

	"ocaserve/tcpstack/mono"
)

// NewReno is the standard: slow start and congestion avoidance (RFC 5681) with byte counting (RFC 3465),
// an initial window of ten segments (RFC 6928), and no growth for a window that is not used (RFC 7661).
// Fast recovery's inflation is not here: recovery's Pipe does its work.
//
// Its slow start ends with a loss, as RFC 5681 has it and as Linux's reno does: it is what others are compared with. Where
// queues are long, take CUBIC.
//
// We deviate: RFC 3465 section 2.2 limits slow start to L = 2*SMSS per ACK. A receiver behind GRO
// acknowledges 64 KiB at once, and such a limit would turn slow start into a crawl; the bursts it guards
// against are for pacing to spread.
type NewReno struct{ reno }

// NewNewReno makes a controller in slow start.
func NewNewReno(mss int) *NewReno {
	c := &NewReno{reno{classic: true}}
	c.init(mss)
	return c
}

func (c *NewReno) Name() string { return "newreno" }

func (c *NewReno) Acked(now mono.Time, e Ack) {
	n := c.usable(now, e)
	if n = c.slowStart(n); n > 0 {
		c.avoid(n)
	}
}

// Lost halves the window (RFC 5681 equation (4)). To an ECN echo in congestion avoidance it reacts less:
// a queue that marks is shorter than one that overflows, "beta_{ecn} = 0.8" (RFC 8511 section 3).
func (c *NewReno) Lost(_ mono.Time, e Loss) {
	c.save(e)
	to := e.InFlight / 2
	if e.ECN && !c.inSlowStart() {
		to = e.InFlight / 5 * 4
	}
	c.reduce(to)
}

func (c *NewReno) Timeout(_ mono.Time, e Loss) {
	if !c.inLoss {
		c.save(e)
	}
	c.timeout(e.InFlight / 2)
}

// Undo takes back the last reduction.
func (c *NewReno) Undo(mono.Time) { c.restore() }

// reno is what window-based controllers share.
type reno struct {
	cwnd, ssthresh int64
	counted        int64 // bytes delivered towards the next increase in congestion avoidance
	mss            int64
	inLoss         bool // after a time-out, until recovery is over
	classic        bool // slow start ends with a loss, else by hystart
	hystart        hystart
	before         savedReno // what Undo restores
}

// A savedReno is what an episode of loss found; a window of 0: nothing to restore.
type savedReno struct{ cwnd, ssthresh int64 }

func (c *reno) init(mss int) {
	c.mss = int64(max(mss, 1))
	c.cwnd, c.ssthresh = InitialWindow(int(c.mss)), math.MaxInt64
}

// Window is the congestion window in bytes.
func (c *reno) Window() int64 { return c.cwnd }

// SSThresh is the slow start threshold in bytes; math.MaxInt64 before the first loss.
func (c *reno) SSThresh() int64 { return c.ssthresh }

// SetMSS follows a change of the segment size. A window still at its initial value is made anew for
// smaller segments (RFC 3390 section 1: path MTU discovery during the first flight).
func (c *reno) SetMSS(mss int) {
	c.mss = int64(max(mss, 1))
	c.cwnd = max(c.cwnd, c.mss)
}

// usable returns how many of the delivered bytes may grow the window.
//
// In fast recovery none may: the window stays at ssthresh. After a time-out slow start runs while recovery
// goes on, but an ACK that fills a hole also covers what had arrived before the time-out: only as much as
// was in flight counts. RFC 3465 section 2.3 reaches that with L = 1*SMSS for receivers that acknowledge
// every segment.
//
// A window that was not half used proves nothing about the path (RFC 7661 section 4.2), whatever held the
// sender back: the application or the receiver's window; unless the rest of it only waits for its departure.
func (c *reno) usable(now mono.Time, e Ack) int64 {
	n := e.Delivered
	switch {
	case e.InRecovery && (c.inLoss || e.AfterTimeout && c.inSlowStart()): // the latter: the time-out was another controller's
		return max(0, min(n, e.InFlight))
	case e.InRecovery:
		return 0
	}
	c.inLoss = false
	if c.initial() && !c.classic && c.hystart.acked(now, e) {
		c.ssthresh = c.cwnd // RFC 9406 section 4.2: "enter congestion avoidance by setting the ssthresh to the current cwnd"
	}
	if e.AppLimited || 2*e.InFlight < c.cwnd && !e.Spread {
		return 0
	}
	return n
}

// initial reports whether this is the slow start before anything is known of the path.
func (c *reno) initial() bool { return c.ssthresh == math.MaxInt64 }

func (c *reno) inSlowStart() bool { return c.cwnd < c.ssthresh }

// slowStart grows by the bytes delivered (RFC 3465 section 2.2) up to ssthresh and returns what is left.
func (c *reno) slowStart(n int64) int64 {
	if !c.inSlowStart() {
		return n
	}
	if c.initial() {
		c.cwnd += c.hystart.grow(n)
		return 0
	}
	grow := min(n, c.ssthresh-c.cwnd)
	c.cwnd += grow
	return n - grow
}

// avoid grows by one segment per window delivered (RFC 3465 section 2.1).
func (c *reno) avoid(n int64) {
	c.counted += n
	if c.counted >= c.cwnd {
		c.counted -= c.cwnd
		c.cwnd += c.mss
		c.counted = min(c.counted, c.cwnd) // an ACK of several windows is not several round trips
	}
}

// reduce begins an episode: ssthresh is to, at least two segments (RFC 5681 equation (4)).
func (c *reno) reduce(to int64) {
	c.ssthresh = max(min(to, c.cwnd), 2*c.mss)
	c.cwnd, c.counted, c.inLoss = c.ssthresh, 0, false
}

// timeout sets the loss window, "no more than 1 full-sized segment" (RFC 5681 section 3.1). ssthresh is
// reduced by the first time-out only: "when a TCP sender detects segment loss using the retransmission
// timer and the given segment has already been retransmitted by way of the retransmission timer at least
// once, the value of ssthresh is held constant".
func (c *reno) timeout(ssthresh int64) {
	if !c.inLoss {
		c.ssthresh = max(ssthresh, 2*c.mss)
	}
	c.cwnd, c.counted, c.inLoss = c.mss, 0, true
}

// Idle restarts slow start after an idle period, from "the restart window RW = min(IW, cwnd)" (RFC 5681
// section 4.1). The path is not forgotten altogether: ssthresh keeps three quarters of the window (RFC 2861
// section 3.1, as Linux does).
func (c *reno) Idle(mono.Time) {
	if c.ssthresh != math.MaxInt64 {
		c.ssthresh = max(c.ssthresh, c.cwnd/4*3)
	}
	c.cwnd, c.counted = min(c.cwnd, InitialWindow(int(c.mss))), 0
	c.hystart = hystart{} // RFC 9406 section 4.3 allows it to grow the restart window
}

// save takes note of the state that an episode of loss found. An ECN echo is never needless, and after it
// what was before is of no use.
func (c *reno) save(e Loss) {
	c.before = savedReno{c.cwnd, c.ssthresh}
	if e.ECN {
		c.before = savedReno{}
	}
}

// restore is the response to a needless reduction, RFC 4015 section 3.2 step (ReCC). It reports whether there
// was one.
//
// We deviate: the RFC sets ssthresh to what was in flight, and cwnd to FlightSize + min(bytes_acked, IW), so
// that no burst leaves. Pacing sees to that, and the window is restored whole, after fast recovery too (RFC
// 9438 section 4.9.2 does so for CUBIC).
func (c *reno) restore() bool {
	was := c.before
	c.before = savedReno{}
	if was.cwnd <= c.cwnd {
		return false
	}
	c.cwnd, c.ssthresh = max(was.cwnd, c.mss), max(c.ssthresh, was.ssthresh)
	c.inLoss, c.counted = false, 0
	return true
}

// Seed takes over another controller's window. Where that was still in its first slow start, so is this.
func (c *reno) Seed(_ mono.Time, window, ssthresh int64, _ time.Duration) {
	c.cwnd, c.ssthresh = max(window, c.mss), max(ssthresh, 2*c.mss)
}
