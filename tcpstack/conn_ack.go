package tcpstack

import (
	"time"

	"ocaserve/tcpstack/congestion"
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
	dup := c.isDuplicateAck(seg, ack, una, next)
	if ack < una {
		return true // an old ACK; its payload may still be new
	}
	c.updateWindow(seg, ack) // section 3.10.7.4: "If SND.UNA =< SEG.ACK =< SND.NXT"
	if ack == next && una == next && seg.Options.NSACK == 0 {
		return true // nothing was in flight: a pure window update or data from the peer
	}
	c.ackSent(now, seg, ack, dup)
	return !c.gone
}

// isDuplicateAck is RFC 5681 section 2, DUPLICATE ACKNOWLEDGMENT.
func (c *Conn) isDuplicateAck(seg *wire.Segment, ack, una, next int64) bool {
	return ack == una && una < next && len(seg.Payload) == 0 && seg.Flags&wire.FIN == 0 &&
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
	c.snd.wnd = c.offered(seg.Window)
	c.snd.wl1, c.snd.wl2 = seg.Seq, ack
	c.snd.maxWnd = max(c.snd.maxWnd, c.snd.wnd)
	if c.snd.wnd > 0 {
		c.stopTimer(timerPersist)
		c.snd.persistTries = 0
	}
}

// ackSent gives the ACK to recovery and congestion control and frees what it covers.
func (c *Conn) ackSent(now mono.Time, seg *wire.Segment, ack int64, dup bool) {
	pipe, flight := c.rec.Pipe(), c.rec.Flight()
	s := c.shard
	info := recovery.AckInfo{Ack: ack, SACK: c.sackRanges(seg, s.sacks[:0]), IsDup: dup, RTT: c.timestampRTT(now, seg)}
	out := c.rec.Ack(now, info)
	c.countRecovery(&out)
	if out.Acked > 0 {
		c.freeAcked(now, ack)
	}
	if c.cc == nil { // the ACK of our FIN led to TIME-WAIT
		return
	}
	if out.Entered {
		c.cc.Lost(now, congestion.Loss{InFlight: flight})
	}
	if out.Delivered > 0 {
		c.cc.Acked(now, congestion.Ack{
			Delivered: out.Delivered, InFlight: pipe, RTT: out.RTT,
			InRecovery: c.rec.State() >= recovery.CWR,
			AppLimited: pipe < c.cc.Window()/2,
		})
	}
	c.syncRetransmitTimer()
}

// freeAcked releases what the ACK covers and takes note when it covers the FIN.
func (c *Conn) freeAcked(now mono.Time, ack int64) {
	c.snd.stalledSince = 0
	end := c.queue.End()
	c.queue.Ack(min(ack, end))
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

// timestampRTT is the sample that the echoed timestamp gives (RFC 7323 section 4.1), in the timestamp
// clock's milliseconds; 0: none.
func (c *Conn) timestampRTT(now mono.Time, seg *wire.Segment) time.Duration {
	if !c.opt.timestamps || !seg.Options.HasTS || seg.Options.TSEcr == 0 {
		return 0
	}
	ms := int32(c.tsNow(now) - seg.Options.TSEcr)
	if ms < 0 || ms > maxTimestampRTT {
		return 0
	}
	return time.Duration(ms)*time.Millisecond + time.Millisecond/2
}

// maxTimestampRTT bounds what an echoed timestamp can claim, in ms: a peer that lies gains nothing.
const maxTimestampRTT = 60_000

func (c *Conn) countRecovery(out *recovery.Outcome) {
	st := &c.shard.stats
	st.BytesAcked += uint64(out.Acked)
	if out.Entered {
		st.Recoveries++
	}
	st.BytesLost += uint64(out.Lost)
}
