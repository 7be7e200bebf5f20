package syn

import (
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

var (
	testKey = Key{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	start   = mono.Time(time.Hour)
)

// flow returns the n-th flow: our port 443, peers numbered.
func flow(n int) wire.Flow {
	return wire.Flow{
		Local:      wire.AddrFrom(netip.MustParseAddr("198.18.0.2")),
		Remote:     wire.AddrFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})),
		LocalPort:  443,
		RemotePort: uint16(1024 + n%60000),
	}
}

// TestSipHash uses the vectors of the reference implementation: key 00..0f, message 00..n-1.
func TestSipHash(t *testing.T) {
	var k Key
	var msg [64]byte
	for i := range msg {
		msg[i] = byte(i)
	}
	copy(k[:], msg[:])
	for n, want := range map[int]uint64{
		0:  0x726fdb47dd0e0e31,
		1:  0x74f839c593dc67fd,
		2:  0x0d6c8009d9a94f5a,
		3:  0x85676696d7fb7e2d,
		7:  0xab0200f58b01d137,
		8:  0x93f5f5799a932462,
		15: 0xa129ca6149be45e5, // the example of the paper, appendix A
	} {
		if got := sipHash(&k, msg[:n]); got != want {
			t.Errorf("%d bytes: %#x, want %#x", n, got, want)
		}
	}
}

// TestISNClock is RFC 6528 section 3: for one flow the number follows a clock of 4 us.
func TestISNClock(t *testing.T) {
	g, f := NewGenerator(testKey), flow(1)
	first := g.ISN(start, &f)
	if n := g.ISN(start.Add(time.Second), &f).Sub(first); n != 250_000 {
		t.Errorf("after 1 s: %d, want 250000", n)
	}
	if n := g.ISN(start.Add(3999*time.Nanosecond), &f).Sub(first); n != 0 {
		t.Errorf("within 4 us: %d, want 0", n)
	}
}

// TestISNFlows: any change of the flow or the key gives an unrelated number, about half of whose bits differ.
func TestISNFlows(t *testing.T) {
	g, f := NewGenerator(testKey), flow(1)
	first := g.ISN(start, &f)
	changed := map[string]func(*wire.Flow){
		"local address":  func(f *wire.Flow) { f.Local[15]++ },
		"remote address": func(f *wire.Flow) { f.Remote[0]++ },
		"local port":     func(f *wire.Flow) { f.LocalPort++ },
		"remote port":    func(f *wire.Flow) { f.RemotePort++ },
		"ports swapped":  func(f *wire.Flow) { f.LocalPort, f.RemotePort = f.RemotePort, f.LocalPort },
	}
	for name, change := range changed {
		f := f
		change(&f)
		if n := bits.OnesCount32(uint32(first ^ g.ISN(start, &f))); n < 4 {
			t.Errorf("%s: only %d bits differ", name, n)
		}
	}
	other := NewGenerator(NewKey())
	if other.ISN(start, &f) == first {
		t.Error("another key gives the same number")
	}
}

// TestTSOffset: one clock per pair of hosts, whatever the ports; another for other hosts (RFC 7323 section 5.4).
func TestTSOffset(t *testing.T) {
	g, f := NewGenerator(testKey), flow(1)
	off := g.TSOffset(&f)
	f.RemotePort++
	if g.TSOffset(&f) != off {
		t.Error("the offset depends on the port")
	}
	f.Remote[15]++
	if g.TSOffset(&f) == off {
		t.Error("the offset does not depend on the address")
	}
	if d := TSVal(start.Add(5*time.Second), off) - TSVal(start, off); d != 5000 {
		t.Errorf("%d ticks in 5 s", d)
	}
}

// randomFlow is any flow, IPv4 or IPv6.
func randomFlow(rng *rand.Rand) (f wire.Flow) {
	f = flow(rng.IntN(1 << 24))
	if rng.IntN(2) == 0 {
		for i := range f.Remote {
			f.Remote[i], f.Local[i] = byte(rng.Uint32()), byte(rng.Uint32())
		}
	}
	f.LocalPort, f.RemotePort = uint16(rng.Uint32()), uint16(rng.Uint32())
	return f
}

func BenchmarkISN(b *testing.B) {
	g, f := NewGenerator(testKey), flow(1)
	b.ReportAllocs()
	for b.Loop() {
		g.ISN(start, &f)
	}
}
