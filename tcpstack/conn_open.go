package tcpstack

import (
	"math"
	"time"

	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

const (
	defaultMSS4 = 536  // RFC 9293 section 3.7.1: what a peer takes that announces nothing
	defaultMSS6 = 1220 // the same for IPv6
	quickACKs   = 8    // segments acknowledged at once while the peer is in slow start
)

// newConn makes a connection and enters it into the flow table.
func (s *Shard) newConn(flow *wire.Flow, h Handler) *Conn {
	c := &Conn{shard: s, handler: h, flow: *flow}
	c.timer.User = c
	c.opt.noDelay = true
	c.rcv.limit = s.stack.cfg.ReceiveBuffer
	c.rcv.scale = windowScale(s.stack.cfg.MaxReceiveBuffer)
	c.rcv.quickACK = quickACKs
	c.snd.lowat = s.stack.cfg.NotsentLowat
	c.snd.pmtu = s.batch.caps.MTU
	c.queue.Init(&s.blocks)
	c.in.Init(&s.blocks, stream.ReassemblyConfig{Limit: c.rcv.limit})
	s.flows[*flow] = c
	s.enlist(c)
	return c
}

// windowScale is the shift that lets a 16-bit field announce limit bytes (RFC 7323 section 2.2).
func windowScale(limit int) uint8 {
	shift := uint8(0)
	for limit>>shift > 0xffff && shift < 14 {
		shift++
	}
	return shift
}

// connect opens actively (RFC 9293 section 3.10.1, OPEN in CLOSED). Once the connection is established a
// Writable event says so.
func (c *Conn) connect(now mono.Time) {
	c.snd.iss = c.shard.newISS(now, &c.flow)
	c.opt.tsOffset = c.shard.stack.isn.TSOffset(&c.flow)
	c.opt.timestamps, c.opt.sack = true, true // until the peer's SYN says otherwise
	c.opt.peerMSS = defaultMSS6
	c.ecn.offered = c.shard.stack.wantECN()
	c.offerGuard()
	c.move(evActiveOpen)
	c.setMSS()
	c.sendSyn(now)
}

// sendSyn sends our SYN, or after a simultaneous open our SYN-ACK, and arms its retransmission.
func (c *Conn) sendSyn(now mono.Time) {
	flags := wire.SYN
	if c.state == StateSynReceived {
		flags |= wire.ACK
	}
	seg := wire.Segment{
		SrcPort: c.flow.LocalPort, DstPort: c.flow.RemotePort, Seq: c.snd.iss, Flags: flags | c.ecnSyn(),
		Window: c.synWindow(),
	}
	o := &seg.Options
	o.MSS = c.shard.announcedMSS(&c.flow)
	o.HasWScale, o.WScale = true, c.rcv.scale
	o.SACKPermitted = c.opt.sack
	if o.HasTS = c.opt.timestamps; o.HasTS {
		o.TSVal, o.TSEcr = c.tsNow(now), c.rcv.tsRecent
	}
	if flags&wire.ACK != 0 {
		seg.Ack = c.rcv.seqOf(c.rcvNext())
		seg.Window = uint16(min(c.in.Room(), 0xffff)) // less than it may be, where the SYN brought data
		c.rcv.edge = max(c.rcv.edge, c.rcvNext()+int64(seg.Window))
		o.HasWScale = c.snd.scale > 0 || c.rcv.scale > 0
	}
	c.guardSyn(o)
	if n := c.fastSyn(now, &seg); n > 0 {
		c.emitData(&seg, 0, n)
	} else {
		c.shard.sendControl(&c.flow, &seg)
	}
	c.setTimer(timerRetransmit, now.Add(synRTO<<c.snd.synTries))
	c.snd.synTries++
	c.snd.lastSent = now
}

// synWindow is the window in a SYN, which is never scaled (RFC 7323 section 2.2).
func (c *Conn) synWindow() uint16 { return uint16(min(c.rcv.limit, 0xffff)) }

// announcedMSS is the MSS option we send: what the interface takes (RFC 6691), not what the path does.
func (s *Shard) announcedMSS(flow *wire.Flow) uint16 {
	ip := 40
	if flow.Local.Is4() {
		ip = 20
	}
	return uint16(min(s.batch.caps.MTU-ip-20, 0xffff))
}

// inputSynSent is RFC 9293 section 3.10.7.3.
func (c *Conn) inputSynSent(now mono.Time, seg *wire.Segment) {
	acked := seg.Flags&wire.ACK != 0
	if acked && !c.fastCovers(seg.Ack) { // first: SEG.ACK =< ISS or SEG.ACK > SND.NXT
		c.shard.sendReset(&c.flow, seg)
		return
	}
	if seg.Flags&wire.RST != 0 { // second
		if acked {
			c.finish(ErrRefused)
		}
		return
	}
	if seg.Flags&wire.SYN == 0 { // fifth
		return
	}
	c.learnSyn(now, seg)
	if !acked { // fourth, the other branch: simultaneous open
		c.move(evSynOnly)
		c.snd.synTries = 0
		c.sendSyn(now)
		return
	}
	c.established(now, seg)
	c.fastAnswered(now, seg)
	c.raise(eventWritable)
	c.rcv.ackNow = true
	c.inputText(now, seg)
	c.inputFin(now, seg)
	c.wantOutput()
}

// learnSyn takes the peer's SYN: its sequence number and options (RFC 7323 sections 2.2 and 3.2).
func (c *Conn) learnSyn(now mono.Time, seg *wire.Segment) {
	o := &seg.Options
	c.rcv.irs = seg.Seq
	c.rcv.edge = int64(c.synWindow())
	c.opt.sack = c.opt.sack && o.SACKPermitted
	c.opt.timestamps = c.opt.timestamps && o.HasTS
	c.rcv.tsRecent, c.rcv.tsRecentAt = o.TSVal, now
	c.opt.peerMSS = peerMSS(o.MSS, c.flow.Local.Is4())
	c.ecnAgreed(seg)
	c.guardAgreed(seg)
	c.agreeScale(o.HasWScale, o.WScale)
	c.setMSS()
}

// agreeScale applies window scaling, which holds only if both sides sent the option.
func (c *Conn) agreeScale(has bool, shift uint8) {
	if !has {
		c.rcv.scale, c.snd.scale = 0, 0
		return
	}
	c.snd.scale = shift
}

// peerMSS is what the peer's SYN announced, or the default.
func peerMSS(announced uint16, v4 bool) int {
	switch {
	case announced > 0:
		return int(announced)
	case v4:
		return defaultMSS4
	}
	return defaultMSS6
}

// established enters ESTABLISHED on a segment that acknowledges our SYN.
func (c *Conn) established(now mono.Time, seg *wire.Segment) {
	c.move(evSynAcked)
	c.stopTimer(timerRetransmit)
	c.snd.wl1, c.snd.wl2 = seg.Seq, 0
	c.snd.wnd = int64(seg.Window)
	if seg.Flags&wire.SYN == 0 {
		c.snd.wnd = c.offered(seg.Window)
	}
	c.snd.maxWnd = c.snd.wnd
	c.noteWindow()
	if c.fast.pending {
		c.fastEstablished(now, seg)
	} else {
		c.startSending(now, seg)
	}
	if c.snd.closing {
		c.CloseWrite()
	}
}

// synLost reports that our SYN or SYN-ACK had to be sent again more than once, unless seg echoes the timestamp of an
// earlier one: then that was only slow (RFC 3522 section 3.2 has this for data).
func (c *Conn) synLost(seg *wire.Segment) bool {
	early := c.opt.timestamps && seg.Options.HasTS && c.snd.lastSent.IsSet() &&
		int32(seg.Options.TSEcr-c.tsNow(c.snd.lastSent)) < 0
	return c.snd.synTries > 2 && !early
}

// startSending sets up recovery and congestion control, on the segment that acknowledges our SYN. If that had to
// be sent again, and no timestamp tells which one is acknowledged (RFC 7323 section 4.1), the first RTO is longer (RFC
// 6298 (5.7): "it MUST be re-initialized to 3 seconds when data transmission begins").
//
// The initial window is one segment if the SYN was lost (RFC 5681 section 3.1). We deviate, as Linux does: one loss is
// no sign of congestion where a path loses a packet in a hundred, and costs a short response several round trips; two
// are.
func (c *Conn) startSending(now mono.Time, seg *wire.Segment) {
	c.mtuStart(now)
	name := c.choose()
	cfg := c.fn.policy()
	cfg.MSS, cfg.SACK, cfg.Pool = c.snd.mss, c.opt.sack, &c.shard.boards
	again := c.snd.synTries > 1
	rtt := time.Duration(0)
	if again {
		rtt = c.timestampRTT(now, seg)
	}
	if again && rtt == 0 {
		cfg.InitialRTO = 3 * time.Second
	}
	c.rec.Init(cfg)
	if c.snd.synTries == 1 { // Karn: only an unambiguous exchange gives a sample
		c.rec.SampleRTT(now, now.Sub(c.snd.lastSent))
	} else if rtt > 0 {
		c.rec.SampleRTT(now, rtt)
	}
	cc, err := congestion.New(name, c.snd.mss)
	if err != nil {
		panic("tcpstack: the names of congestion controls are checked when they are configured: " + err.Error())
	}
	if s, ok := cc.(congestion.Seeder); ok && c.synLost(seg) {
		s.Seed(now, int64(c.snd.mss), math.MaxInt64, 0)
	}
	c.useCongestion(cc)
	c.initPace()
	c.snd.lastSent = 0
	c.startLimits(now)
}
