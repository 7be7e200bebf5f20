package wire

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// Messages as Linux sent and answered them over a TUN.
const (
	echoRequest4 = `
		4500 0023 0007 0000 40 01 f6c8 c0000209 c0000201
		08 00 5499  # echo request
		1234 0005   # identifier, sequence number
		61626364656667`
	echoReply4 = `
		4500 0023 f4ef 0000 40 01 01e0 c0000201 c0000209
		00 00 5c99 1234 0005 61626364656667`
	echoRequest6 = `
		60000000 000f 3a 40
		20010db8 00000000 00000000 00000009
		20010db8 00000000 00000000 00000001
		80 00 80d3 1234 0005 61626364656667`
	echoReply6 = `
		6002ff05 000f 3a 40
		20010db8 00000000 00000000 00000001
		20010db8 00000000 00000000 00000009
		81 00 7fd3 1234 0005 61626364656667`
	udp4 = `
		4500 0020 0007 0000 40 11 f6bb c0000209 c0000201
		0009 829a 000c 0000 64617461`
	unreachable4 = `
		45c0 003c f4f0 0000 40 01 0106 c0000201 c0000209
		03 03 a18a 00000000
		4500 0020 0007 0000 40 11 f6bb c0000209 c0000201 0009 829a 000c 0000 64617461`
	udp6 = `
		60000000 000c 11 40 20010db8000000000000000000000009 20010db8000000000000000000000001
		0009 829a 000c 48f4 64617461`
	unreachable6 = `
		6008d183 003c 3a 40 20010db8000000000000000000000001 20010db8000000000000000000000009
		01 04 31da 00000000
		60000000 000c 11 40 20010db8000000000000000000000009 20010db8000000000000000000000001
		0009 829a 000c 48f4 64617461`
	// A segment too large for the next link, up to the end of its TCP header, and the head of what Linux
	// answered as a router; its quote goes on with the segment, to 576 or 1280 bytes in all.
	bigSegment4 = `
		4500 0548 0007 4000 40 06 4965 c0000209 c6336407
		01bb a966 11223344 00000007 80 18 ffff 62f0 0000 0101 080a 00001389 f42d24f2`
	tooBig4 = `
		45c0 0240 a27d 0000 40 01 5175 c0000201 c0000209
		03 04 4202 0000 0500`
	bigSegment6 = `
		60000000 0534 06 40 20010db8000000000000000000000009 20010db8000100000000000000000007
		01bb a966 11223344 00000007 80 18 ffff 62f0 0000 0101 080a 00001389 f42d24f2`
	tooBig6 = `
		60041eec 04d8 3a 40 20010db8000000000000000000000001 20010db8000000000000000000000009
		02 00 91f6 00000500`
)

func parseICMP(t *testing.T, b []byte) (h IPHeader, m ICMP) {
	t.Helper()
	p, d := ParseIP(b, &h)
	if d != DropNone {
		t.Fatalf("ParseIP: %v", d)
	}
	if d = ParseICMP(&h, p, &m); d != DropNone {
		t.Fatalf("ParseICMP: %v", d)
	}
	return h, m
}

// What we answer to a ping is what Linux answers, but for the IP identification and flow label.
func TestEcho(t *testing.T) {
	for _, tt := range []struct{ name, request, reply string }{
		{"v4", echoRequest4, echoReply4}, {"v6", echoRequest6, echoReply6},
	} {
		h, m := parseICMP(t, unhex(t, tt.request))
		if m.Kind != ICMPEchoRequest || m.EchoID != 0x1234 || m.EchoSeq != 5 || string(m.Data) != "abcdefg" || m.Quoted {
			t.Errorf("%s: request read as %+v", tt.name, m)
		}
		want := unhex(t, tt.reply)
		out := make([]byte, len(want))
		n := PutEchoReply(out, &h, &m)
		hl := HeaderLen(&h)
		if n != len(want) || !bytes.Equal(out[hl:], want[hl:]) {
			t.Fatalf("%s: reply\n%x, want\n%x", tt.name, out[:n], want)
		}
		rh, rm := parseICMP(t, out)
		if rm.Kind != ICMPEchoReply || rh.Src != h.Dst || rh.Dst != h.Src || rh.HopLimit != 64 {
			t.Errorf("%s: reply read as %+v %+v", tt.name, rh, rm)
		}
		if PutEchoReply(out[:n-1], &h, &m) != 0 {
			t.Errorf("%s: wrote past a short buffer", tt.name)
		}
		if PutEchoReply(out, &h, &rm) != 0 {
			t.Errorf("%s: a reply was answered", tt.name)
		}
	}
}

