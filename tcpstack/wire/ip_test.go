package wire

import (
	"bytes"
	"testing"
)

// RFC 791 section 3.1.
func TestParseIPv4(t *testing.T) {
	b := unhex(t, `
		45          # version 4, 5 words
		b8          # TOS: DSCP EF
		0017        # total length 23
		580a        # identification
		4000        # don't fragment
		3f          # TTL 63
		11          # UDP
		9fa1        # checksum
		c0000201    # 192.0.2.1
		c6336407    # 198.51.100.7
		aabbcc      # payload
		000000      # padding of the link
	`)
	fixIPv4(b)
	var h IPHeader
	payload, d := ParseIP(b, &h)
	if d != DropNone {
		t.Fatalf("dropped: %v", d)
	}
	want := IPHeader{
		Src: addr("192.0.2.1"), Dst: addr("198.51.100.7"), Protocol: ProtoUDP, HopLimit: 63, TOS: 0xb8,
		ID: 0x580a, DontFragment: true, HeaderLen: 20,
	}
	if h != want {
		t.Errorf("got %+v, want %+v", h, want)
	}
	if !bytes.Equal(payload, []byte{0xaa, 0xbb, 0xcc}) || cap(payload) != 3 {
		t.Errorf("payload %x with capacity %d; padding must be out of reach", payload, cap(payload))
	}
	out := make([]byte, 23)
	if n := PutIP(out, &h, 3); n != 20 || !bytes.Equal(out[:20], b[:20]) {
		t.Errorf("PutIP wrote %x, want %x", out[:n], b[:20])
	}
}

// An IPv4 header of six words with the given option bytes.
func withOptions(t *testing.T, o string) []byte {
	b := unhex(t, "46000018 00000000 4006 0000 c0000201 c6336407"+o)
	fixIPv4(b)
	return b
}

// RFC 791 section 3.1 and RFC 1122 section 3.2.1: what is no packet for a host is dropped, fragments too.
func TestParseIPv4Drops(t *testing.T) {
	good := unhex(t, "45000018 00000000 4006 0000 c0000201 c6336407 01020304")
	fixIPv4(good)
	tests := []struct {
		name string
		b    []byte
		fix  bool // make the checksum right, so that only the named fault is left
		want Drop
	}{
		{"good", good, false, DropNone},
		{"empty", nil, false, DropIPShort},
		{"one byte", good[:1], false, DropIPShort},
		{"19 bytes", good[:19], false, DropIPShort},
		{"version 5", edit(good, 0, 0x55), true, DropIPVersion},
		{"IHL 4", edit(good, 0, 0x44), true, DropIPHeaderLen},
		{"IHL 15 beyond the packet", edit(good, 0, 0x4f), true, DropIPHeaderLen},
		{"total below the header", edit(good, 3, 19), true, DropIPTruncated},
		{"total beyond the frame", edit(good, 3, 25), true, DropIPTruncated},
		{"checksum", edit(good, 8, 63), false, DropIPChecksum},
		{"more fragments", edit(good, 6, 0x20), true, DropFragment},
		{"last fragment", edit(good, 6, 0x00, 0x01), true, DropFragment},
		{"fragment far out", edit(good, 6, 0x1f, 0xff), true, DropFragment},
		{"reserved flag only", edit(good, 6, 0x80), true, DropNone},
		{"source 0.0.0.0", edit(good, 12, 0, 0, 0, 0), true, DropIPSource},
		{"source multicast", edit(good, 12, 239), true, DropIPSource},
		{"source broadcast", edit(good, 12, 255, 255, 255, 255), true, DropIPSource},
		{"options: three NOPs, end", withOptions(t, "01010100"), false, DropNone},
		{"options: router alert", withOptions(t, "94040000"), false, DropNone},
		{"options: loose source route", withOptions(t, "83030400"), false, DropIPOptions},
		{"options: strict source route", withOptions(t, "01890304"), false, DropIPOptions},
		{"options: length 1", withOptions(t, "44010000"), false, DropIPOptions},
		{"options: length beyond", withOptions(t, "44050000"), false, DropIPOptions},
		{"options: no length", withOptions(t, "01010144"), false, DropIPOptions},
	}
	for _, tt := range tests {
		b := append([]byte(nil), tt.b...)
		if tt.fix {
			fixIPv4(b)
		}
		var h IPHeader
		if _, d := ParseIP(b, &h); d != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, d, tt.want)
		}
	}
}

// RFC 8200 section 3.
func TestParseIPv6(t *testing.T) {
	b := unhex(t, `
		6 b8 f3199  # version 6, traffic class, flow label
		0003        # payload length
		11          # UDP
		3f          # hop limit 63
		20010db8 00000000 00000000 00000001
		20010db8 00000000 00000000 00000009
		aabbcc      # payload
		0000        # padding of the link
	`)
	var h IPHeader
	payload, d := ParseIP(b, &h)
	if d != DropNone {
		t.Fatalf("dropped: %v", d)
	}
	want := IPHeader{
		Src: addr("2001:db8::1"), Dst: addr("2001:db8::9"), Protocol: ProtoUDP, HopLimit: 63, TOS: 0xb8,
		FlowLabel: 0xf3199, V6: true, HeaderLen: 40,
	}
	if h != want {
		t.Errorf("got %+v, want %+v", h, want)
	}
	if !bytes.Equal(payload, []byte{0xaa, 0xbb, 0xcc}) || cap(payload) != 3 {
		t.Errorf("payload %x with capacity %d", payload, cap(payload))
	}
	out := make([]byte, 43)
	if n := PutIP(out, &h, 3); n != 40 || !bytes.Equal(out[:40], b[:40]) {
		t.Errorf("PutIP wrote %x, want %x", out[:n], b[:40])
	}
}

