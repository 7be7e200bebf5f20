package tun

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

func removeLink(t *testing.T, name string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkDel(l)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// astray returns a superframe of size bytes to an address the kernel does not forward to: it takes the
// frame, looks for a route, and drops it.
func astray(size int) link.Frame {
	ip := wire.IPHeader{Src: wire.AddrFrom(DefaultAddr.Addr()), Dst: wire.AddrFrom(netip.MustParseAddr("198.18.0.77")),
		Protocol: wire.ProtoTCP, HopLimit: 64}
	seg := wire.Segment{SrcPort: 443, DstPort: 50000, Flags: wire.ACK}
	b := make([]byte, 40)
	wire.PutIP(b, &ip, 20+size)
	wire.PutTCP(b[20:], &ip, &seg, size)
	f := link.Frame{Data: b, Csum: link.CsumPartial, CsumStart: 20, CsumOffset: 16}
	if size > 1460 {
		f.GSO = 1460
	}
	page := make([]byte, size)
	for at := 0; at < size; at += 16 << 10 {
		f.Pieces = append(f.Pieces, page[at:min(size, at+16<<10)])
	}
	return f
}

func TestNoAllocations(t *testing.T) {
	i := open(t, Config{Addr: DefaultAddr})
	d := i.Queues()[0]
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(DefaultAddr.Addr(), 7)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	frames := []link.Frame{astray(64000), astray(1000)}
	in := make([]link.Frame, 8)
	payload := []byte("ping")
	received := 0
	if n := testing.AllocsPerRun(200, func() {
		if n, err := d.Transmit(frames); n != 2 || err != nil {
			t.Fatalf("Transmit: %d, %v", n, err)
		}
		c.Write(payload)
		d.Wait(mono.Now().Add(patience))
		n, err := d.Receive(in)
		if err != nil {
			t.Fatal(err)
		}
		received += n
		d.Wake()
		d.Wait(mono.Never)
	}); n != 0 {
		t.Errorf("%v allocations per round", n)
	}
	if received < 200 {
		t.Errorf("received %d packets, want one per round", received)
	}
}

func BenchmarkTransmit(b *testing.B) {
	for _, bb := range []struct {
		name string
		size int
	}{{"superframe", 64000}, {"packet", 1460}} {
		b.Run(bb.name, func(b *testing.B) {
			i := open(b, Config{Addr: DefaultAddr})
			d := i.Queues()[0]
			f := []link.Frame{astray(bb.size)}
			b.SetBytes(int64(bb.size))
			b.ReportAllocs()
			for b.Loop() {
				if n, err := d.Transmit(f); n != 1 || err != nil {
					b.Fatalf("Transmit: %d, %v", n, err)
				}
			}
		})
	}
}

// BenchmarkTransmitCold sends bytes that no cache holds, as an origin does: what the one copy of a TUN costs.
func BenchmarkTransmitCold(b *testing.B) {
	i := open(b, Config{Addr: DefaultAddr})
	d := i.Queues()[0]
	const size = 64000
	f := []link.Frame{astray(size)}
	memory := make([]byte, 256<<20)
	for at := 0; at < len(memory); at += 4096 {
		memory[at] = 1
	}
	at := 0
	b.SetBytes(size)
	for b.Loop() {
		f[0].Pieces = append(f[0].Pieces[:0], memory[at:at+size])
		if at += size; at+size > len(memory) {
			at = 0
		}
		if n, err := d.Transmit(f); n != 1 || err != nil {
			b.Fatalf("Transmit: %d, %v", n, err)
		}
	}
}

// BenchmarkReceive includes what the kernel needs to send a datagram.
func BenchmarkReceive(b *testing.B) {
	i := open(b, Config{Addr: DefaultAddr})
	d := i.Queues()[0]
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(DefaultAddr.Addr(), 7)))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	payload := make([]byte, 1400)
	in := make([]link.Frame, 64)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		c.Write(payload)
		if _, err := d.Receive(in); err != nil {
			b.Fatal(err)
		}
	}
}
