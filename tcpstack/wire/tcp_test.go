package wire

import (
	"bytes"
	"testing"
)

// Packets that Linux sent over a TUN, with their checksums.
const (
	linuxSYN = `
		45 00 003c 580a 4000 40 06 5ea7 c0000201 c0000209
		badc 01bb   # ports 47836 -> 443
		e3d1129b    # sequence number
		00000000    # acknowledgment
		a0 02       # 10 words, SYN
		faf0 c1a2 0000
		02 04 05b4  # MSS 1460
		04 02       # SACK permitted
		08 0a ee9a65bf 00000000 # timestamps
		01          # NOP
		03 03 0a    # window scale 10`
	linuxACK = `
		4500 0034 580b 4000 4006 5eae c0000201 c0000209
		badc 01bb e3d1129c 000003e9 80 10 003f d3a1 0000
		0101 080a ee9a65c0 00001388 # NOP NOP timestamps`
	linuxSACK = `
		4500 0048 580d 4000 4006 5e98 c0000201 c0000209
		badc 01bb e3d1129c 000003e9 d0 10 003f 6926 0000
		0101 080a ee9a65c0 00001388
		0101 0512   # SACK, two blocks, most recent first
		00000579 000005dd
		0000044d 000004b1`
	linuxData = `
		4500 005a 580e 4000 4006 5e85 c0000201 c0000209
		badc 01bb e3d1129c 000003e9 d0 18 003f 8a6c 0000
		0101 080a ee9a65c0 00001388 0101 0512 00000579 000005dd 0000044d 000004b1
		474554202f20485454502f312e300d0a0d0a # GET / HTTP/1.0`
	linuxSYN6 = `
		600f3199 0028 06 40
		20010db8 00000000 00000000 00000001
		20010db8 00000000 00000000 00000009
		c966 01bb 1034f380 00000000 a0 02 fd20 26fb 0000
		0204 05a0 0402 080a 345bc547 00000000 01 03030a`
)

// What Linux sends must be understood to the last field, and what PutSegment writes for the same values must
// be the same bytes: same option order (RFC 7323 appendix A for timestamps), same checksums (RFC 9293 section 3.1).
func TestLinuxSegments(t *testing.T) {
	ts := Options{HasTS: true, TSVal: 0xee9a65c0, TSEcr: 5000}
	sack := ts
	sack.NSACK, sack.SACK = 2, [4]SACKBlock{{1401, 1501}, {1101, 1201}}
	tests := []struct {
		name, hex string
		want      Segment
	}{
		{"SYN", linuxSYN, Segment{SrcPort: 47836, DstPort: 443, Seq: 0xe3d1129b, Flags: SYN, Window: 64240,
			Options: Options{MSS: 1460, WScale: 10, HasWScale: true, SACKPermitted: true, HasTS: true, TSVal: 0xee9a65bf}}},
		{"ACK", linuxACK, Segment{SrcPort: 47836, DstPort: 443, Seq: 0xe3d1129c, Ack: 1001, Flags: ACK, Window: 63, Options: ts}},
		{"SACK", linuxSACK, Segment{SrcPort: 47836, DstPort: 443, Seq: 0xe3d1129c, Ack: 1001, Flags: ACK, Window: 63, Options: sack}},
		{"data", linuxData, Segment{SrcPort: 47836, DstPort: 443, Seq: 0xe3d1129c, Ack: 1001, Flags: ACK | PSH, Window: 63,
			Options: sack, Payload: []byte("GET / HTTP/1.0\r\n\r\n")}},
		{"SYN over IPv6", linuxSYN6, Segment{SrcPort: 0xc966, DstPort: 443, Seq: 0x1034f380, Flags: SYN, Window: 64800,
			Options: Options{MSS: 1440, WScale: 10, HasWScale: true, SACKPermitted: true, HasTS: true, TSVal: 0x345bc547}}},
	}
	for _, tt := range tests {
		packet := unhex(t, tt.hex)
		h, s := mustParse(t, packet)
		wantSegment(t, tt.name, &s, &tt.want)
		out := make([]byte, 200)
		if n := PutSegment(out, &h, &s); !bytes.Equal(out[:n], packet) {
			t.Errorf("%s: wrote\n%x, want\n%x", tt.name, out[:n], packet)
		}
		for i := range packet[h.HeaderLen:] { // RFC 9293 section 3.1: any flipped bit must be noticed
			bad := edit(packet, h.HeaderLen+i, packet[h.HeaderLen+i]^0x10)
			if d := ParseTCP(&h, bad[h.HeaderLen:], true, &s); d == DropNone {
				t.Errorf("%s: byte %d changed and not noticed", tt.name, i)
			}
		}
	}
}

