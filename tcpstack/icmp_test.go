package tcpstack

import (
	"encoding/binary"
	"testing"
	"time"

	"ocaserve/tcpstack/wire"
)

// icmp sends an ICMP message: type and code, the four bytes behind the checksum, and the rest.
func (p *peer) icmp(typ, code uint8, arg uint32, data []byte) {
	p.t.Helper()
	p.wantNone()
	h := wire.IPHeader{Src: p.flow.Remote, Dst: p.flow.Local, Protocol: wire.ProtoICMP, HopLimit: 64}
	if !p.flow.Local.Is4() {
		h.V6, h.Protocol = true, wire.ProtoICMPv6
	}
	b := make([]byte, 40+8+len(data))
	n := wire.PutIP(b, &h, 8+len(data))
	m := b[n : n+8+len(data)]
	m[0], m[1] = typ, code
	binary.BigEndian.PutUint32(m[4:], arg)
	copy(m[8:], data)
	var start wire.Sum
	if h.V6 {
		start = wire.PseudoHeader(&h, len(m))
	}
	binary.BigEndian.PutUint16(m[2:], ^wire.Checksum(m, start).Fold())
	p.dev.in = append(p.dev.in, b[:n+len(m)])
	if !p.quiet {
		p.t.Logf("%8v  <- ICMP %d/%d %d", p.since(), typ, code, arg)
	}
	p.settle()
}

// quote is the head of a packet of ours with relative sequence number seq and n bytes, as an error quotes it.
func (p *peer) quote(seq int64, n int) []byte {
	s := wire.Segment{SrcPort: p.flow.LocalPort, DstPort: p.flow.RemotePort, Seq: p.irs.Add(int(seq)), Flags: wire.ACK}
	h := wire.IPHeader{
		Src: p.flow.Local, Dst: p.flow.Remote, Protocol: wire.ProtoTCP, HopLimit: 9, DontFragment: true,
		V6: !p.flow.Local.Is4(),
	}
	s.Payload = make([]byte, n)
	b := make([]byte, 100+n)
	wire.PutSegment(b, &h, &s)
	return b[:wire.HeaderLen(&h)+8]
}

// RFC 1191 and RFC 8201: the path's MTU is learnt, and what was in flight goes again in segments that fit.
func TestPathMTU(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		p := newPeer(t, Config{})
		ip, typ, code := 20, uint8(3), uint8(4)
		if v6 {
			p = newPeer6(t, Config{})
			ip, typ, code = 40, 2, 0
		}
		p.open(wire.Options{MSS: uint16(1500 - ip - 20), SACKPermitted: true})
		full := 1460 - ip + 20
		p.write(2 * full)
		p.wantData(1, full, 1)
		p.wantData(int64(1+full), full, 1)
		p.icmp(typ, code, 1300, p.quote(1, full))
		small := 1300 - ip - 20
		for at := 0; at < 2*full; at += small {
			p.wantData(int64(1+at), min(small, 2*full-at), 1)
		}
		if w := p.host.c.cc.Window(); w < 10*int64(small) {
			t.Errorf("window %d: no sign of congestion (RFC 8201 section 5.4)", w)
		}
		p.send(sg{flags: fA, seq: 1, ack: int64(1 + 2*full)})
		p.advance(time.Minute)
		p.wantNone()
		if p.s.stats.Timeouts != 0 || p.host.c.MSS() != small {
			t.Errorf("timeouts %d, MSS %d", p.s.stats.Timeouts, p.host.c.MSS())
		}
	}
}

// RFC 1191 section 5: an old router does not say how much; and the floor: 552 bytes, as Linux.
func TestPathMTUUnknown(t *testing.T) {
	p := opened(t)
	p.write(1460)
	p.wantData(1, 1460, 1)
	p.icmp(3, 4, 0, p.quote(1, 1460))
	p.wantData(1, 1085, 1) // 1500*3/4 - 40
	p.wantData(1086, 375, 1)
	p.icmp(3, 4, 68, p.quote(1, 1085))
	p.wantData(1, 512, 1)
	p.wantData(513, 512, 1)
	p.wantData(1025, 436, 1)
	p.send(sg{flags: fA, seq: 1, ack: 1461})
}

// RFC 5927 section 4.1: an error about what is not in flight is a forgery; an MTU that is no smaller, or below
// IPv6's minimum (RFC 8201 section 4), is not believed.
func TestForgedPathMTU(t *testing.T) {
	p := opened(t)
	p.icmp(3, 4, 1300, p.quote(1, 1460)) // nothing is in flight
	p.write(1460)
	p.wantData(1, 1460, 1)
	for _, seq := range []int64{0, 1461, -1, 1 << 30} {
		p.icmp(3, 4, 1300, p.quote(seq, 1460))
	}
	p.icmp(3, 4, 1500, p.quote(1, 1460))
	p.icmp(3, 4, 9000, p.quote(1, 1460))
	if p.host.c.MSS() != 1460 || p.s.stats.Drops[dropICMPForged] != 5 {
		t.Errorf("MSS %d, drops %v", p.host.c.MSS(), p.s.stats.DropCounts())
	}
	p.send(sg{flags: fA, seq: 1, ack: 1461})

	p = newPeer6(t, Config{})
	p.open(wire.Options{MSS: 1440})
	p.write(1440)
	p.wantData(1, 1440, 1)
	p.icmp(2, 0, 1279, p.quote(1, 1440))
	if p.host.c.MSS() != 1440 {
		t.Error("MSS", p.host.c.MSS())
	}
	p.send(sg{flags: fA, seq: 1, ack: 1441})
}

// RFC 5461, RFC 5927 section 5.2: hard errors end an open, and are soft afterwards.
func TestUnreachable(t *testing.T) {
	p := newPeer(t, Config{})
	p.dial()
	p.want(sg{flags: fS})
	p.icmp(3, 3, 0, p.quote(5, 0)) // not our SYN
	p.icmp(3, 1, 0, p.quote(0, 0)) // host unreachable: soft
	p.wantState(StateSynSent)
	p.icmp(3, 3, 0, p.quote(0, 0))
	p.wantClosed(ErrRefused)

	p = opened(t)
	p.write(10)
	p.wantData(1, 10, 1)
	p.icmp(3, 3, 0, p.quote(1, 10))
	p.wantState(StateEstablished)
	p.send(sg{flags: fA, seq: 1, ack: 11})
}

// RFC 1122 section 3.2.2.6, RFC 4443 section 4.2.
func TestEcho(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		p, req, reply := newPeer(t, Config{}), uint8(8), wire.ICMPEchoReply
		if v6 {
			p, req = newPeer6(t, Config{}), 128
		}
		data := peerBytes(0, 99)
		p.icmp(req, 0, 0x12345678, data)
		if len(p.dev.out) != 1 || p.dev.out[0].raw == nil {
			t.Fatal("no reply")
		}
		o := p.dev.out[0]
		p.skip()
		payload, _ := wire.ParseIP(o.raw, &o.ip)
		var m wire.ICMP
		if d := wire.ParseICMP(&o.ip, payload, &m); d != wire.DropNone || m.Kind != reply {
			t.Fatal(d, m.Kind)
		}
		if m.EchoID != 0x1234 || m.EchoSeq != 0x5678 || string(m.Data) != string(data) || o.ip.Src != p.flow.Local {
			t.Errorf("reply %+v from %v", m, o.ip.Src)
		}
	}
}
