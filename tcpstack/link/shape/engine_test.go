package shape

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"testing"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

const start = mono.Time(48 * time.Hour)

// arrival is a packet at the end of its path.
type arrival struct {
	to             Side
	due            mono.Time
	header, packet []byte
}

// A bench drives an engine and keeps what comes out.
type bench struct {
	*Engine
	got []arrival
}

func newBench(t *testing.T, medium link.Medium, ab, ba string) *bench {
	t.Helper()
	cfg := Config{Seed: 7, Medium: medium}
	var err error
	if cfg.AB, err = ParsePath(Path{}, ab); err != nil {
		t.Fatal(err)
	}
	if cfg.BA, err = ParsePath(Path{}, ba); err != nil {
		t.Fatal(err)
	}
	b := &bench{}
	b.Engine = NewEngine(cfg, func(to Side, due mono.Time, header, packet []byte) {
		b.got = append(b.got, arrival{to, due, bytes.Clone(header), bytes.Clone(packet)})
	})
	b.Advance(start)
	return b
}

// superframe is a TCP frame of so many payload bytes in segments of 1460, its checksum partial, as a kernel
// hands it to a TUN.
func superframe(header []byte, payload int) link.Frame {
	ip := wire.IPHeader{Src: wire.AddrFrom(netip.MustParseAddr("10.0.0.1")), Dst: wire.AddrFrom(netip.MustParseAddr("10.0.0.2")),
		Protocol: wire.ProtoTCP, HopLimit: 64}
	seg := wire.Segment{SrcPort: 80, DstPort: 5000, Seq: 1000, Flags: wire.ACK | wire.PSH}
	b := make([]byte, 40+payload)
	wire.PutIP(b, &ip, 20+payload)
	wire.PutTCP(b[20:], &ip, &seg, payload)
	n := len(header)
	f := link.Frame{Data: slices.Concat(header, b), Csum: link.CsumPartial, CsumStart: uint16(n + 20), CsumOffset: 16}
	if payload > 1460 {
		f.GSO = 1460
	}
	return f
}

// TestSuperframesAreCutFirst holds the rate to wire packets: the k-th of a superframe's 1500-byte packets
// leaves k*12 us after the frame came, at 1 Gb/s, plus the delay, exactly.
func TestSuperframesAreCutFirst(t *testing.T) {
	for _, medium := range []link.Medium{link.MediumIP, link.MediumEthernet} {
		t.Run(fmt.Sprint(medium), func(t *testing.T) {
			var header []byte
			if medium == link.MediumEthernet {
				header = []byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00")
			}
			b := newBench(t, medium, "rate=1Gbps,delay=5ms,queue=1MiB", "delay=1ms")
			f := superframe(header, 44*1460)
			b.Put(start, A, &f)
			if b.Advance(start + mono.Time(5*time.Millisecond)); len(b.got) > 0 {
				t.Fatalf("%d packets came before they were due", len(b.got))
			}
			b.Advance(start + mono.Time(time.Second))
			if len(b.got) != 44 {
				t.Fatalf("%d packets, want 44", len(b.got))
			}
			for k, a := range b.got {
				size := 1500 + len(header)
				want := start.Add(5*time.Millisecond + time.Duration((k+1)*size*8))
				if a.due != want || a.to != B || len(a.packet) != 1500 || !bytes.Equal(a.header, header) {
					t.Errorf("packet %d of %d+%d bytes for side %d, due %v late", k, len(a.header), len(a.packet), a.to, a.due.Sub(want))
				}
				var ip wire.IPHeader
				var seg wire.Segment
				body, drop := wire.ParseIP(a.packet, &ip)
				if drop != 0 || wire.ParseTCP(&ip, body, true, &seg) != 0 || seg.Seq != wire.Seq(1000+k*1460) {
					t.Errorf("packet %d: %v, sequence %d", k, drop, seg.Seq)
				}
			}
			if c := b.Counters(A); c.Frames != 1 || c.Packets != 44 || c.Delivered != 44 || c.Held != 0 {
				t.Errorf("counters %+v", c)
			}
		})
	}
}