func wantSegment(t *testing.T, name string, got, want *Segment) {
	t.Helper()
	g, w := *got, *want
	if !bytes.Equal(g.Payload, w.Payload) {
		t.Errorf("%s: payload %q, want %q", name, g.Payload, w.Payload)
	}
	g.Payload, w.Payload = nil, nil
	if g.SrcPort != w.SrcPort || g.DstPort != w.DstPort || g.Seq != w.Seq || g.Ack != w.Ack || g.Flags != w.Flags ||
		g.Window != w.Window || g.Urgent != w.Urgent || g.Options != w.Options {
		t.Errorf("%s: got\n%+v, want\n%+v", name, g, w)
	}
}

func TestParseTCPDrops(t *testing.T) {
	packet := unhex(t, linuxData)
	tests := []struct {
		name   string
		b      []byte
		src    string
		dst    string
		verify bool
		want   Drop
	}{
		{"good", packet[20:], "192.0.2.1", "192.0.2.9", true, DropNone},
		{"empty", nil, "192.0.2.1", "192.0.2.9", false, DropTCPShort},
		{"19 bytes", packet[20:39], "192.0.2.1", "192.0.2.9", false, DropTCPShort},
		{"data offset 4", edit(packet[20:], 12, 0x40), "192.0.2.1", "192.0.2.9", false, DropTCPHeaderLen},
		{"data offset beyond", packet[20:71], "192.0.2.1", "192.0.2.9", false, DropTCPHeaderLen},
		{"other source", packet[20:], "192.0.2.2", "192.0.2.9", true, DropTCPChecksum},
		{"other source, not verified", packet[20:], "192.0.2.2", "192.0.2.9", false, DropNone},
		{"to a group", packet[20:], "192.0.2.1", "224.0.0.1", false, DropTCPAddress},
		{"to everybody", packet[20:], "192.0.2.1", "255.255.255.255", false, DropTCPAddress},
		{"to an IPv6 group", packet[20:], "2001:db8::1", "ff02::1", false, DropTCPAddress},
		{"from nobody", packet[20:], "::", "2001:db8::1", false, DropTCPAddress},
	}
	for _, tt := range tests {
		h := IPHeader{Src: addr(tt.src), Dst: addr(tt.dst), Protocol: ProtoTCP}
		h.V6 = !h.Src.Is4()
		var s Segment
		if d := ParseTCP(&h, tt.b, tt.verify, &s); d != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, d, tt.want)
		}
	}
}

