package tcpstack

import (
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

// D-SACK (RFC 2883): the next ACK tells the peer which bytes arrived a second time, so that it finds out about
// retransmissions that were needless.

// noteTwice remembers what of [from, to) is here already. It is asked before the payload is inserted. Of several
// since the last ACK the first is reported: "each duplicate contiguous sequence of data received is reported in at
// most one D-SACK block" (section 4 (1)).
func (c *Conn) noteTwice(from, to int64) {
	if !c.opt.sack || from >= to || c.rcv.twice.To > 0 {
		return
	}
	if r, ok := c.in.Received(stream.Range{From: from, To: to}); ok {
		c.rcv.twice = r
		c.rcv.ackNow = true
	}
}

// noteOld is noteTwice for a segment that lies below the window altogether.
func (c *Conn) noteOld(seg *wire.Segment) {
	if len(seg.Payload) == 0 {
		return
	}
	from := c.rcv.offsetOf(seg.Seq, c.rcvNext())
	c.noteTwice(max(from, 0), from+int64(len(seg.Payload)))
}

// fillBlocks fills dst for a SACK option and returns the number of blocks: the D-SACK first (section 4 (2)), then
// what arrived out of order. Where the D-SACK lies above the cumulative acknowledgment, the range that contains
// it must come second (section 4.2.2); one that is no longer there is not reported.
func (c *Conn) fillBlocks(dst []stream.Range) int {
	twice := c.rcv.twice
	c.rcv.twice = stream.Range{}
	if twice.To == 0 {
		return c.in.SACK(dst)
	}
	n := c.in.SACK(dst[1:])
	if twice.From >= c.rcvNext() && !moveFirst(dst[1:1+n], twice) {
		copy(dst, dst[1:1+n])
		return n
	}
	dst[0] = twice
	c.shard.stats.DSACKsSent++
	return n + 1
}

// moveFirst puts the range that contains r at the front; the others keep their order.
func moveFirst(all []stream.Range, r stream.Range) bool {
	for i, b := range all {
		if b.From <= r.From && r.To <= b.To {
			copy(all[1:i+1], all[:i])
			all[0] = b
			return true
		}
	}
	return false
}