// TestEthernetPassesAnything sends an ARP request, which has no IP header, through a TAP's path.
func TestEthernetPassesAnything(t *testing.T) {
	b := newBench(t, link.MediumEthernet, "delay=1ms,loss=0%", "")
	frame := append([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x02\x08\x06"), "\x00\x01\x08\x00 who has"...)
	b.Put(start, A, &link.Frame{Data: bytes.Clone(frame)})
	b.Put(start, A, &link.Frame{Data: frame[:10]})                // cut short
	b.Put(start, A, &link.Frame{Data: frame, GSO: 4})             // a superframe of what is not IP
	b.Put(start.Add(time.Minute), A, &link.Frame{Data: frame[:]}) // long after
	b.Advance(start.Add(2 * time.Minute))
	if len(b.got) != 2 || !bytes.Equal(slices.Concat(b.got[0].header, b.got[0].packet), frame) ||
		b.got[0].due != start.Add(time.Millisecond) {
		t.Errorf("got %v", b.got)
	}
	if c := b.Counters(A); c.Bad != 2 || c.Frames != 4 {
		t.Errorf("counters %+v, want 2 bad of 4 frames", c)
	}
}

// send puts n numbered packets onto the link, one every gap.
func (b *bench) send(from Side, n int, gap time.Duration) {
	for i := range n {
		f := superframe(nil, 100)
		binary.BigEndian.PutUint32(f.Data[40:], uint32(i))
		b.Put(start.Add(time.Duration(i)*gap), from, &f)
	}
	b.Advance(start.Add(time.Hour))
}

// fate is a digest of which packets arrived on a side, when and in which order.
func (b *bench) fate(to Side) uint64 {
	h := fnv.New64a()
	for _, a := range b.got {
		if a.to == to {
			fmt.Fprintln(h, a.due, binary.BigEndian.Uint32(a.packet[40:]))
		}
	}
	return h.Sum64()
}

// TestSameSeedSameFate runs one seed twice, alone and with traffic the other way: the n-th packet of a
// direction meets the same fate.
func TestSameSeedSameFate(t *testing.T) {
	const hard = "rate=10Mbps,delay=20ms,jitter=2ms,loss=3%/4,reorder=2%,dup=1%,queue=50p"
	one, two, other := newBench(t, link.MediumIP, hard, hard), newBench(t, link.MediumIP, hard, hard), newBench(t, link.MediumIP, hard, hard)
	one.send(A, 5000, 100*time.Microsecond)
	two.send(A, 5000, 100*time.Microsecond)
	for i := range 5000 { // both ways at once
		f, g := superframe(nil, 100), superframe(nil, 100)
		binary.BigEndian.PutUint32(f.Data[40:], uint32(i))
		at := start.Add(time.Duration(i) * 100 * time.Microsecond)
		other.Put(at, A, &f)
		other.Put(at, B, &g)
	}
	other.Advance(start.Add(time.Hour))
	if one.fate(B) != two.fate(B) || one.fate(B) != other.fate(B) {
		t.Errorf("fates %x, %x, with traffic the other way %x", one.fate(B), two.fate(B), other.fate(B))
	}
	c := one.Counters(A)
	if c.Packets+c.Duplicated != c.Delivered+c.Policed+c.QueueDrops+c.Lost+c.Held || c.Packets != 5000 {
		t.Errorf("the books do not balance: %+v", c)
	}
	if c.Lost == 0 || c.Reordered == 0 || c.Duplicated == 0 || c.QueueDrops == 0 || c.MaxQueue == 0 {
		t.Errorf("a misfortune did not happen: %+v", c)
	}
	if other.fate(A) == other.fate(B) {
		t.Error("both directions share their random numbers")
	}
}

// TestDropByNumber loses a tail exactly: packets without payload do not count.
func TestDropByNumber(t *testing.T) {
	for _, medium := range []link.Medium{link.MediumIP, link.MediumEthernet} {
		b := newBench(t, medium, "drop=3-4", "")
		var header []byte
		if medium == link.MediumEthernet {
			header = make([]byte, 14)
			header[12] = 8 // IPv4
		}
		ack, data := superframe(header, 0), superframe(header, 5*1460)
		b.Put(start, A, &ack)
		b.Put(start, A, &data)
		b.Put(start, A, &ack)
		b.Advance(start.Add(time.Second))
		var got []int
		for _, a := range b.got {
			got = append(got, int(binary.BigEndian.Uint32(a.packet[24:])))
		}
		if want := []int{1000, 1000, 1000 + 1460, 1000 + 4*1460, 1000}; !slices.Equal(got, want) {
			t.Errorf("medium %d: sequence numbers %v arrived, want %v", medium, got, want)
		}
	}
}

// TestDirectionsDiffer shapes each direction on its own.
func TestDirectionsDiffer(t *testing.T) {
	b := newBench(t, link.MediumIP, "delay=7ms", "police=1Mbps,police-burst=1000")
	f := superframe(nil, 860) // 900 bytes
	b.Put(start, A, &f)
	b.Put(start, B, &f)
	b.Put(start, B, &f) // exceeds the policer
	b.Advance(start.Add(time.Second))
	if len(b.got) != 2 || b.got[0].to != A || b.got[0].due != start || b.got[1].to != B || b.got[1].due != start.Add(7*time.Millisecond) {
		t.Errorf("got %v", b.got)
	}
	if c := b.Counters(B); c.Policed != 1 || c.Packets != 2 || c.Delivered != 1 {
		t.Errorf("counters %+v", c)
	}
}

// TestNext says when the loop must be back: for a packet's end, not for the queue's.
func TestNext(t *testing.T) {
	q := newBench(t, link.MediumIP, "rate=1Mbps,delay=7ms", "rate=1Mbps,delay=3ms")
	g := superframe(nil, 85) // 125 bytes: 1 ms
	q.Put(start, A, &g)
	if q.Next() != start.Add(4*time.Millisecond) { // nothing can have passed both a queue and a wire before
		t.Errorf("next is %v after a packet came into a queue, want 4ms", q.Next().Sub(start))
	}
	q.Advance(start.Add(4 * time.Millisecond))
	if q.Next() != start.Add(8*time.Millisecond) {
		t.Errorf("next is %v after a packet came into a queue, want 8ms", q.Next().Sub(start))
	}
	b := newBench(t, link.MediumIP, "delay=7ms", "")
	if b.Next() != mono.Never {
		t.Errorf("an empty link wants to be advanced at %v", b.Next())
	}
	f := superframe(nil, 100)
	b.Put(start, A, &f)
	if b.Next() != start.Add(7*time.Millisecond) {
		t.Errorf("next is %v after the packet came, want 7ms", b.Next().Sub(start))
	}
}

// TestNoAllocations pins the path of a superframe.
func TestNoAllocations(t *testing.T) {
	for _, medium := range []link.Medium{link.MediumIP, link.MediumEthernet} {
		n := 0
		cfg := Config{Medium: medium, AB: Path{Rate: 1e9, Delay: time.Millisecond, Loss: .01}}
		e := NewEngine(cfg, func(Side, mono.Time, []byte, []byte) { n++ })
		f := superframe(make([]byte, map[link.Medium]int{link.MediumEthernet: 14}[medium]), 44*1460)
		if medium == link.MediumEthernet {
			f.Data[12] = 8 // IPv4
		}
		now := start
		if allocs := testing.AllocsPerRun(200, func() {
			e.Put(now, A, &f)
			now = now.Add(10 * time.Millisecond)
			e.Advance(now)
		}); allocs != 0 {
			t.Errorf("medium %d: %v allocations per superframe", medium, allocs)
		}
		if n < 200*40 {
			t.Errorf("medium %d: only %d packets arrived", medium, n)
		}
	}
}
