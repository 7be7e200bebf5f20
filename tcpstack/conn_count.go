package tcpstack

import (
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/recovery"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/trace"
	"ocaserve/tcpstack/wire"
)

// counters are what a connection counts for its own tcp_info; they begin where Conn does, so without the
// handshake of a passive open. Those of 32 bits wrap, as Linux's do.
type counters struct {
	bytesRetrans uint64
	rate         uint64 // bytes per second: the last delivery rate sample
	totalRetrans uint32 // segments
	segsOut      uint32
	segsIn       uint32 // a superframe counts once
	dataSegsOut  uint32
	dataSegsIn   uint32
	dsackDups    uint32
	deliveredCE  uint32
	outOfOrder   uint32 // segments that arrived ahead of a hole
	rateLimited  bool   // the application was the limit during that sample
}

// received counts a segment in.
func (n *counters) received(seg *wire.Segment) {
	n.segsIn++
	if len(seg.Payload) > 0 {
		n.dataSegsIn++
	}
}

// outcome counts what an ACK told.
func (n *counters) outcome(out *recovery.Outcome) {
	if out.DSACK.To > 0 {
		n.dsackDups++
	}
	if r := &out.Rate; r.Interval > 0 {
		n.rate = uint64(float64(r.Delivered-r.PriorDelivered) / r.Interval.Seconds())
		n.rateLimited = r.AppLimited
	}
}

// segments is how many segments n bytes of payload make.
func (c *Conn) segments(n int64) uint32 {
	return uint32((n + int64(c.snd.mss) - 1) / int64(max(c.snd.mss, 1)))
}

// wasSent books what transmit has sent, and why if it went out before. It returns true, what output says then.
func (c *Conn) wasSent(now mono.Time, r stream.Range, why trace.Cause) bool {
	if why != trace.CauseNone {
		c.shard.stats.BytesRetransmitted += uint64(r.Len())
		c.count.bytesRetrans += uint64(r.Len())
		c.count.totalRetrans += c.segments(r.Len())
	}
	if c.trace != nil {
		c.traceSent(now, r, why)
	}
	return true
}

// resendCause is why recovery has something sent again.
func (c *Conn) resendCause() trace.Cause {
	switch {
	case c.rec.State() == recovery.Loss:
		return trace.CauseRTO
	case c.opt.sack && c.fn != nil && c.fn.Detector == recovery.DetectorRACK:
		return trace.CauseRACK
	}
	return trace.CauseDupThresh
}
