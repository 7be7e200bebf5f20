package tcpstack

import (
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// inputFrame parses one received frame and hands it to whoever it is for.
func (s *Shard) inputFrame(f *link.Frame) {
	s.stats.FramesReceived++
	payload, d := wire.ParseIP(f.Data, &s.ip)
	if d == wire.DropNone && !s.stack.isLocal(s.ip.Dst) {
		s.stats.Drops[dropNotLocal]++
		return
	}
	if d == wire.DropNone {
		switch s.ip.Protocol {
		case wire.ProtoTCP:
			d = s.inputTCP(f, payload)
		case wire.ProtoICMP, wire.ProtoICMPv6:
			d = s.inputICMP(payload)
		default:
			s.stats.Drops[dropProtocol]++
			return
		}
	}
	if d != wire.DropNone {
		s.stats.WireDrops[d]++
	}
}

// inputTCP finds the connection of a TCP segment. A segment of another shard's connection is copied over
// to its inbox: the link steered it to the wrong queue, which happens until it has learnt the flow.
func (s *Shard) inputTCP(f *link.Frame, payload []byte) wire.Drop {
	if d := wire.ParseTCP(&s.ip, payload, f.Csum == link.CsumComplete, &s.seg); d != wire.DropNone {
		return d
	}
	flow := wire.Flow{Local: s.ip.Dst, Remote: s.ip.Src, LocalPort: s.seg.DstPort, RemotePort: s.seg.SrcPort}
	if owner := s.stack.owner(&flow); owner != s {
		s.stats.Steered++
		owner.Post(&steered{data: append([]byte(nil), f.Data...), at: f.Time})
		return wire.DropNone
	}
	s.stats.SegmentsReceived++
	now := s.stamp(f.Time)
	if c := s.flows[flow]; c != nil && !s.reopens(c, &s.seg) {
		c.input(now, &s.seg)
		return wire.DropNone
	}
	s.inputUnknown(now, &flow, &s.seg)
	return wire.DropNone
}

// stamp is when a frame left the ring, as the link says; links without a clock leave it to us.
func (s *Shard) stamp(at mono.Time) mono.Time {
	if at.IsSet() {
		return at
	}
	return s.now
}

// steered is a packet on its way to the shard it belongs to. Its checksum was checked.
type steered struct {
	data []byte
	at   mono.Time
}

// Run inputs the packet on its own shard.
func (m *steered) Run(s *Shard) {
	s.inputFrame(&link.Frame{Data: m.data, Time: m.at, Csum: link.CsumValid})
}

// reopens reports whether a SYN may take the place of a connection in TIME-WAIT (RFC 9293 section 3.6.1,
// RFC 6191): its timestamp or its sequence number is beyond everything the old connection received. The
// old connection is then gone.
func (s *Shard) reopens(c *Conn, seg *wire.Segment) bool {
	if c.state != StateTimeWait || seg.Flags&(wire.SYN|wire.ACK|wire.RST) != wire.SYN {
		return false
	}
	newer := c.rcv.seqOf(c.rcvNext()).LessEq(seg.Seq)
	if seg.Options.HasTS { // RFC 6191 section 2, for both kinds of the old connection
		age := int32(seg.Options.TSVal - c.rcv.tsRecent)
		newer = !c.opt.timestamps || age > 0 || age == 0 && newer
	}
	if newer {
		s.replace(c)
	}
	return newer
}

// replace ends a connection in TIME-WAIT for a new one of the same flow, whose sequence numbers begin beyond
// the old one's (RFC 9293 section 3.6.1: "assigns its initial sequence number for the new connection to be
// larger than the largest sequence number it used on the previous connection incarnation"). The distance is
// Linux's.
func (s *Shard) replace(c *Conn) {
	s.afterISS, s.reused = c.snd.seqOf(c.rec.Next()+0xffff), true
	c.finish(nil)
}

// newISS is the initial sequence number of a connection.
func (s *Shard) newISS(now mono.Time, flow *wire.Flow) wire.Seq {
	iss := s.stack.isn.ISN(now, flow)
	if s.reused && iss.Less(s.afterISS) {
		iss = s.afterISS
	}
	s.reused = false
	return iss
}

// inputICMP answers echo requests and gives errors to the connection they quote.
func (s *Shard) inputICMP(payload []byte) wire.Drop {
	m := &s.icmp
	if d := wire.ParseICMP(&s.ip, payload, m); d != wire.DropNone {
		return d
	}
	switch m.Kind {
	case wire.ICMPEchoRequest:
		s.echo(m)
	case wire.ICMPTooBig, wire.ICMPUnreachable:
		if c := s.quoted(m); c != nil {
			c.inputICMP(s.now, m)
		}
	}
	return wire.DropNone
}

// echo answers a ping, if it fits the scratch packet and the rate limit (RFC 1122 section 3.2.2.6).
func (s *Shard) echo(m *wire.ICMP) {
	if !s.echoes.take(s.now) {
		return
	}
	if n := wire.PutEchoReply(s.packet[:], &s.ip, m); n > 0 {
		s.sendPacket(s.packet[:n])
	}
}

// quoted is the connection that an ICMP error speaks of, if the quoted sequence number is in flight (RFC
// 5927 section 4.1): anything else may be forged. A connection of another shard gets the error there.
func (s *Shard) quoted(m *wire.ICMP) *Conn {
	if !m.Quoted {
		return nil
	}
	if owner := s.stack.owner(&m.Flow); owner != s {
		copied := *m
		copied.Data = nil
		owner.Post(MessageFunc(func(s *Shard) {
			if c := s.quoted(&copied); c != nil {
				c.inputICMP(s.now, &copied)
			}
		}))
		return nil
	}
	c := s.flows[m.Flow]
	if c == nil || c.state == StateTimeWait {
		return nil
	}
	first, size := c.snd.seqOf(c.rec.Una()), int(c.rec.Flight())
	if !c.state.synchronized() {
		first, size = c.snd.iss, 1
	}
	if !m.Seq.InWindow(first, size) {
		s.stats.Drops[dropICMPForged]++
		return nil
	}
	return c
}

// sendControl sends a segment without payload that no connection's turn carries: SYN-ACK, RST, probes.
// When the link's ring is full it is dropped and counted; all of these may be lost.
func (s *Shard) sendControl(flow *wire.Flow, seg *wire.Segment) {
	if !s.controlRoom() {
		return
	}
	s.batch.commit(s.batch.begin(flow, seg, 0), 0)
	s.stats.SegmentsSent++
}

// sendPacket sends a finished IP packet.
func (s *Shard) sendPacket(p []byte) {
	if s.batch.gather.Free() >= len(p) && s.controlRoom() {
		s.batch.add(p)
	}
}

// controlRoom makes room for a frame without payload, by calling the link if need be.
func (s *Shard) controlRoom() bool {
	if !s.batch.hasControlRoom() {
		s.flush() //nolint:errcheck // a dead link is reported by the loop's own next call
	}
	if s.batch.hasControlRoom() {
		return true
	}
	s.stats.Drops[dropRingFull]++
	return false
}

// sendReset answers a segment for which there is no connection (RFC 9293 section 3.10.7.1).
func (s *Shard) sendReset(flow *wire.Flow, seg *wire.Segment) {
	if seg.Flags&wire.RST != 0 || !s.resets.take(s.now) {
		return
	}
	r := wire.Segment{SrcPort: flow.LocalPort, DstPort: flow.RemotePort}
	if seg.Flags&wire.ACK != 0 {
		r.Seq, r.Flags = seg.Ack, wire.RST
	} else {
		r.Ack, r.Flags = seg.Seq.Add(seg.Len()), wire.RST|wire.ACK
	}
	s.stats.ResetsSent++
	s.sendControl(flow, &r)
}

// A tokenBucket limits replies that anyone can provoke.
type tokenBucket struct {
	rate  int64 // per second, and the burst
	spent int64
	since mono.Time
}

func (b *tokenBucket) take(now mono.Time) bool {
	if now.Sub(b.since) >= time.Second {
		b.since, b.spent = now, 0
	}
	b.spent++
	return b.spent <= b.rate
}
