package congestion

import (
	"ocaserve/tcpstack/mono"
)

// DCTCP is RFC 8257, for networks of one administration whose queues mark early: the window shrinks by the
// share of bytes that met a queue, instead of by half. To loss it reacts as NewReno does: "A DCTCP sender
// MUST react to loss episodes in the same way as conventional TCP" (section 3.5).
type DCTCP struct {
	reno
	alpha     int64 // the estimated share of marked bytes, in 1/dctcpUnit
	delivered int64 // in this observation window, bytes
	marked    int64 // of them
	end       int64 // SND.NXT at its beginning: DCTCP.WindowEnd
	reduced   int64 // SND.NXT at the last reduction: until then there is no other
}

// Section 3.3: alpha's resolution is ours, g = 1/16 is section 4.2's.
const (
	dctcpUnit = 1 << 20
	dctcpG    = 16
)

// NewDCTCP makes a controller in slow start. Alpha begins at 1 (section 4.2): the first mark halves the
// window, as in slow start it should.
func NewDCTCP(mss int) *DCTCP {
	c := &DCTCP{alpha: dctcpUnit}
	c.init(mss)
	return c
}

func (c *DCTCP) Name() string { return "dctcp" }

// Scalable: the receiver echoes each mark (section 3.2).
func (c *DCTCP) Scalable() bool { return true }

func (c *DCTCP) Acked(now mono.Time, e Ack) {
	c.observe(e)
	if e.Marked > 0 && !e.InRecovery && e.Una > c.reduced {
		c.reduceByAlpha(e)
		return
	}
	n := c.usable(now, e)
	if n = c.slowStart(n); n > 0 {
		c.avoid(n)
	}
}

// observe measures the share M of marked bytes, once per window: "DCTCP.Alpha = DCTCP.Alpha * (1 - g) + g * M"
// (section 3.3 steps 1 to 8).
func (c *DCTCP) observe(e Ack) {
	c.delivered += e.Delivered
	c.marked += min(e.Marked, e.Delivered)
	if e.Una < c.end || c.delivered == 0 {
		return
	}
	m := mulDiv(c.marked, dctcpUnit, c.delivered)
	c.alpha += (m - c.alpha) / dctcpG
	if m == 0 && c.alpha < dctcpG { // so small that the division above rounds it to nothing
		c.alpha = 0
	}
	c.end, c.delivered, c.marked = e.Next, 0, 0
}

// reduceByAlpha is step 9: "cwnd = cwnd * (1 - DCTCP.Alpha / 2)", not "more than once for every window of
// data".
func (c *DCTCP) reduceByAlpha(e Ack) {
	c.reduce(c.cwnd - mulDiv(c.cwnd, c.alpha, 2*dctcpUnit))
	c.before = savedReno{} // what the network says itself is never needless
	c.reduced = e.Next
}

// Lost is RFC 5681 equation (4). The stack leaves marks to Acked.
func (c *DCTCP) Lost(_ mono.Time, e Loss) {
	c.save(e)
	c.reduce(e.InFlight / 2)
}

func (c *DCTCP) Timeout(_ mono.Time, e Loss) {
	if !c.inLoss {
		c.save(e)
	}
	c.timeout(e.InFlight / 2)
}

// Undo takes back the last reduction that a loss caused.
func (c *DCTCP) Undo(mono.Time) { c.restore() }
