package script

import (
	"encoding/binary"

	"ocaserve/tcpstack/wire"
)

// peerISS is the scripted host's initial sequence number: its stream wraps after 15 bytes, so that every
// script also tests the arithmetic.
const peerISS wire.Seq = 0xfffffff0

// A flow is a connection as the script sees it, with what translates its numbers. As in packetdrill, the
// sequence number of a SYN is whatever the script says, and all others count from the SYN as 0, in either
// direction.
type flow struct {
	key   wire.Flow // as the stack sees it
	peer  origin
	stack origin
	syn   wire.Seq // of the last SYN that the script has sent
	synAt uint32   // the same as the script says it
	sawTS bool
	ts    [2]uint32         // the first timestamp matched: the script's and the stack's
	exact map[uint32]uint32 // the script's timestamps to the stack's, for those that lines have named
	given *[]byte           // the last Fast Open cookie, of all flows
	wrote []byte            // what the application has written, from stream offset 0
}

// An origin is where one side's sequence numbers begin.
type origin struct {
	iss   wire.Seq // on the wire
	base  uint32   // the script's number of the SYN
	known bool
}

func newFlow(key wire.Flow) *flow {
	// Before its SYN the stack's numbers are their own: a RST that answers no ACK begins at 0.
	return &flow{key: key, peer: origin{iss: peerISS}, exact: make(map[uint32]uint32)}
}

// live translates a number of the script to the wire; syn says that it stands in a SYN.
func (o *origin) live(n uint32, syn bool) wire.Seq {
	if syn {
		n -= o.base
	}
	return o.iss.Add(int(n))
}

// script is the opposite of live.
func (o *origin) script(s wire.Seq, syn bool) uint32 {
	n := uint32(s - o.iss)
	if syn {
		n += o.base
	}
	return n
}

// sending notes a SYN of the script before it is translated: the first one fixes the base.
func (f *flow) sending(p *packet) {
	if p.flags&wire.SYN == 0 {
		return
	}
	if !f.peer.known {
		f.peer.base, f.peer.known = p.seq, true
	}
	f.syn, f.synAt = f.peer.live(p.seq, true), p.seq
}

// sentBy notes a segment of the stack as it is sent: a SYN tells its ISS, and the SYN-ACK to a later SYN that
// both sides begin anew.
func (f *flow) sentBy(s *wire.Segment) {
	if s.Flags&wire.SYN == 0 {
		return
	}
	if f.stack.iss != s.Seq {
		f.stack = origin{iss: s.Seq}
		f.wrote, f.sawTS = nil, false
		clear(f.exact)
	}
	if s.Flags&wire.ACK != 0 && s.Ack == f.syn.Add(1) && f.syn != f.peer.iss {
		f.peer = origin{iss: f.syn, base: f.synAt, known: true}
	}
}

// peerByte is what the scripted host sends at each position of its stream.
func peerByte(seq uint32) byte { return byte(seq*31 + seq>>8) }

// hostByte is what the application writes.
func hostByte(off int) byte { return byte(off*17 + off>>7 + 3) }

// encode makes the IP packet of p. ecr is false if the script echoes a timestamp that nobody has sent.
func (f *flow) encode(p *packet) (raw []byte, ecr bool) {
	syn := p.flags&wire.SYN != 0
	f.sending(p)
	b := make([]byte, 20, 60+p.size)
	binary.BigEndian.PutUint16(b[0:], f.key.RemotePort)
	binary.BigEndian.PutUint16(b[2:], f.key.LocalPort)
	binary.BigEndian.PutUint32(b[4:], uint32(f.peer.live(p.seq, syn)))
	if p.flags&wire.ACK != 0 {
		binary.BigEndian.PutUint32(b[8:], uint32(f.stack.live(p.ack, syn)))
	}
	ecr = true
	for _, o := range p.opts {
		ecr = f.liveOption(p, &o) && ecr
		b = o.put(b)
	}
	b[12], b[13] = byte(len(b)/4)<<4, byte(p.flags)
	binary.BigEndian.PutUint16(b[14:], uint16(p.win))
	binary.BigEndian.PutUint16(b[18:], p.urg)
	first := p.seq
	if syn { // data in a SYN begins behind it, whatever the script calls its number
		first = 1
	}
	for i := range uint32(p.size) {
		b = append(b, peerByte(first+i))
	}
	h := f.header(p, wire.ProtoTCP)
	binary.BigEndian.PutUint16(b[16:], ^wire.Checksum(b, wire.PseudoHeader(&h, len(b))).Fold())
	return packIP(&h, b), ecr
}

// header is the IP header of what the scripted host sends.
func (f *flow) header(p *packet, proto uint8) wire.IPHeader {
	h := wire.IPHeader{Src: f.key.Remote, Dst: f.key.Local, Protocol: proto, HopLimit: 64, V6: !f.key.Local.Is4()}
	if p.tos >= 0 {
		h.TOS = uint8(p.tos)
	}
	if p.ttl >= 0 {
		h.HopLimit = uint8(p.ttl)
	}
	return h
}