func TestPortUnreachable(t *testing.T) {
	for _, tt := range []struct{ name, packet, want string }{
		{"v4", udp4, unreachable4}, {"v6", udp6, unreachable6},
	} {
		packet, want := unhex(t, tt.packet), unhex(t, tt.want)
		var h IPHeader
		if _, d := ParseIP(packet, &h); d != DropNone {
			t.Fatal(d)
		}
		out := make([]byte, 1500)
		hl := HeaderLen(&h)
		n := PutPortUnreachable(out, &h, packet)
		if n != len(want) || !bytes.Equal(out[hl:n], want[hl:]) {
			t.Errorf("%s: wrote\n%x, want\n%x", tt.name, out[:n], want)
		}
		_, m := parseICMP(t, want)
		if m.Kind != ICMPUnreachable || !m.Hard || m.Quoted {
			t.Errorf("%s: read as %+v", tt.name, m)
		}
		// Too little room to quote 8 bytes behind the header: nothing, rather than nothing of use.
		if n := PutPortUnreachable(out[:hl+8+hl+7], &h, packet); n != 0 {
			t.Errorf("%s: wrote %d bytes into too little room", tt.name, n)
		}
	}
}

// tooBig builds the whole answer of a Linux router, whose quote goes on with the segment's payload of 'y'.
func tooBig(t *testing.T, v6 bool) (packet, answer []byte) {
	segment, head, limit := bigSegment4, tooBig4, 576
	if v6 {
		segment, head, limit = bigSegment6, tooBig6, 1280
	}
	packet = append(unhex(t, segment), bytes.Repeat([]byte{'y'}, 1300)...)
	answer = unhex(t, head)
	return packet, append(answer, packet[:limit-len(answer)]...)
}

// RFC 1191 section 4, RFC 4443 section 3.2.
func TestPacketTooBig(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		packet, want := tooBig(t, v6)
		h, m := parseICMP(t, want)
		remote := addr("198.51.100.7")
		if v6 {
			remote = addr("2001:db8:1::7")
		}
		flow := Flow{Local: h.Dst, Remote: remote, LocalPort: 443, RemotePort: 0xa966}
		if m.Kind != ICMPTooBig || m.MTU != 1280 || !m.Quoted || m.Flow != flow || m.Seq != 0x11223344 || m.QuotedLen != len(packet) {
			t.Errorf("v6=%v: read as %+v", v6, m)
		}
		var ph IPHeader
		if _, d := ParseIP(packet, &ph); d != DropNone {
			t.Fatal(d)
		}
		out := make([]byte, 1500)
		n := PutPacketTooBig(out, h.Src, &ph, packet, 1280)
		hl := HeaderLen(&ph)
		if n != len(want) || !bytes.Equal(out[hl:n], want[hl:]) {
			t.Errorf("v6=%v: wrote %d bytes, want %d\n%x\n%x", v6, n, len(want), out[hl:60], want[hl:60])
		}
	}
}

// resum makes the checksum of an ICMP packet right again after a test has changed it.
func resum(b []byte) []byte {
	fixIPv4(b)
	n, sum := 20, uint16(0)
	if b[0]>>4 == 6 {
		n = 40
		pseudo := binary.BigEndian.AppendUint32(append([]byte(nil), b[8:40]...), uint32(len(b)-n))
		sum = model(append(pseudo, 0, 0, 0, 58), 0)
	}
	if len(b) >= n+4 {
		b[n+2], b[n+3] = 0, 0
		binary.BigEndian.PutUint16(b[n+2:], ^model(b[n:], uint32(sum)))
	}
	return b
}

