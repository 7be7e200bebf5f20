package wire

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

// unhex decodes hex with white space and comments that run from # to the end of a line.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	var clean strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		clean.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(clean.String())
	if err != nil {
		t.Fatalf("bad hex in the test: %v", err)
	}
	return b
}

func addr(s string) Addr { return AddrFrom(netip.MustParseAddr(s)) }

// fixIPv4 makes the header checksum of an IPv4 packet right again after a test has changed it.
func fixIPv4(b []byte) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return
	}
	n := min(max(int(b[0]&15)*4, 20), len(b))
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], ^model(b[:n], 0))
}

// model is the Internet checksum as RFC 1071 section 4.1 spells it out, not complemented.
func model(b []byte, sum uint32) uint16 {
	for i, v := range b {
		if i%2 == 0 {
			sum += uint32(v) << 8
		} else {
			sum += uint32(v)
		}
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// mustParse parses a TCP packet, checksum included.
func mustParse(t testing.TB, packet []byte) (h IPHeader, s Segment) {
	t.Helper()
	b, d := ParseIP(packet, &h)
	if d != DropNone {
		t.Fatalf("ParseIP: dropped: %v", d)
	}
	if d := ParseTCP(&h, b, true, &s); d != DropNone {
		t.Fatalf("ParseTCP: dropped: %v", d)
	}
	return h, s
}

// edit returns a copy of b with the bytes at off replaced.
func edit(b []byte, off int, v ...byte) []byte {
	c := append([]byte(nil), b...)
	copy(c[off:], v)
	return c
}

// header6 is an IPv6 packet from 2001:db8::9 to 2001:db8::1 whose first next-header value is next.
func header6(next uint8, rest []byte) []byte {
	h := IPHeader{Src: addr("2001:db8::9"), Dst: addr("2001:db8::1"), Protocol: next, HopLimit: 64, V6: true}
	b := make([]byte, 40+len(rest))
	PutIP(b, &h, len(rest))
	copy(b[40:], rest)
	return b
}
