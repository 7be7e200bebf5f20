package tcpstack

import (
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/syn"
	"ocaserve/tcpstack/wire"
)

// inputUnknown takes a segment that belongs to no connection: the LISTEN and CLOSED states of RFC 9293
// sections 3.10.7.1 and 3.10.7.2. Half-open connections live in the SYN cache, not in the flow table.
func (s *Shard) inputUnknown(now mono.Time, flow *wire.Flow, seg *wire.Segment) {
	l := s.stack.listenerFor(flow.Local, flow.LocalPort)
	switch {
	case l == nil:
		s.sendReset(flow, seg)
	case seg.Flags&wire.RST != 0: // first: check for a RST
		s.resetHalfOpen(flow, seg)
	case seg.Flags&wire.ACK != 0: // second: check for an ACK
		s.completeOpen(now, l, flow, seg)
	case seg.Flags&wire.SYN != 0: // third: check for a SYN
		s.answerSyn(now, l, flow, seg)
	}
}

// resetHalfOpen forgets a half-open connection that the peer reset, if the sequence number is the one
// expected (RFC 5961 section 3.2).
func (s *Shard) resetHalfOpen(flow *wire.Flow, seg *wire.Segment) {
	if e, ok := s.syns.Lookup(flow); ok && seg.Seq == e.IRS.Add(1) {
		s.syns.Remove(flow)
	}
}

// answerSyn remembers a SYN in the cache and answers it; with no room left the SYN-ACK is a cookie, and
// nothing is remembered.
func (s *Shard) answerSyn(now mono.Time, l *Listener, flow *wire.Flow, seg *wire.Segment) {
	if s.full() && s.waits.head == nil || l.full() || s.pressed() {
		s.stats.Drops[dropBacklog]++
		s.stats.ListenOverflows++
		return
	}
	ecn := s.stack.acceptsECN(seg)
	if e, ok := s.syns.Lookup(flow); ok && e.IRS == seg.Seq { // a retransmitted SYN
		e.ECN = e.ECN && ecn
		s.syns.Again(flow, e.ECN)
		s.sendSynAck(&e, syn.TSVal(now, s.stack.isn.TSOffset(flow)))
		return
	}
	e := syn.NewEntry(*flow, seg, s.newISS(now, flow))
	e.ECN = ecn
	s.rememberGuard(now, flow, &seg.Options)
	if s.answerFast(now, l, &e, seg) {
		return
	}
	tsval := syn.TSVal(now, s.stack.isn.TSOffset(flow))
	if !s.syns.Add(now, &e) {
		delete(s.opens.guards, *flow) // nobody remembers the peer's
		e.ECN = e.ECN && e.TS
		e.ISS, tsval = s.cookies.Make(now, flow, seg.Seq, &seg.Options, e.ECN)
		s.stats.SyncookiesSent++
	}
	s.sendSynAck(&e, tsval)
}

// resendSynAck repeats the answer to a SYN: the SYN cache's timer.
func (s *Shard) resendSynAck(e *syn.Entry) {
	s.sendSynAck(e, syn.TSVal(s.now, s.stack.isn.TSOffset(&e.Flow)))
}

// sendSynAck answers with the options that the SYN offered.
func (s *Shard) sendSynAck(e *syn.Entry, tsval uint32) {
	cfg := &s.stack.cfg
	seg := wire.Segment{
		SrcPort: e.Flow.LocalPort, DstPort: e.Flow.RemotePort,
		Seq: e.ISS, Ack: e.IRS.Add(1), Flags: wire.SYN | wire.ACK,
		Window: uint16(min(cfg.ReceiveBuffer, 0xffff)),
	}
	if e.ECN {
		seg.Flags |= wire.ECE // an ECN-setup SYN-ACK (RFC 3168 section 6.1.1)
	}
	o := &seg.Options
	o.MSS = s.announcedMSS(&e.Flow)
	o.HasWScale, o.WScale = e.HasWScale, windowScale(cfg.MaxReceiveBuffer)
	o.SACKPermitted = e.SACK
	if o.HasTS = e.TS; o.HasTS {
		o.TSVal, o.TSEcr = tsval, e.TSRecent
	}
	s.guardSynAck(e, o)
	if e.FastOpen {
		o.FastOpen = s.opens.fast.Make(s.now, &e.Flow)
	}
	s.sendControl(&e.Flow, &seg)
}

