package wire

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// The vectors of the RSS specification ("Verifying the RSS hash calculation"), and the well-known symmetric one.
func TestToeplitzVectors(t *testing.T) {
	tests := []struct {
		key      *RSSKey
		src, dst string
		want     uint32
	}{
		{&MicrosoftKey, "66.9.149.187:2794", "161.142.100.80:1766", 0x51ccc178},
		{&MicrosoftKey, "199.92.111.2:14230", "65.69.140.83:4739", 0xc626b0ea},
		{&MicrosoftKey, "24.19.198.95:12898", "12.22.207.184:38024", 0x5c2b394a},
		{&MicrosoftKey, "38.27.205.30:48228", "209.142.163.6:2217", 0xafc7327f},
		{&MicrosoftKey, "153.39.163.191:44251", "202.188.127.2:1303", 0x10e828a2},
		{&MicrosoftKey, "192.168.1.1:3007", "192.168.1.2:2003", 0x9e51fb2a},
		{&MicrosoftKey, "192.168.1.2:2003", "192.168.1.1:3007", 0x4c472df4},
		{&MicrosoftKey, "[3ffe:2501:200:1fff::7]:2794", "[3ffe:2501:200:3::1]:1766", 0x40207d3d},
		{&MicrosoftKey, "[3ffe:501:8::260:97ff:fe40:efab]:14230", "[ff02::1]:4739", 0xdde51bbf},
		{&MicrosoftKey, "[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251", "[fe80::200:f8ff:fe21:67cf]:38024", 0x02d1feef},
		{&SymmetricKey, "192.168.1.1:3007", "192.168.1.2:2003", 0xe501e501},
		{&SymmetricKey, "192.168.1.2:2003", "192.168.1.1:3007", 0xe501e501},
	}
	for _, tt := range tests {
		src, dst := netip.MustParseAddrPort(tt.src), netip.MustParseAddrPort(tt.dst)
		got := tt.key.Hash(AddrFrom(src.Addr()), AddrFrom(dst.Addr()), src.Port(), dst.Port())
		if got != tt.want {
			t.Errorf("%v -> %v: got %08x, want %08x", src, dst, got, tt.want)
		}
	}
}

// SymmetricHash must equal the generic hash, and both must not care about direction.
func TestSymmetricHashEqualsGeneric(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 20000 {
		src, dst := randomAddr(r, i%2 == 0), randomAddr(r, i%2 == 0)
		sport, dport := uint16(r.Uint32()), uint16(r.Uint32())
		want := SymmetricKey.Hash(src, dst, sport, dport)
		if got := SymmetricHash(src, dst, sport, dport); got != want {
			t.Fatalf("%v:%d %v:%d: got %08x, want %08x", src, sport, dst, dport, got, want)
		}
		if got := SymmetricHash(dst, src, dport, sport); got != want {
			t.Fatalf("reverse of %v:%d %v:%d: got %08x, want %08x", src, sport, dst, dport, got, want)
		}
	}
}

// randomAddr returns an address that may stand in a packet of its version.
func randomAddr(r *rand.Rand, v4 bool) Addr {
	if v4 {
		return addrFrom4([4]byte{uint8(1 + r.IntN(223)), uint8(r.Uint32()), uint8(r.Uint32()), uint8(r.Uint32())})
	}
	var a Addr
	for i := range a {
		a[i] = uint8(r.Uint32())
	}
	a[0] = 0x20
	return a
}

func BenchmarkHash(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, v4 := range []bool{true, false} {
		src, dst := randomAddr(r, v4), randomAddr(r, v4)
		name := map[bool]string{true: "v4", false: "v6"}[v4]
		b.Run("symmetric/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sink += int(SymmetricHash(src, dst, 443, 50000))
			}
		})
		b.Run("generic/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sink += int(MicrosoftKey.Hash(src, dst, 443, 50000))
			}
		})
	}
}

// sink keeps the compiler from discarding what a benchmark computes.
var sink int
