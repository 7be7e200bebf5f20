package tcpstack

import (
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// input takes a segment for c, in the order of RFC 9293 section 3.10.7. now is when the frame left the
// ring. seg and its payload are valid during the call only.
func (c *Conn) input(now mono.Time, seg *wire.Segment) {
	c.rcv.lastHeard, c.rcv.probes = now, 0
	c.count.received(seg)
	if c.state == StateSynSent {
		c.inputSynSent(now, seg)
		return
	}
	if c.state == StateSynReceived && c.inputCrossed(now, seg) {
		return
	}
	if c.forged(seg) {
		c.shard.stats.Drops[dropCookie]++
		return
	}
	if !c.acceptableSegment(now, seg) {
		return
	}
	if c.inputReset(now, seg) || c.inputSyn(now, seg) {
		return
	}
	if seg.Flags&wire.ACK == 0 { // fifth: if the ACK bit is off, drop
		c.shard.stats.Drops[dropNoAck]++
		return
	}
	if c.state == StateSynReceived && !c.inputSynReceived(now, seg) {
		return
	}
	if !c.inputAck(now, seg) {
		return
	}
	c.rememberTimestamp(now, seg)
	// Sixth, the URG bit: urgent data is delivered in line. RFC 9293 section 3.8.5: new applications
	// SHOULD NOT employ the mechanism; RFC 6093 section 6 lets the octet stay in the stream.
	if c.inputText(now, seg); c.gone {
		return
	}
	c.inputFin(now, seg)
	if !c.waitsForDeparture() {
		c.wantOutput()
	}
}

// acceptableSegment makes the checks of RFC 9293 section 3.10.7.4 "first, check sequence number" and of
// RFC 7323 section 5.3 (PAWS); it trims nothing. A segment that fails is answered by an ACK.
func (c *Conn) acceptableSegment(now mono.Time, seg *wire.Segment) bool {
	if !c.checkTimestamp(now, seg) {
		return false
	}
	next := c.rcv.seqOf(c.rcvNext())
	wnd := int(max(0, c.rcv.edge-c.rcvNext()))
	if acceptable(seg.Seq, seg.Len(), next, wnd) {
		return true
	}
	c.shard.stats.Drops[dropOutOfWindow]++
	if seg.Flags&wire.RST != 0 {
		return false
	}
	if c.state == StateTimeWait && seg.Flags&wire.FIN != 0 { // a retransmitted FIN restarts 2 MSL
		c.restartTimeWait(now)
	}
	c.noteOld(seg)
	c.duplicateAck(now, seg)
	return false
}

// acceptable is the table of RFC 9293 section 3.4. As Linux and BSD do, a segment that only overlaps the
// window's left edge is acceptable too: its front is trimmed on insertion. And so is one that begins at the
// edge of a closed window: its payload is not taken, but its ACK is (section 3.10.7.4: "If the RCV.WND is
// zero, no segments will be acceptable, but special allowance should be made to accept valid ACKs").
func acceptable(seq wire.Seq, length int, next wire.Seq, wnd int) bool {
	switch {
	case length == 0 && wnd == 0:
		return seq == next
	case length == 0:
		return seq.InWindow(next, wnd) || seq == next
	case wnd == 0:
		return seq == next
	}
	end := seq.Add(length - 1)
	return seq.InWindow(next, wnd) || end.InWindow(next, wnd) || seq.Less(next) && next.Less(end)
}

// duplicateAck answers an unacceptable segment. One with payload at or below the window is a
// retransmission whose ACK was lost, and is answered at once; anything else counts as a challenge, keepalives and
// probes of a closed window included: two ends out of step would answer each other for ever otherwise.
func (c *Conn) duplicateAck(now mono.Time, seg *wire.Segment) {
	old := len(seg.Payload) > 0 || seg.Flags&wire.FIN != 0
	if seg.Flags&wire.SYN == 0 && old && seg.Seq.Less(c.rcv.seqOf(c.rcvNext())) {
		c.rcv.ackNow = true
		c.wantOutput()
		return
	}
	c.challengeAck(now)
}

// checkTimestamp applies RFC 7323 section 3.2 (timestamps stay once negotiated) and PAWS (section 5.3 R1).
func (c *Conn) checkTimestamp(now mono.Time, seg *wire.Segment) bool {
	if !c.opt.timestamps || seg.Flags&(wire.RST|wire.SYN) != 0 {
		return true
	}
	if !seg.Options.HasTS {
		// "If a non-<RST> segment is received without a TSopt, a TCP SHOULD silently drop the segment."
		c.shard.stats.Drops[dropNoTimestamp]++
		return false
	}
	old := int32(seg.Options.TSVal-c.rcv.tsRecent) < 0
	if !old || now.Sub(c.rcv.tsRecentAt) > tsRecentLife {
		return true
	}
	c.shard.stats.Drops[dropPAWS]++
	c.duplicateAck(now, seg)
	return false
}

// rememberTimestamp updates TS.Recent (RFC 7323 section 4.3 (2)): only from a segment that covers the
// last ACK sent, so that a segment ahead of a hole does not shorten the measured RTT.
func (c *Conn) rememberTimestamp(now mono.Time, seg *wire.Segment) {
	if !c.opt.timestamps || !seg.Options.HasTS {
		return
	}
	newer := int32(seg.Options.TSVal-c.rcv.tsRecent) >= 0 || now.Sub(c.rcv.tsRecentAt) > tsRecentLife
	if newer && seg.Seq.LessEq(c.rcv.seqOf(c.rcv.lastAcked)) {
		c.rcv.tsRecent, c.rcv.tsRecentAt = seg.Options.TSVal, now
	}
}

// inputReset handles RST (RFC 9293 section 3.10.7.4 "second", RFC 5961 section 3.2).
func (c *Conn) inputReset(now mono.Time, seg *wire.Segment) bool {
	if seg.Flags&wire.RST == 0 {
		return false
	}
	if seg.Seq != c.rcv.seqOf(c.rcvNext()) {
		// "If the RST bit is set and the sequence number does not exactly match [...] MUST send a challenge ACK."
		c.challengeAck(now)
		return true
	}
	c.shard.stats.ResetsReceived++
	if c.state == StateTimeWait || c.state == StateLastAck || c.state == StateClosing {
		c.finish(nil)
		return true
	}
	if c.state == StateSynReceived && !c.fast.pending { // after a simultaneous open: "connection refused"
		c.finish(ErrRefused)
		return true
	}
	c.leaveFast(true)
	c.finish(ErrReset)
	return true
}

// inputSyn handles a SYN on a synchronized connection (RFC 5961 section 4.2): challenge it, whatever its
// sequence number.
func (c *Conn) inputSyn(now mono.Time, seg *wire.Segment) bool {
	if seg.Flags&wire.SYN == 0 {
		return false
	}
	c.challengeAck(now)
	return true
}

// inputCrossed takes the peer's SYN again, in SYN-RECEIVED after a simultaneous open (section 3.5, figure
// 8): with the right ACK it is the SYN-ACK that crossed ours and establishes the connection, else it is
// acknowledged once more.
func (c *Conn) inputCrossed(now mono.Time, seg *wire.Segment) bool {
	if seg.Flags&(wire.SYN|wire.RST) != wire.SYN || seg.Seq != c.rcv.irs {
		return false
	}
	if c.fast.pending {
		c.repeatSynAck(now)
		return true
	}
	if seg.Flags&wire.ACK != 0 {
		if !c.inputSynReceived(now, seg) {
			return true
		}
		c.rememberTimestamp(now, seg)
	}
	c.rcv.ackNow = true
	c.wantOutput()
	return true
}

// inputSynReceived completes the open when our SYN is acknowledged (section 3.10.7.4 "fifth").
func (c *Conn) inputSynReceived(now mono.Time, seg *wire.Segment) bool {
	if seg.Ack != c.snd.seqOf(0) && !seg.Ack.InWindow(c.snd.seqOf(0), int(c.rec.Next())+1) {
		c.shard.sendReset(&c.flow, seg)
		return false
	}
	if !c.fast.pending { // there the application has been at work already
		c.raise(eventWritable)
	}
	c.established(now, seg)
	return true
}

// inputText inserts the payload and decides when to acknowledge it.
func (c *Conn) inputText(now mono.Time, seg *wire.Segment) {
	p := seg.Payload
	if len(p) == 0 || !c.state.canReceive() {
		return
	}
	if c.orphan {
		c.abort(now, ErrAborted)
		return
	}
	c.inputECN(now, seg)
	off := c.rcv.offsetOf(seg.Seq, c.rcvNext())
	if seg.Flags&wire.SYN != 0 {
		off++
	}
	end := c.rcv.edge // beyond the window, or behind the FIN, nothing is taken
	if c.rcv.finSeen {
		end = min(end, c.rcv.fin)
	}
	if over := off + int64(len(p)) - end; over > 0 {
		p = p[:max(0, int64(len(p))-over)]
	}
	if off < 0 { // before the stream: the SYN's place
		p, off = p[min(int64(len(p)), -off):], 0
	}
	inOrder := off <= c.in.Next() && c.in.Holes() == 0
	if c.held() && c.shard.pressed() {
		return // the last quarter of the memory is for connections that an application serves
	}
	c.noteTwice(off, off+int64(len(p)))
	if c.refusesText(off <= c.in.Next()) {
		c.acknowledge(now, false, 0)
		return
	}
	if off > c.in.Next() {
		c.count.outOfOrder++
	}
	got, _ := c.in.Insert(off, p)
	c.shard.stats.BytesReceived += uint64(got)
	c.measureRTT(now, seg)
	if got > 0 {
		c.raise(eventReadable)
	}
	c.acknowledge(now, inOrder && got > 0, got)
}

// acknowledge implements delayed ACKs (RFC 9293 section 3.8.6.3, RFC 5681 section 4.2): at least every
// second full-sized segment, within delAckLen, and at once for anything out of order or filling a hole.
func (c *Conn) acknowledge(now mono.Time, inOrder bool, n int) {
	c.rcv.unacked = uint8(min(2, int(c.rcv.unacked)+max(1, n/c.snd.mss)))
	switch {
	case !inOrder, c.rcv.unacked == 2:
		c.rcv.ackNow = true
	case c.rcv.quickACK > 0:
		c.rcv.quickACK--
		c.rcv.ackNow = true
	case !c.timers[timerDelAck].IsSet():
		c.setTimer(timerDelAck, now.Add(delAckLen))
	}
}

// inputFin notes the peer's FIN and takes it once everything before it is here.
func (c *Conn) inputFin(now mono.Time, seg *wire.Segment) {
	if seg.Flags&wire.FIN != 0 && !c.rcv.finSeen {
		end := c.rcv.offsetOf(seg.Seq, c.rcvNext()) + int64(seg.Len()) - 1
		if end < c.rcv.edge || end == c.in.Next() {
			c.rcv.finSeen, c.rcv.fin = true, end
		}
	}
	if seg.Flags&wire.FIN != 0 {
		c.rcv.ackNow = true
	}
	if !c.rcv.finSeen || c.rcv.finDone || c.in.Next() < c.rcv.fin {
		return
	}
	if c.in.Next() > c.rcv.fin { // a FIN with data behind it was a lie, or somebody else's
		c.rcv.finSeen = false
		return
	}
	c.rcv.finDone, c.rcv.ackNow = true, true
	c.move(evFin)
	c.raise(eventReadable)
	if c.state == StateTimeWait {
		c.enterTimeWait(now)
	}
}

// rcvNext is RCV.NXT as an offset; the FIN counts once it was taken.
func (c *Conn) rcvNext() int64 {
	if c.rcv.finDone {
		return c.rcv.fin + 1
	}
	return c.in.Next()
}

// A challengeLimit bounds the ACKs provoked by bad segments (RFC 5961 section 7). It is per connection,
// because a limit shared by all was a side channel (CVE-2016-5696).
type challengeLimit struct {
	windowStart mono.Time
	sent        uint8
}

const (
	challengesPerSecond = 10
	challengeWindow     = time.Second
)

func (l *challengeLimit) allow(now mono.Time) bool {
	if now.Sub(l.windowStart) >= challengeWindow || !l.windowStart.IsSet() {
		l.windowStart, l.sent = now, 0
	}
	if l.sent >= challengesPerSecond {
		return false
	}
	l.sent++
	return true
}

// challengeAck sends an ACK that makes a peer in good faith show itself (RFC 5961), rate limited.
func (c *Conn) challengeAck(now mono.Time) {
	if !c.rcv.challenge.allow(now) {
		return
	}
	c.shard.stats.ChallengeACKs++
	c.rcv.ackNow = true
	c.wantOutput()
}
