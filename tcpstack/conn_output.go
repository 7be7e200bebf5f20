package tcpstack

import (
	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/recovery"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/trace"
	"ocaserve/tcpstack/wire"
)

// wantOutput puts c on its shard's list of connections with something to send.
func (c *Conn) wantOutput() {
	if !c.pending && !c.gone {
		c.pending = true
		c.shard.pend.push(c)
		c.queue.PrefetchRing()
	}
}

// output builds at most one frame for c into the shard's batch: a retransmission, new data, or an ACK. It
// reports whether it did; false means that there is nothing (more) to send for now. It is speculative:
// no other function answers whether something is to be sent.
func (c *Conn) output(now mono.Time) bool {
	sack := c.opt.sack && (c.in.Holes() > 0 || c.rcv.twice.To > 0)
	if (c.state.synchronized() || c.fast.pending) && c.state != StateTimeWait && !(sack && c.rcv.ackNow) {
		if c.outputProbe(now) || c.outputRetransmit(now) || c.outputNew(now) {
			c.limit(now, trace.LimitDevice)
			return true
		}
		c.limit(now, c.gaveUpBy())
	}
	if !c.rcv.ackNow || c.state < StateSynReceived {
		return false
	}
	seg := c.header(now, c.rec.Next(), wire.ACK)
	if sack { // segments with payload have no room for the blocks, so that such an ACK goes first
		c.fillSACK(&seg.Options)
	}
	c.emit(&seg)
	c.ackWasSent()
	return true
}

// outputNew sends bytes never sent before, within the peer's window and the congestion window.
func (c *Conn) outputNew(now mono.Time) bool {
	from := c.rec.Next()
	waiting := c.unsentWithFin()
	if waiting == 0 {
		if c.rec.Pipe() < c.window() {
			c.rec.AppLimited()
		}
		return false
	}
	if sent, wait := c.outputMTUProbe(now, waiting); sent || wait {
		return sent
	}
	n := min(waiting, c.windowRoom(), c.window()-c.rec.Pipe(), c.burst())
	if !c.worthSending(n, waiting) {
		if c.rec.Flight() == 0 {
			c.startPersist(now)
		}
		return false
	}
	if c.gathersBurst(n, waiting) || c.gathersWindow(n, waiting) {
		return false
	}
	if n = c.mayLeave(now, n); n == 0 {
		return false
	}
	uniform := c.uniform(from, from+n) - from
	nagle := !c.opt.noDelay && !c.state.sentFin()
	if n > int64(c.snd.mss) && (n < waiting || nagle) { // whole segments, unless it is the end
		n -= n % int64(c.snd.mss)
	}
	n = min(n, uniform)
	if c.idleRestart(now) {
		n = min(n, max(c.cc.Window(), int64(c.snd.mss)))
	}
	return c.transmit(now, from, from+n) && c.wasSent(now, stream.Range{From: from, To: from + n}, trace.CauseNone)
}

// worthSending is sender-side silly-window avoidance (RFC 9293 section 3.8.6.2.1) with Nagle's algorithm
// (section 3.7.4): n of the waiting bytes would fit now.
func (c *Conn) worthSending(n, waiting int64) bool {
	switch {
	case n <= 0:
		return false
	case n >= int64(c.snd.mss), c.snd.override:
		return true // (1) a maximum-sized segment can be sent
	case n == waiting && (c.opt.noDelay || c.rec.Flight() == 0 || c.state.sentFin()):
		return true // (2) all queued data can be sent, and nothing is in flight or Nagle is off
	}
	// (3) half of the largest window, with Nagle only if nothing is in flight
	return (c.opt.noDelay || c.rec.Flight() == 0) && n >= c.snd.maxWnd/2
}

