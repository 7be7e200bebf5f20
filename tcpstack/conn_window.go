package tcpstack

import "ocaserve/tcpstack/mono"

// advertise computes the window to announce, scaled for the wire (RFC 7323 section 2.3). The right edge
// never moves left (RFC 9293 section 3.8.6: "a TCP receiver SHOULD NOT shrink the window"), and moves right
// only in steps worth a segment: receiver-side silly-window avoidance (section 3.8.6.2.2).
func (c *Conn) advertise(now mono.Time) uint16 {
	next := c.rcvNext()
	room := int64(c.in.Room())
	if c.shard.mem.pressed { // a buffer that has grown is used like one that has not
		room = min(room, int64(c.shard.stack.cfg.ReceiveBuffer))
	}
	edge := next + room
	if step := min(int64(c.rcv.limit)/2, int64(c.snd.mss)); edge < c.rcv.edge+step {
		edge = c.rcv.edge
	}
	edge = max(edge, c.rcv.edge, next) // next is beyond the edge when a FIN came at a closed window
	unit := int64(1) << c.rcv.scale
	wnd := min((edge-next)/unit, 0xffff)
	// Rounding must not retreat either, while the buffer has room for what rounding up adds. At its end the
	// announced edge does retreat, by less than a unit, which RFC 7323 section 2.4 expects; what was
	// announced before is still taken.
	if up := next + (wnd+1)*unit; up-unit < c.rcv.edge && wnd < 0xffff && up <= c.in.Offset()+int64(c.rcv.limit) {
		wnd++
	}
	c.rcv.edge = max(c.rcv.edge, next+wnd*unit)
	return uint16(wnd)
}

// windowOpened is called when the application has read: it announces the room when that is news to the
// peer, that is two segments' worth or half the buffer (section 3.8.6.2.2).
func (c *Conn) windowOpened() {
	if !c.state.canReceive() || c.rcv.finSeen {
		return
	}
	edge := c.rcvNext() + int64(c.in.Room())
	open := c.rcv.edge - c.rcvNext()
	if edge-c.rcv.edge >= int64(c.rcv.limit)/2 || open < int64(2*c.snd.mss) && edge-c.rcv.edge >= int64(2*c.snd.mss) {
		c.rcv.ackNow = true
		c.wantOutput()
	}
}