func packIP(h *wire.IPHeader, payload []byte) []byte {
	b := make([]byte, 40+len(payload))
	n := wire.PutIP(b, h, len(payload))
	return b[:n+copy(b[n:], payload)]
}

// liveOption translates an option that speaks of the stack's numbers. It reports false for a timestamp echo
// that cannot be translated.
func (f *flow) liveOption(p *packet, o *option) bool {
	switch {
	case o.kind == optSack:
		blocks := make([][2]uint32, len(o.blocks))
		for i, e := range o.blocks {
			blocks[i] = [2]uint32{uint32(f.stack.live(e[0], false)), uint32(f.stack.live(e[1], false))}
		}
		o.blocks = blocks
	case o.cookie:
		*o = option{kind: optFO, raw: *f.given}
		return len(o.raw) > 0
	case o.kind == optTS && p.flags&wire.ACK != 0:
		live, ok := f.exact[o.b]
		if !ok && f.sawTS {
			live, ok = o.b-f.ts[0]+f.ts[1], true
		}
		o.b = live
		return ok
	}
	return true
}

// decode is a segment of the stack in the script's numbers; want is the line it is compared to, which
// fixes what is not fixed yet: the number of the stack's SYN, and the first timestamp.
func (f *flow) decode(s *sent, want *packet) *packet {
	syn := s.seg.Flags&wire.SYN != 0
	if syn && want.flags&wire.SYN != 0 && !f.stack.known {
		f.stack.base, f.stack.known = want.seq, true
	}
	p := &packet{
		out: true, flags: s.seg.Flags, seq: f.stack.script(s.seg.Seq, syn), size: len(s.seg.Payload),
		win: int(s.seg.Window), urg: s.seg.Urgent, tos: int(s.ip.TOS & 3), tosMask: 3, ttl: int(s.ip.HopLimit),
	}
	if want.tosMask == 255 {
		p.tos, p.tosMask = int(s.ip.TOS), 255
	}
	if p.flags&wire.ACK != 0 {
		p.ack = f.peer.script(s.seg.Ack, syn)
	}
	for _, o := range s.opts {
		if o.kind == optFO && len(o.raw) > 0 {
			*f.given = o.raw
		}
		p.opts = append(p.opts, f.scriptOption(o))
	}
	f.learnTS(s, want)
	if ts := timestamps(p.opts); ts != nil && f.sawTS {
		ts.a = ts.a - f.ts[1] + f.ts[0]
	}
	return p
}

// scriptOption translates the SACK blocks.
func (f *flow) scriptOption(o option) option {
	if o.kind != optSack || o.unparsed {
		return o
	}
	blocks := make([][2]uint32, len(o.blocks))
	for i, e := range o.blocks {
		blocks[i] = [2]uint32{f.peer.script(wire.Seq(e[0]), false), f.peer.script(wire.Seq(e[1]), false)}
	}
	o.blocks = blocks
	return o
}

// learnTS remembers which timestamp of the stack a line of the script has named.
func (f *flow) learnTS(s *sent, want *packet) {
	named, live := timestamps(want.opts), timestamps(s.opts)
	if named == nil || live == nil {
		return
	}
	f.exact[named.a] = live.a
	if !f.sawTS {
		f.sawTS, f.ts = true, [2]uint32{named.a, live.a}
	}
}

// encodeICMP makes the packet of an ICMP error about a segment of the stack, as a router on the way would:
// the quoted IP header and the first 8 bytes of TCP (RFC 792), which is all that old routers send.
func (f *flow) encodeICMP(p *packet) []byte {
	m, v6 := p.icmp, !f.key.Local.Is4()
	quote := make([]byte, 20)
	binary.BigEndian.PutUint16(quote[0:], f.key.LocalPort)
	binary.BigEndian.PutUint16(quote[2:], f.key.RemotePort)
	binary.BigEndian.PutUint32(quote[4:], uint32(f.stack.live(m.seq, false)))
	quoted := wire.IPHeader{Src: f.key.Local, Dst: f.key.Remote, Protocol: wire.ProtoTCP, HopLimit: 60, V6: v6, DontFragment: true}
	head := make([]byte, 40)
	n := wire.PutIP(head, &quoted, 20+m.size)
	typ, code, _ := icmpCode(v6, m)
	b := binary.BigEndian.AppendUint32([]byte{typ, code, 0, 0}, uint32(m.mtu))
	b = append(append(b, head[:n]...), quote[:8]...)
	proto, start := uint8(wire.ProtoICMP), wire.Sum(0)
	if v6 {
		proto = wire.ProtoICMPv6
	}
	h := f.header(p, proto)
	if v6 {
		start = wire.PseudoHeader(&h, len(b))
	}
	binary.BigEndian.PutUint16(b[2:], ^wire.Checksum(b, start).Fold())
	return packIP(&h, b)
}