// gathersBurst reports whether the n bytes that the window has room for, of more that wait, should be sent with what the
// next ACKs make room for: two thirds of a burst of the pace, about 0.7 ms. Frames are larger, and a flow that has more
// of the path sends larger ones. Segments that leave two by two, as ACKs come, find the last places of a full queue too
// well: beside Linux, whose bursts are of three to five, such a flow had an eighth of the losses per packet, and with them
// three quarters of the path. Outside a recovery ACKs will come as long as twice as much is in flight. Slow start and
// small windows do not wait: they would be longer for it.
func (c *Conn) gathersBurst(n, waiting int64) bool {
	quantum := c.pace.Quantum()
	if n >= waiting || n >= quantum*2/3 || c.pace.Rate() == 0 || c.rec.State() != recovery.Open || c.rec.Pipe() < 2*quantum {
		return false
	}
	t, ok := c.cc.(congestion.Thresholder)
	return ok && c.cc.Window() >= t.SSThresh() && !c.isSmall(c.window())
}

// gathersWindow reports whether the n bytes that the peer's window has room for, of more that wait, should be sent with
// what the next ACKs make room for. A window is seldom a multiple of superframes, and who reads of it slowly opens it by
// less than one: without this every third frame, or every other, is such a rest. It is what silly-window avoidance is for
// segments (Linux: tcp_tso_should_defer). Only while nothing seems lost, since what the first duplicate ACKs let go is
// limited transmit's (RFC 3042); and with half of the window in flight, since ACKs will come then.
func (c *Conn) gathersWindow(n, waiting int64) bool {
	return n < waiting && n == c.windowRoom() && c.rec.Pipe() > c.snd.wnd/2 && c.rec.State() == recovery.Open &&
		n < min(c.windowRest(), c.usualBurst())
}

// windowRest is how little of the peer's window is no frame of its own, on a path so short that frames are what costs. Where
// what is in flight mostly stands in a queue, waiting for more makes nothing arrive later; where it does not, only as little
// may wait as is not missed. (On longer paths jitter would be taken for a queue: the least round trip is of many seconds.)
func (c *Conn) windowRest() int64 {
	rtt := c.rec.RTT()
	switch {
	case !c.isNear():
		return 0
	case rtt.SRTT() > 2*rtt.MinRTT():
		return c.snd.wnd / 4
	}
	return c.snd.wnd / 16
}

// usualBurst is the payload of a frame that nothing but pacing and the device limits.
func (c *Conn) usualBurst() int64 {
	if c.pace.Rate() > 0 {
		return min(c.pace.Quantum(), c.burst())
	}
	return c.burst()
}

// idleRestart lets congestion control shrink its window after an idle time (RFC 5681 section 4.1).
func (c *Conn) idleRestart(now mono.Time) bool {
	if c.rec.Flight() > 0 || !c.snd.lastSent.IsSet() || now.Sub(c.snd.lastSent) < c.rec.RTO() {
		return false
	}
	if h, ok := c.cc.(congestion.Idler); ok {
		h.Idle(now)
	}
	return true
}

// transmit builds the frame for offsets [from, to); the position behind the last byte is the FIN's.
func (c *Conn) transmit(now mono.Time, from, to int64) bool {
	if !c.shard.batch.hasRoom() {
		return false
	}
	end := c.queue.End()
	flags := wire.ACK
	dataTo := min(to, end)
	if c.guarded() && dataTo > from {
		to = dataTo // the FIN goes by itself: with its cookie it would not fit behind a full segment
	}
	if c.state.sentFin() && to > end {
		flags |= wire.FIN
		c.snd.finSent = true
	}
	if dataTo == end && dataTo > from {
		flags |= wire.PSH // the receiver need not wait for more (RFC 9293 section 3.9.1.2)
	}
	seg := c.header(now, from, flags)
	c.ecnData(&seg, from, dataTo)
	c.emitData(&seg, from, max(from, dataTo))
	c.paceSent(now, from, to)
	c.rec.Sent(now, from, to)
	c.prr.Sent(to - from)
	c.snd.lastSent, c.snd.override = now, false
	c.stopTimer(timerPersist)
	c.syncRetransmitTimer()
	c.ackWasSent()
	c.noteUnsent()
	return true
}