// completeOpen takes the ACK that ends the handshake: it must acknowledge our SYN-ACK, remembered or
// cookie. Anything else is reset.
func (s *Shard) completeOpen(now mono.Time, l *Listener, flow *wire.Flow, seg *wire.Segment) {
	e, ok := s.syns.Lookup(flow)
	if ok {
		if !seg.Seq.InWindow(e.IRS.Add(1), 0xffff+1) {
			s.answerHalfOpen(&e)
			return
		}
		ok = seg.Ack == e.ISS.Add(1) && seg.Flags&wire.SYN == 0
	} else if seg.Flags&wire.SYN == 0 {
		if e, ok = s.cookies.Check(now, flow, seg); ok {
			s.stats.SyncookiesRecv++
		}
	}
	if !ok {
		s.sendReset(flow, seg)
		return
	}
	if l.full() || s.pressed() || !s.makeRoom() {
		s.stats.ListenOverflows++ // the peer will say it again
		return
	}
	s.syns.Remove(flow)
	s.accept(now, l, &e, seg)
}

// answerHalfOpen answers an ACK outside the window of a half-open connection (section 3.10.7.4: "an
// acknowledgment should be sent in reply").
func (s *Shard) answerHalfOpen(e *syn.Entry) {
	if !s.resets.take(s.now) {
		return
	}
	seg := wire.Segment{
		SrcPort: e.Flow.LocalPort, DstPort: e.Flow.RemotePort, Seq: e.ISS.Add(1), Ack: e.IRS.Add(1),
		Flags: wire.ACK, Window: uint16(min(s.stack.cfg.ReceiveBuffer, 0xffff)),
	}
	if e.TS {
		seg.Options.HasTS, seg.Options.TSEcr = true, e.TSRecent
		seg.Options.TSVal = syn.TSVal(s.now, s.stack.isn.TSOffset(&e.Flow))
	}
	s.sendControl(&e.Flow, &seg)
}

// full reports whether the shard holds as many connections as it may.
func (s *Shard) full() bool { return len(s.flows) >= s.stack.cfg.MaxConns }

// pressed reports that three quarters of the receive memory are taken, or nearly all of the budget: new connections are refused, so that
// those there are can go on (what unread or dribbled requests hold, their time-outs give back).
func (s *Shard) pressed() bool {
	return s.blocks.InUse() > s.stack.cfg.MaxReassembly/4*3 || s.memoryHigh()
}

// makeRoom reports whether there is a place for one connection more. At the limit the oldest in TIME-WAIT
// gives up its own: turning away the living for the dead would be the worse breach, and timestamps or ISNs
// catch the old segments all the same.
func (s *Shard) makeRoom() bool {
	if s.full() && s.waits.head != nil {
		s.stats.TimeWaitRecycled++
		s.waits.head.finish(nil)
	}
	return !s.full()
}

// accept makes the connection of a completed handshake and gives it the segment that completed it.
func (s *Shard) accept(now mono.Time, l *Listener, e *syn.Entry, seg *wire.Segment) {
	c := s.newAccepted(now, l, e)
	c.snd.synTries = e.Retries + 1
	if e.Again { // the peer missed what the timer has sent again, too: no loss more
		c.snd.synTries = max(c.snd.synTries, 2)
	}
	if c.snd.lastSent = e.Sent; !e.Sent.IsSet() {
		c.snd.synTries = 0 // from a cookie: no RTT, and no reason to be careful
	}
	c.established(now, seg)
	s.stats.Accepted++
	l.admit(c)
	if !c.gone {
		c.input(now, seg)
	}
}

// newAccepted makes a connection in SYN-RECEIVED.
func (s *Shard) newAccepted(now mono.Time, l *Listener, e *syn.Entry) *Conn {
	c := s.newConn(&e.Flow, nil)
	c.listener = l
	c.move(evPassiveOpen)
	c.snd.iss, c.rcv.irs = e.ISS, e.IRS
	c.rcv.edge = int64(c.synWindow())
	c.rcv.tsRecent, c.rcv.tsRecentAt = e.TSRecent, now
	c.opt.timestamps, c.opt.sack = e.TS, e.SACK
	c.opt.tsOffset = s.stack.isn.TSOffset(&e.Flow)
	c.opt.peerMSS = peerMSS(e.MSS, e.Flow.Local.Is4())
	c.agreeScale(e.HasWScale, e.WScale)
	c.setMSS()
	c.ecn.on = e.ECN
	c.adoptGuard()
	return c
}
