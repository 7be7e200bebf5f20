package tcpstack

import (
	"time"

	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/recovery"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

// inputAck processes the acknowledgment and the window (RFC 9293 section 3.10.7.4 "fifth"). It reports
// whether the rest of the segment may be processed.
func (c *Conn) inputAck(now mono.Time, seg *wire.Segment) bool {
	una, next := c.rec.Una(), c.rec.Next()
	ack := una + int64(seg.Ack.Sub(c.snd.seqOf(una)))
	if ack > next || ack < una-c.snd.maxWnd {
		// RFC 5961 section 5.2: acceptable is SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT.
		c.challengeAck(now)
		return false
	}
	dup := c.isDuplicateAck(seg, ack, una)
	if ack < una && seg.Options.NSACK == 0 {
		return true // an old ACK; its payload may still be new
	}
	if ack >= una {
		c.updateWindow(seg, ack) // section 3.10.7.4: "If SND.UNA =< SEG.ACK =< SND.NXT"
	}
	if una == next && seg.Options.NSACK == 0 && !dup {
		if c.trace != nil {
			c.traceAck(now, nil, &recovery.Outcome{})
		}
		return true // nothing was in flight: a pure window update or data from the peer
	}
	c.ackSent(now, seg, ack, dup)
	return !c.gone
}

// isDuplicateAck is RFC 5681 section 2, DUPLICATE ACKNOWLEDGMENT, but for condition (a), "the receiver of the ACK
// has outstanding data": one that comes when everything is acknowledged tells that a loss probe was needless
// (RFC 8985 section 7.4.2).
func (c *Conn) isDuplicateAck(seg *wire.Segment, ack, una int64) bool {
	return ack == una && len(seg.Payload) == 0 && seg.Flags&wire.FIN == 0 &&
		c.offered(seg.Window) == c.snd.wnd
}

// offered is a window field in bytes, as far as we make use of it. A window can be 1 GiB (RFC 7323 section
// 2.3), and a peer that acknowledges what it never received would have us keep all of it.
func (c *Conn) offered(field uint16) int64 {
	return min(int64(field)<<c.snd.scale, c.shard.stack.cfg.MaxSendBuffer)
}

// updateWindow takes SEG.WND if the segment is not older than the one that set it last (section
// 3.10.7.4: SND.WL1 and SND.WL2).
func (c *Conn) updateWindow(seg *wire.Segment, ack int64) {
	newer := c.snd.wl1.Less(seg.Seq) || c.snd.wl1 == seg.Seq && c.snd.wl2 <= ack
	if !newer {
		return
	}
	shut := c.snd.wnd == 0
	c.snd.wnd = c.offered(seg.Window)
	c.snd.wl1, c.snd.wl2 = seg.Seq, ack
	c.snd.maxWnd = max(c.snd.maxWnd, c.snd.wnd)
	c.noteWindow()
	if shut && c.snd.wnd > 0 { // a window that was open, if only by a byte, leaves the override time-out running
		c.stopTimer(timerPersist)
		c.snd.persistTries = 0
	}
}

// ackSent gives the ACK to recovery and congestion control and frees what it covers.
func (c *Conn) ackSent(now mono.Time, seg *wire.Segment, ack int64, dup bool) {
	before := flight{pipe: c.rec.Pipe(), size: c.rec.Flight()}
	blocks := c.sackRanges(seg, c.shard.sacks[:0])
	out := c.rec.Ack(now, recovery.AckInfo{
		Ack: ack, SACK: blocks, IsDup: dup,
		RTT: c.timestampRTT(now, seg), Echo: c.timestampEcho(now, seg),
		Unsent: min(c.unsentWithFin(), c.windowRoom()),
	})
	before.marked, before.echo = c.ecnMarked(seg, out.Delivered)
	c.count.deliveredCE += c.segments(before.marked)
	c.countRecovery(&out)
	if out.DSACK.To > 0 {
		c.book.Add(ledger.Wasted, int(out.DSACK.Len()))
	}
	if out.Acked > 0 {
		c.freeAcked(now, ack)
	}
	if c.cc == nil || c.gone { // the ACK of our FIN led to TIME-WAIT, or to the end
		return
	}
	c.react(now, &out, before)
	if c.trace != nil {
		c.traceAck(now, blocks, &out)
	}
	c.syncRetransmitTimer()
}

// freeAcked releases what the ACK covers and takes note when it covers the FIN.
func (c *Conn) freeAcked(now mono.Time, ack int64) {
	if c.snd.stalledSince.IsSet() {
		c.snd.stalledSince = 0
		c.noteWindow()
	}
	end := c.queue.End()
	c.book.Add(ledger.Acked, int(c.queue.Ack(min(ack, end))))
	if !c.snd.finSent || ack <= end {
		return
	}
	c.move(evFinAcked)
	switch c.state {
	case StateTimeWait:
		c.enterTimeWait(now)
	case StateFinWait2:
		if c.orphan { // a peer that never closes must not keep us
			c.setTimer(timerTimeWait, now.Add(finWait2Len))
		}
	case StateClosed:
		c.finish(nil)
	}
}

// sackRanges converts the SACK blocks to offsets, leaving out what cannot be true.
func (c *Conn) sackRanges(seg *wire.Segment, dst []stream.Range) []stream.Range {
	if !c.opt.sack {
		return dst
	}
	una := c.rec.Una()
	base := c.snd.seqOf(una)
	for _, b := range seg.Options.SACK[:seg.Options.NSACK] {
		from, to := una+int64(b.Left.Sub(base)), una+int64(b.Right.Sub(base))
		if from < to && to <= c.rec.Next() {
			dst = append(dst, stream.Range{From: from, To: to})
		}
	}
	return dst
}

// echoAge is how long ago, in ticks of the timestamp clock, the segment was sent whose timestamp is echoed
// (RFC 7323 section 4.1); false if there is none, or one that cannot be true.
func (c *Conn) echoAge(now mono.Time, seg *wire.Segment) (ms int32, ok bool) {
	if !c.opt.timestamps || !seg.Options.HasTS || seg.Options.TSEcr == 0 {
		return 0, false
	}
	ms = int32(c.tsNow(now) - seg.Options.TSEcr)
	return ms, ms >= 0 && ms <= maxTimestampRTT
}

// timestampRTT is the sample that the echoed timestamp gives; 0: none.
func (c *Conn) timestampRTT(now mono.Time, seg *wire.Segment) time.Duration {
	ms, ok := c.echoAge(now, seg)
	if !ok {
		return 0
	}
	return time.Duration(ms)*time.Millisecond + time.Millisecond/2
}

// timestampEcho is the last instant of the tick that the echoed timestamp stands for; 0: none.
func (c *Conn) timestampEcho(now mono.Time, seg *wire.Segment) mono.Time {
	ms, ok := c.echoAge(now, seg)
	if !ok {
		return 0
	}
	const tick = mono.Time(time.Millisecond)
	return (now/tick-mono.Time(ms)+1)*tick - 1
}

// maxTimestampRTT bounds what an echoed timestamp can claim, in ms: a peer that lies gains nothing.
const maxTimestampRTT = 60_000