// header fills a segment's fields but for its payload.
func (c *Conn) header(now mono.Time, off int64, flags wire.Flags) wire.Segment {
	seg := wire.Segment{
		SrcPort: c.flow.LocalPort, DstPort: c.flow.RemotePort,
		Seq: c.snd.seqOf(off), Flags: flags | c.ecnEcho(flags),
	}
	if flags&wire.ACK != 0 {
		seg.Ack = c.rcv.seqOf(c.rcvNext())
		seg.Window = c.advertise(now)
	}
	if c.opt.timestamps {
		seg.Options.HasTS = true
		seg.Options.TSVal, seg.Options.TSEcr = c.tsNow(now), c.rcv.tsRecent
	}
	c.guardHeader(&seg)
	return seg
}

// fillSACK reports what arrived beyond the hole (RFC 2018 section 4), at most what fits beside timestamps.
func (c *Conn) fillSACK(o *wire.Options) {
	var blocks [4]stream.Range
	limit := 4
	if c.opt.timestamps {
		limit = 3
	}
	n := c.fillBlocks(blocks[:limit])
	for i, r := range blocks[:n] {
		o.SACK[i] = wire.SACKBlock{Left: c.rcv.seqOf(r.From), Right: c.rcv.seqOf(r.To)}
	}
	o.NSACK = uint8(n)
}

// emit puts a segment without payload into the batch.
func (c *Conn) emit(seg *wire.Segment) { c.emitData(seg, 0, 0) }

// emitData puts a segment with the queued bytes [from, to) into the batch.
func (c *Conn) emitData(seg *wire.Segment, from, to int64) {
	b := &c.shard.batch
	f := b.begin(&c.flow, seg, int(to-from))
	if to > from {
		c.bookSent(from, to)
		b.gather.Book = c.book
		c.queue.Gather(&b.gather, from, to)
		c.shard.stats.BytesSent += uint64(to - from)
	}
	gso := 0
	if int(to-from) > c.snd.mss && !c.isMTUProbe(from, to) {
		gso = c.snd.mss
	}
	b.commit(f, gso)
	if c.pace.device {
		frame := &b.frames[len(b.frames)-1]
		frame.Rate, frame.Flow = uint64(c.pace.Rate()), c.flowTag()
	}
	n := c.segments(to - from)
	c.shard.stats.SegmentsSent += uint64(max(1, n))
	c.count.segsOut += max(1, n)
	c.count.dataSegsOut += n
}

// burst is the most payload one frame may carry: whole segments within the device's superframe limit.
func (c *Conn) burst() int64 {
	if c.ecnAlone() {
		return int64(c.snd.mss)
	}
	return c.superframe()
}

// superframe is the payload of the longest frame that the device takes; without segmentation offload, of a segment.
func (c *Conn) superframe() int64 { return int64(c.shard.batch.maxPayload(&c.flow, c.snd.mss)) }

// ackWasSent notes that the current ACK went out, with whatever segment carried it.
func (c *Conn) ackWasSent() {
	c.rcv.ackNow = false
	c.rcv.unacked = 0
	c.rcv.lastAcked = c.rcvNext()
	c.stopTimer(timerDelAck)
}

// unsent is the number of queued bytes never transmitted.
func (c *Conn) unsent() int64 { return max(0, c.queue.End()-c.rec.Next()) }

// unsentWithFin counts the FIN as one, until it was transmitted.
func (c *Conn) unsentWithFin() int64 {
	n := c.queue.End() - c.rec.Next()
	if c.state.sentFin() {
		n++
	}
	return max(0, n)
}

// windowRoom is how many bytes beyond SND.NXT the peer's window admits.
func (c *Conn) windowRoom() int64 { return c.rec.Una() + c.snd.wnd - c.rec.Next() }

// noteUnsent raises writable once the unsent bytes fell below half of what may be unsent.
func (c *Conn) noteUnsent() {
	if !c.snd.wantWritable {
		return
	}
	switch limit := c.unsentLimit(); {
	case limit <= 0:
		c.awaitMemory()
	case 2*c.unsent() < limit:
		c.snd.wantWritable = false
		c.raise(eventWritable)
	}
}