func TestParseIPv6Drops(t *testing.T) {
	good := header6(ProtoTCP, []byte{1, 2, 3, 4})
	mapped := unhex(t, "00000000 00000000 0000ffff c0000201")
	tests := []struct {
		name string
		b    []byte
		want Drop
	}{
		{"good", good, DropNone},
		{"39 bytes", good[:39], DropIPShort},
		{"payload beyond the frame", good[:43], DropIPTruncated},
		{"source multicast", edit(good, 8, 0xff, 0x02), DropIPSource},
		{"source mapped", edit(good, 8, mapped...), DropIPMapped},
		{"destination mapped", edit(good, 24, mapped...), DropIPMapped},
	}
	for _, tt := range tests {
		var h IPHeader
		if _, d := ParseIP(tt.b, &h); d != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, d, tt.want)
		}
	}
}

// RFC 8200 sections 4.1, 4.2, 4.4 and 4.5: headers are skipped within bounds; an atomic fragment (RFC 6946 section 4) is
// a packet, any other is dropped.
func TestIPv6Extensions(t *testing.T) {
	chain := func(n int) (s string) { // n destination option headers in a row, then TCP
		for range n - 1 {
			s += "3c00 0104 00000000"
		}
		return s + "0600 0104 00000000"
	}
	tests := []struct {
		name  string
		first uint8
		hex   string
		skip  int // bytes of extension headers, if kept
		want  Drop
	}{
		{"hop-by-hop, PadN", 0, "0600 0104 00000000", 8, DropNone},
		{"hop-by-hop, router alert, Pad1s", 0, "0600 0502 0000 0000", 8, DropNone},
		{"hop-by-hop of 16 bytes", 0, "0601 010c 00000000 00000000 00000000", 16, DropNone},
		{"hop-by-hop, jumbo payload: action discard", 0, "0600 c204 00010000", 0, DropIPOptions},
		{"destination, unknown, action skip", 60, "0600 1e04 00000000", 8, DropNone},
		{"destination, unknown, action discard", 60, "0600 5e04 00000000", 0, DropIPOptions},
		{"option beyond the header", 60, "0600 0105 00000000", 0, DropIPOptions},
		{"option without length", 60, "0600 0103 00000001", 0, DropIPOptions},
		{"header beyond the packet", 60, "0602 0104 00000000", 0, DropIPExtensions},
		{"header cut short", 60, "0600 0100", 0, DropIPExtensions},
		{"hop-by-hop not first", 60, "0000 0104 00000000 0600 0104 00000000", 0, DropIPExtensions},
		{"routing, no segments left", 43, "0600 0000 00000000", 8, DropNone},
		{"routing type 0, one segment left", 43, "0602 0001 00000000 20010db8000000000000000000000001", 0, DropIPExtensions},
		{"atomic fragment", 44, "0600 0000 12345678", 8, DropNone},
		{"atomic fragment, length byte is reserved", 44, "06ff 0000 12345678", 8, DropNone},
		{"first fragment", 44, "0600 0001 12345678", 0, DropFragment},
		{"later fragment", 44, "0600 0008 12345678", 0, DropFragment},
		{"eight headers", 60, chain(8), 64, DropNone},
		{"nine headers", 60, chain(9), 0, DropIPExtensions},
	}
	for _, tt := range tests {
		ext := unhex(t, tt.hex)
		if tt.want == DropNone {
			ext = append(ext, 0xee, 0xff)
		}
		var h IPHeader
		payload, d := ParseIP(header6(tt.first, ext), &h)
		if d != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, d, tt.want)
			continue
		}
		if d == DropNone && (h.Protocol != ProtoTCP || h.HeaderLen != 40+tt.skip || !bytes.Equal(payload, []byte{0xee, 0xff})) {
			t.Errorf("%s: protocol %d, header %d bytes, payload %x", tt.name, h.Protocol, h.HeaderLen, payload)
		}
	}
}

func TestPutIPRefusesWhatDoesNotFit(t *testing.T) {
	for _, h := range []IPHeader{{}, {V6: true}} {
		b := make([]byte, 40)
		PutIP(b, &h, MaxPayload(&h)) // the largest that does
		for _, n := range []int{-1, MaxPayload(&h) + 1} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("v6=%v: a payload of %d bytes was accepted", h.V6, n)
					}
				}()
				PutIP(b, &h, n)
			}()
		}
	}
}

func TestDropNames(t *testing.T) {
	seen := map[string]Drop{}
	for d := range NumDrops {
		name := d.String()
		if other, ok := seen[name]; ok || name == "" || name == "unknown" {
			t.Errorf("drop %d: name %q (also %d)", d, name, other)
		}
		seen[name] = d
	}
	if NumDrops.String() != "unknown" {
		t.Error("a value beyond the last must still print")
	}
}
