package wire

import (
	"net/netip"
	"testing"
)

// RFC 9293 section 3.4: comparisons hold around the wrap.
func TestSeq(t *testing.T) {
	tests := []struct {
		a, b Seq
		less bool
	}{
		{0, 1, true}, {1, 0, false}, {5, 5, false},
		{0xffffffff, 0, true}, {0, 0xffffffff, false},
		{0xfffffff0, 0x10, true}, {0x7ffffffe, 0xfffffffd, true},
	}
	for _, tt := range tests {
		if tt.a.Less(tt.b) != tt.less || tt.a.LessEq(tt.b) != (tt.less || tt.a == tt.b) {
			t.Errorf("%x < %x: %v", tt.a, tt.b, !tt.less)
		}
		if got := tt.a.Add(tt.b.Sub(tt.a)); got != tt.b {
			t.Errorf("%x + (%x - %x) = %x", tt.a, tt.b, tt.a, got)
		}
	}
	if Seq(2).Sub(0xfffffffe) != 4 || Seq(0xfffffffe).Sub(2) != -4 || Seq(2).Add(-4) != 0xfffffffe {
		t.Error("Sub and Add across the wrap")
	}
	for _, tt := range []struct {
		s    Seq
		want bool
	}{{0xfffffffd, false}, {0xfffffffe, true}, {0, true}, {7, true}, {8, false}} {
		if tt.s.InWindow(0xfffffffe, 10) != tt.want {
			t.Errorf("%x in [fffffffe, 8): %v", tt.s, !tt.want)
		}
	}
	if Seq(5).InWindow(5, 0) {
		t.Error("an empty window holds nothing")
	}
}

func TestAddr(t *testing.T) {
	tests := []struct {
		s                  string
		is4, multi, nobody bool
	}{
		{"192.0.2.1", true, false, false},
		{"0.0.0.0", true, false, true},
		{"223.255.255.255", true, false, false},
		{"224.0.0.0", true, true, false},
		{"239.255.255.255", true, true, false},
		{"240.0.0.1", true, false, false},
		{"255.255.255.255", true, true, false},
		{"::", false, false, true},
		{"::1", false, false, false},
		{"2001:db8::1", false, false, false},
		{"ff02::1", false, true, false},
		{"::fffe:c000:201", false, false, false},
		{"1::ffff:c000:201", false, false, false},
	}
	for _, tt := range tests {
		a := addr(tt.s)
		if a.Is4() != tt.is4 || a.IsMulticast() != tt.multi || a.IsUnspecified() != tt.nobody {
			t.Errorf("%s: Is4 %v, IsMulticast %v, IsUnspecified %v", tt.s, a.Is4(), a.IsMulticast(), a.IsUnspecified())
		}
		if a.String() != tt.s || a.Netip() != netip.MustParseAddr(tt.s) {
			t.Errorf("%s comes back as %s", tt.s, a)
		}
	}
	f := Flow{addr("192.0.2.1"), addr("2001:db8::1"), 443, 5000}
	if f.LocalAddrPort().String() != "192.0.2.1:443" || f.RemoteAddrPort().String() != "[2001:db8::1]:5000" {
		t.Errorf("%v %v", f.LocalAddrPort(), f.RemoteAddrPort())
	}
}