func TestParseOptions(t *testing.T) {
	ts := Options{HasTS: true, TSVal: 1, TSEcr: 2}
	tests := []struct {
		name string
		syn  bool
		hex  string
		want Options
	}{
		{"none", true, "", Options{}},
		{"timestamps in the usual layout", false, "0101 080a 00000001 00000002", ts},
		{"timestamps first, end of list", false, "080a 00000001 00000002 00 00", ts},
		{"timestamps between NOPs", false, "01 080a 00000001 00000002 01", ts},
		{"nothing counts after the end of list", true, "00 02 04 05 b4 000000", Options{}},
		{"MSS", true, "0204 05b4", Options{MSS: 1460}},
		// RFC 9293 section 3.7.1, RFC 7323 section 2.2, RFC 2018 section 2: on SYN only.
		{"MSS, scale, permitted without SYN", false, "0204 05b4 0303 07 0402 01 0101", Options{}},
		{"SACK on a SYN", true, "0101 050a 00000001 00000002", Options{}},
		{"scale 14", true, "0303 0e 01", Options{WScale: 14, HasWScale: true}},
		// RFC 7323 section 2.3: "MUST log the error but use the value of 14 instead".
		{"scale 15", true, "0303 0f 01", Options{WScale: 14, HasWScale: true}},
		{"scale 255", true, "0303 ff 01", Options{WScale: 14, HasWScale: true}},
		{"scale 0", true, "0303 00 01", Options{HasWScale: true}},
		{"unknown kinds are skipped", true, "fd06 01020304 2302 0204 05b4 0101", Options{MSS: 1460}},
		// RFC 7413 section 2: on SYN only; section 4.1.1: 4 to 16 bytes, an even number.
		{"fast open request", true, "2202 0204 05b4 0101", Options{MSS: 1460, FastOpen: NewFastOpen(nil)}},
		{"fast open cookie", true, "2206 01020304 0101", Options{FastOpen: NewFastOpen([]byte{1, 2, 3, 4})}},
		{"fast open without SYN", false, "2206 01020304 0101", Options{}},
		{"fast open of 2 bytes", true, "2204 0102", Options{}},
		{"fast open of 5 bytes", true, "2207 0102030405 01", Options{}},
		{"fast open of 18 bytes", true, "2214 0102030405060708090a0b0c0d0e0f101112", Options{}},
		{"connection cookie", false, "0101 fe0e 4f435432 0102030405060708", Options{HasGuard: true, Guard: 0x0102030405060708}},
		{"another experiment", false, "0101 fe0e 4f435433 0102030405060708", Options{}},
		{"connection cookie of 4 bytes", false, "0101 fe0a 4f435432 01020304", Options{}},
		{"of two the last counts", true, "0204 05b4 0204 0200", Options{MSS: 512}},
		{"four blocks", false, "0101 0522" + "00000001 00000002 00000003 00000004 00000005 00000006 00000007 00000008",
			Options{NSACK: 4, SACK: [4]SACKBlock{{1, 2}, {3, 4}, {5, 6}, {7, 8}}}},
		// A known kind with a wrong length is skipped, and what follows still counts.
		{"MSS of 3 bytes", true, "0203 05 0303 07 0101", Options{WScale: 7, HasWScale: true}},
		{"scale of 4 bytes", true, "0304 0707 0204 05b4", Options{MSS: 1460}},
		{"permitted of 3 bytes", true, "0403 00 01", Options{}},
		{"timestamps of 9 bytes", false, "0809 00000001 000000 01 0101", Options{}},
		{"SACK of 9 bytes", false, "0509 00000001 000000 01 0101", Options{}},
		{"SACK without blocks", false, "0502 0101", Options{}},
		// A length that cannot be ends the walk; what came before stays.
		{"length 0", true, "0204 05b4 0300 07 01", Options{MSS: 1460}},
		{"length 1", true, "0204 05b4 0301 07 01", Options{MSS: 1460}},
		{"length beyond the header", true, "0204 05b4 0305 07 01", Options{MSS: 1460}},
		{"kind without length", true, "0204 05b4 010101 03", Options{MSS: 1460}},
	}
	for _, tt := range tests {
		var got Options
		parseOptions(unhex(t, tt.hex), tt.syn, &got)
		if got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// Every combination of options must come out with the length HeaderLen promises, within 60 bytes, and be
// read back as it went in, but for SACK blocks beyond the room.
func TestPutOptionsCombinations(t *testing.T) {
	for bits := range 16 {
		for blocks := range 6 {
			o := Options{HasTS: bits&1 != 0, SACKPermitted: bits&2 != 0, HasWScale: bits&4 != 0, NSACK: uint8(blocks)}
			if bits&8 != 0 {
				o.MSS = 1400
			}
			for i := range o.SACK {
				o.SACK[i] = SACKBlock{Seq(i * 10), Seq(i*10 + 5)}
			}
			checkOptions(t, o)
		}
	}
}

func checkOptions(t *testing.T, o Options) {
	t.Helper()
	b := bytes.Repeat([]byte{0xee}, 64)
	n := putOptions(b, &o)
	s := Segment{Options: o}
	if n != optionsLen(&o) || s.HeaderLen() != 20+n || n%4 != 0 || n > 40 || b[n] != 0xee {
		t.Fatalf("%+v: %d bytes written, HeaderLen %d", o, n, s.HeaderLen())
	}
	var syn, other Options
	parseOptions(b[:n], true, &syn)
	parseOptions(b[:n], false, &other)
	want := o
	want.NSACK, want.SACK = 0, [4]SACKBlock{}
	if o.HasTS {
		want.TSVal, want.TSEcr = o.TSVal, o.TSEcr
	}
	if syn != want {
		t.Errorf("%+v: read on SYN as %+v", o, syn)
	}
	fit := min(int(o.NSACK), 4)
	if o.HasTS || o.MSS != 0 && o.HasWScale || o.SACKPermitted && (o.MSS != 0 || o.HasWScale) {
		fit = min(fit, int(other.NSACK)) // not all blocks fit: at least two must (RFC 2018 section 3)
		if int(other.NSACK) < min(int(o.NSACK), 2) {
			t.Errorf("%+v: only %d blocks", o, other.NSACK)
		}
	}
	if int(other.NSACK) != fit || [4]SACKBlock(o.SACK) != other.SACK && fit == 4 {
		t.Errorf("%+v: read as %+v", o, other)
	}
	for i := range fit {
		if other.SACK[i] != o.SACK[i] {
			t.Errorf("%+v: block %d read as %+v", o, i, other.SACK[i])
		}
	}
}

func TestSegmentLen(t *testing.T) {
	for _, tt := range []struct {
		f    Flags
		n    int
		want int
	}{{ACK, 0, 0}, {ACK, 5, 5}, {SYN, 0, 1}, {FIN | ACK, 5, 6}, {SYN | FIN, 1, 3}} {
		s := Segment{Flags: tt.f, Payload: make([]byte, tt.n)}
		if s.Len() != tt.want {
			t.Errorf("%b with %d bytes: Len %d, want %d", tt.f, tt.n, s.Len(), tt.want)
		}
	}
}