// An error whose quote cannot be one of our segments, or cannot be told, must not name a flow (RFC 5927
// section 4.1 builds on that).
func TestQuoteRefused(t *testing.T) {
	_, big4 := tooBig(t, false)
	_, big6 := tooBig(t, true)
	const q4, q6 = 20 + 8, 40 + 8
	short := func(b []byte, n int) []byte { // the packet cut to n bytes
		b = append([]byte(nil), b[:n]...)
		if b[0]>>4 == 4 {
			binary.BigEndian.PutUint16(b[2:], uint16(n))
		} else {
			binary.BigEndian.PutUint16(b[4:], uint16(n-40))
		}
		return b
	}
	tests := []struct {
		name   string
		b      []byte
		quoted bool
	}{
		{"v4 as it was", big4, true},
		{"v4 header and 8 bytes", short(big4, q4+28), true},
		{"v4 header and 7 bytes", short(big4, q4+27), false},
		{"v4 nothing quoted", short(big4, q4), false},
		{"v4 UDP", edit(big4, q4+9, ProtoUDP), false},
		{"v4 version 6 quoted", edit(big4, q4, 0x65), false},
		{"v4 IHL 4", edit(big4, q4, 0x44), false},
		{"v4 IHL beyond the quote", short(edit(big4, q4, 0x4f), q4+28), false},
		{"v4 later fragment", edit(big4, q4+6, 0x00, 0x10), false},
		{"v4 source is not who got the error", edit(big4, q4+12, 10), false},
		{"v4 quoted TTL and checksum changed on the way", edit(big4, q4+8, 1, ProtoTCP, 0, 0), true},
		{"v6 as it was", big6, true},
		{"v6 header and 8 bytes", short(big6, q6+48), true},
		{"v6 header and 7 bytes", short(big6, q6+47), false},
		{"v6 extension header quoted", edit(big6, q6+6, 60), false},
		{"v6 version 4 quoted", edit(big6, q6, 0x45), false},
		{"v6 source is not who got the error", edit(big6, q6+8, 0x30), false},
	}
	for _, tt := range tests {
		_, m := parseICMP(t, resum(append([]byte(nil), tt.b...)))
		if m.Quoted != tt.quoted || m.Kind != ICMPTooBig || !m.Quoted && m.Flow != (Flow{}) {
			t.Errorf("%s: %+v", tt.name, m)
		}
	}
}

func TestParseICMPDrops(t *testing.T) {
	b4, b6 := unhex(t, echoRequest4), unhex(t, echoRequest6)
	tests := []struct {
		name     string
		b        []byte
		v6       bool
		protocol uint8
		want     Drop
	}{
		{"v4", b4[20:], false, ProtoICMP, DropNone},
		{"v6", b6[40:], true, ProtoICMPv6, DropNone},
		{"short", b4[20:27], false, ProtoICMP, DropICMPShort},
		{"v4 checksum", edit(b4[20:], 9, 'x'), false, ProtoICMP, DropICMPChecksum},
		{"v6 checksum", edit(b6[40:], 9, 'x'), true, ProtoICMPv6, DropICMPChecksum},
		{"ICMPv4 over IPv6", b4[20:], true, ProtoICMP, DropICMPProtocol},
		{"ICMPv6 over IPv4", b6[40:], false, ProtoICMPv6, DropICMPProtocol},
	}
	for _, tt := range tests {
		h := IPHeader{Src: addr("192.0.2.9"), Dst: addr("192.0.2.1"), Protocol: tt.protocol, V6: tt.v6}
		if tt.v6 {
			h.Src, h.Dst = addr("2001:db8::9"), addr("2001:db8::1")
		}
		var m ICMP
		if d := ParseICMP(&h, tt.b, &m); d != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, d, tt.want)
		}
	}
}

