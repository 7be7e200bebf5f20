package tun

import (
	"encoding/hex"
	"testing"

	"ocaserve/tcpstack/link"
)

// header returns a packet of n bytes whose TCP header, 32 bytes long, starts at start.
func header(version byte, start, n int, flags byte) []byte {
	b := make([]byte, n)
	b[0] = version << 4
	b[start+tcpDataOffset] = 8 << 4
	b[start+tcpFlags] = flags
	return b
}

func TestPutVnet(t *testing.T) {
	for _, tt := range []struct {
		name string
		f    link.Frame
		want string // hex; "": refused
	}{
		{"complete checksum: all zero", link.Frame{Data: header(4, 20, 52, 0)}, "00 00 0000 0000 0000 0000"},
		{"partial: flags 1, start 20, offset 16",
			link.Frame{Data: header(4, 20, 52, 0), Csum: link.CsumPartial, CsumStart: 20, CsumOffset: 16},
			"01 00 0000 0000 1400 1000"},
		{"IPv4 superframe: type 1, headers 52, 1448 per segment",
			link.Frame{Data: header(4, 20, 52, 0), Csum: link.CsumPartial, CsumStart: 20, CsumOffset: 16, GSO: 1448},
			"01 01 3400 a805 1400 1000"},
		{"IPv6 superframe: type 4, headers 72",
			link.Frame{Data: header(6, 40, 72, 0), Csum: link.CsumPartial, CsumStart: 40, CsumOffset: 16, GSO: 1428},
			"01 04 4800 9405 2800 1000"},
		{"CWR: ECN bit",
			link.Frame{Data: header(4, 20, 52, 0x80), Csum: link.CsumPartial, CsumStart: 20, CsumOffset: 16, GSO: 1448},
			"01 81 3400 a805 1400 1000"},
		{"superframe with a complete checksum", link.Frame{Data: header(4, 20, 52, 0), GSO: 1448}, ""},
		{"checksum field behind Data",
			link.Frame{Data: header(4, 20, 52, 0)[:37], Csum: link.CsumPartial, CsumStart: 20, CsumOffset: 16}, ""},
		{"TCP options behind Data",
			link.Frame{Data: header(4, 20, 52, 0)[:50], Csum: link.CsumPartial, CsumStart: 20, CsumOffset: 16, GSO: 1}, ""},
	} {
		var h [vnetLen]byte
		ok := putVnet(&h, &tt.f)
		if want := unhex(t, tt.want); ok != (want != nil) || ok && string(h[:]) != string(want) {
			t.Errorf("%s: %x, %v; want %s", tt.name, h, ok, tt.want)
		}
	}
}

func TestParseVnet(t *testing.T) {
	p := make([]byte, 100)
	for _, tt := range []struct {
		name, hex string
		ok        bool
		want      link.Frame
	}{
		{"nothing known", "00 00 0000 0000 0000 0000", true, link.Frame{}},
		{"verified", "02 00 0000 0000 0000 0000", true, link.Frame{Csum: link.CsumValid}},
		{"partial", "01 00 0000 0000 1400 1000", true,
			link.Frame{Csum: link.CsumPartial, CsumStart: 20, CsumOffset: 16}},
		{"superframe", "01 01 3400 a805 1400 1000", true,
			link.Frame{Csum: link.CsumPartial, CsumStart: 20, CsumOffset: 16, GSO: 1448}},
		{"superframe with CWR, verified", "02 84 3400 a805 1400 1000", true,
			link.Frame{Csum: link.CsumValid, GSO: 1448}},
		{"UDP superframe", "01 05 3400 a805 1400 1000", false, link.Frame{}},
		{"checksum field behind the packet", "01 00 0000 0000 6000 0300", false, link.Frame{}},
	} {
		var f link.Frame
		ok := parseVnet((*[vnetLen]byte)(unhex(t, tt.hex)), p, &f)
		if ok != tt.ok {
			t.Errorf("%s: usable %v, want %v", tt.name, ok, tt.ok)
			continue
		}
		if ok && (f.GSO != tt.want.GSO || f.Csum != tt.want.Csum ||
			f.CsumStart != tt.want.CsumStart || f.CsumOffset != tt.want.CsumOffset || len(f.Data) != len(p)) {
			t.Errorf("%s: %+v, want %+v", tt.name, f, tt.want)
		}
	}
	if parseVnet(new([vnetLen]byte), nil, new(link.Frame)) {
		t.Error("an empty packet is usable")
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	if s == "" {
		return nil
	}
	var digits []byte
	for _, c := range []byte(s) {
		if c != ' ' {
			digits = append(digits, c)
		}
	}
	b, err := hex.DecodeString(string(digits))
	if err != nil || len(b) != vnetLen {
		t.Fatalf("bad hex %q: %v", s, err)
	}
	return b
}
