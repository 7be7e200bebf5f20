package tcpstack

import (
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// A rightSizer is the state of receive-buffer auto-tuning: dynamic right-sizing (Fisk and Feng 2001) as
// Linux does it. The buffer follows what the application reads in a round trip, so that it grows when the
// path brings bytes and the application takes them, and not when either of the two is slow.
type rightSizer struct {
	start mono.Time // of this round; zero: nothing was read yet
	from  int64     // offset read up to at its start
	space int64     // bytes read in the busiest round so far
	left  int       // bytes left unread by any read of it, at the least

	rtt    time.Duration // as the receiver sees it; zero: no sample yet
	echo   uint32        // the last timestamp echo used, each gives one sample
	edge   int64         // without timestamps: a window's worth of bytes ends here
	edgeAt mono.Time     // and began to arrive then
}

// measureRTT estimates the round trip of a peer that sends and is sent nothing, so that recovery has no
// samples: from the echo of the timestamp on our ACK (RFC 7323 section 4.1), or, without timestamps, from
// the time that a whole window takes to arrive, which is no less than a round trip.
func (c *Conn) measureRTT(now mono.Time, seg *wire.Segment) {
	r := &c.rcv.tune
	if c.opt.timestamps {
		if len(seg.Payload) < c.snd.mss || seg.Options.TSEcr == r.echo {
			return
		}
		r.echo = seg.Options.TSEcr
		r.sample(c.timestampRTT(now, seg), c.rec.RTT().SRTT())
		return
	}
	r.sampleWindow(now, c.in.Next(), c.rcv.edge)
}

// sampleWindow notes that bytes up to next have arrived, and the window announced ends at edge. Only a
// shorter estimate is news: a sender that does not fill the window takes longer.
func (r *rightSizer) sampleWindow(now mono.Time, next, edge int64) {
	if r.edgeAt.IsSet() && next < r.edge {
		return
	}
	if r.edgeAt.IsSet() && (r.rtt == 0 || now.Sub(r.edgeAt) < r.rtt) {
		r.rtt = max(now.Sub(r.edgeAt), 1)
	}
	r.edge, r.edgeAt = max(edge, next+1), now
}

// sample smooths the estimate as SRTT is (RFC 6298 section 2.3). The sender's pauses look like long round
// trips: one sample counts for at most four times the estimate, which begins with the handshake's.
func (r *rightSizer) sample(m, handshake time.Duration) {
	if m <= 0 {
		return
	}
	if r.rtt == 0 {
		if r.rtt = m; handshake > 0 {
			r.rtt = min(m, 2*handshake)
		}
		return
	}
	r.rtt += (min(m, 4*r.rtt) - r.rtt) / 8
}

// tuneReceive takes note that the application has read, and sizes the buffer once a round trip.
func (c *Conn) tuneReceive(now mono.Time) {
	r, left := &c.rcv.tune, c.in.Readable()
	if !r.start.IsSet() {
		r.start, r.from, r.left = now, c.in.Offset(), left
		r.space = int64(10 * c.snd.mss) // RFC 6928: the first flight
		return
	}
	r.left = min(r.left, left)
	rtt := c.receiverRTT()
	elapsed := now.Sub(r.start)
	if elapsed < rtt-rtt/8 { // the clock of the estimate is coarse, and a flight may come as one frame
		return
	}
	copied := c.in.Offset() - r.from
	if elapsed > 2*rtt { // somebody paused: what counts is the rate
		copied = copied * int64(rtt) / int64(elapsed)
	}
	// An application that has not once come near the end of what there is to read is what limits.
	if copied > r.space && r.left <= c.rcv.limit/4 {
		c.growReceive(r.rightSize(copied, int64(c.snd.mss)))
		r.space = copied
	}
	r.start, r.from, r.left = now, c.in.Offset(), left
}

// receiverRTT is the round trip to size the buffer for. A receiver that has sent nothing since knows the
// handshake's, before queues built up; without timestamps the lesser of the two bounds is the better one.
func (c *Conn) receiverRTT() time.Duration {
	rtt, srtt := c.rcv.tune.rtt, c.rec.RTT().SRTT()
	if srtt > 0 && (rtt == 0 || !c.opt.timestamps && srtt < rtt) {
		rtt = srtt
	}
	return max(rtt, time.Millisecond)
}

// rightSize is the window for a sender whose last round brought copied bytes (Linux, tcp_rcv_space_adjust):
// twice that, since what is sent again after a loss waits for a round behind the hole, and some segments;
// and as much more, doubled, as the rounds have grown, since in slow start the flight doubles before the
// next round has been measured.
func (r *rightSizer) rightSize(copied, mss int64) int64 {
	win := 2*copied + 16*mss
	return win + 2*win*(copied-r.space)/r.space
}

// growReceive raises the receive buffer to n bytes, within its cap and unless memory is short. A window that was
// announced cannot be taken back, and many receivers whose application then stops would need it all at once: what
// buffers have grown by, together, stays within half of the reassembly memory, and one gets no more than a quarter
// of what is left of that.
func (c *Conn) growReceive(n int64) {
	s, cfg := c.shard, &c.shard.stack.cfg
	more := min(n, int64(cfg.MaxReceiveBuffer)) - int64(c.rcv.limit)
	more = min(more, (int64(cfg.MaxReassembly)/2-s.mem.promised)/4)
	if more <= 0 || s.underPressure() {
		return
	}
	s.mem.promised += more
	c.rcv.limit += int(more)
	c.in.SetLimit(c.rcv.limit)
}