// RFC 792, RFC 4443 section 3.1: which error is about what.
func TestICMPKinds(t *testing.T) {
	tests := []struct {
		v6         bool
		type_, cod uint8
		want       ICMPKind
		hard       bool
	}{
		{false, 0, 0, ICMPEchoReply, false},
		{false, 3, 0, ICMPUnreachable, false}, // net: RFC 1122 section 4.2.3.9, soft
		{false, 3, 1, ICMPUnreachable, false}, // host: soft
		{false, 3, 2, ICMPUnreachable, true},  // protocol
		{false, 3, 3, ICMPUnreachable, true},  // port
		{false, 3, 4, ICMPTooBig, false},
		{false, 3, 5, ICMPUnreachable, false}, // source route failed: soft
		{false, 3, 13, ICMPUnreachable, true}, // administratively prohibited
		{false, 4, 0, ICMPOther, false},       // source quench: RFC 6633 section 3, MUST be ignored
		{false, 5, 0, ICMPOther, false},       // redirect
		{false, 8, 0, ICMPEchoRequest, false},
		{false, 11, 0, ICMPTimeExceeded, false},
		{false, 12, 0, ICMPParamProblem, false},
		{true, 1, 0, ICMPUnreachable, false}, // no route
		{true, 1, 1, ICMPUnreachable, true},  // prohibited
		{true, 1, 3, ICMPUnreachable, false}, // address
		{true, 1, 4, ICMPUnreachable, true},  // port
		{true, 2, 0, ICMPTooBig, false},
		{true, 3, 0, ICMPTimeExceeded, false},
		{true, 4, 1, ICMPParamProblem, false},
		{true, 128, 0, ICMPEchoRequest, false},
		{true, 129, 0, ICMPEchoReply, false},
		{true, 135, 0, ICMPOther, false}, // neighbour solicitation
	}
	for _, tt := range tests {
		_, big := tooBig(t, tt.v6)
		n := 20
		if tt.v6 {
			n = 40
		}
		_, m := parseICMP(t, resum(edit(big, n, tt.type_, tt.cod)))
		if m.Kind != tt.want || m.Hard != tt.hard {
			t.Errorf("v6=%v type %d code %d: %v hard=%v, want %v %v", tt.v6, tt.type_, tt.cod, m.Kind, m.Hard, tt.want, tt.hard)
		}
		isError := tt.want == ICMPUnreachable || tt.want >= ICMPTooBig
		if m.Quoted != isError {
			t.Errorf("v6=%v type %d code %d: Quoted %v", tt.v6, tt.type_, tt.cod, m.Quoted)
		}
	}
	if ICMPKind(200).String() != "unknown" || ICMPTooBig.String() != "too big" {
		t.Error("names of kinds")
	}
}

// RFC 1122 section 3.2.2 and RFC 4443 section 2.4 (e): no error about these, or storms follow.
func TestNoAnswer(t *testing.T) {
	packet := make([]byte, 100)
	out := make([]byte, 1500)
	tests := []struct {
		name     string
		src, dst string
		protocol uint8
		want     bool
	}{
		{"plain", "192.0.2.9", "192.0.2.1", ProtoUDP, true},
		{"plain v6", "2001:db8::9", "2001:db8::1", ProtoUDP, true},
		{"to a group", "192.0.2.9", "224.0.0.251", ProtoUDP, false},
		{"to everybody", "192.0.2.9", "255.255.255.255", ProtoUDP, false},
		{"to a v6 group", "2001:db8::9", "ff02::fb", ProtoUDP, false},
		{"from a group", "224.0.0.1", "192.0.2.1", ProtoUDP, false},
		{"from nobody", "::", "2001:db8::1", ProtoUDP, false},
		{"about ICMP", "192.0.2.9", "192.0.2.1", ProtoICMP, false},
		{"about ICMPv6", "2001:db8::9", "2001:db8::1", ProtoICMPv6, false},
	}
	for _, tt := range tests {
		h := IPHeader{Src: addr(tt.src), Dst: addr(tt.dst), Protocol: tt.protocol, HeaderLen: 20}
		if h.V6 = !h.Src.Is4(); h.V6 {
			h.HeaderLen = 40
		}
		if got := PutPortUnreachable(out, &h, packet) != 0; got != tt.want {
			t.Errorf("%s: unreachable sent: %v", tt.name, got)
		}
		if got := PutPacketTooBig(out, h.Dst, &h, packet, 1280) != 0; got != tt.want {
			t.Errorf("%s: too big sent: %v", tt.name, got)
		}
		m := ICMP{Kind: ICMPEchoRequest}
		if got := PutEchoReply(out, &h, &m) != 0; got != (tt.want || h.Protocol != ProtoUDP) {
			t.Errorf("%s: echo reply sent: %v", tt.name, got)
		}
	}
}
