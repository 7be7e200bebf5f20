package tcpstack

import (
	"math/rand/v2"
	"testing"

	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

// CVE-2018-5390 in kind (SegmentSmack): tiny segments out of order. The bytes have fixed places in blocks, so that the
// segments' number costs nothing: memory is the window's at most, ranges are DefaultMaxHoles, and each segment draws one
// ACK at most.
func TestReassemblyFlood(t *testing.T) {
	for _, c := range []struct {
		name string
		at   func(i int64, r *rand.Rand) int64
	}{
		{"every second byte, upwards", func(i int64, _ *rand.Rand) int64 { return 2 + 2*i }},
		{"every second byte, downwards", func(i int64, _ *rand.Rand) int64 { return 60_000 - 2*i%59_000 }},
		{"anywhere", func(_ int64, r *rand.Rand) int64 { return 2 + r.Int64N(60_000) }},
		{"a byte of each block", func(i int64, _ *rand.Rand) int64 { return 2 + i*stream.BlockSize%60_000 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := attacked(t, Config{}, wide(), 0)
			r := rand.New(rand.NewPCG(3, 4))
			conn := p.host.c
			before := p.bill()
			const segments = 5000
			for i := range int64(segments) {
				p.attack(sg{flags: wire.ACK, seq: c.at(i, r), ack: 1, n: 1})
				if n := p.s.blocks.InUse(); n > conn.rcv.limit+2*stream.BlockSize {
					t.Fatalf("%d bytes of blocks after %d bytes of payload", n, i+1)
				}
			}
			if cost := p.bill().since(before); cost.said > segments {
				t.Errorf("%d segments drew %d", segments, cost.said)
			}
			if m := footprint(conn); m > conn.rcv.limit+32<<10 {
				t.Errorf("the attack holds %d bytes", m)
			}
			// What was there first stays, and an honest stream still gets through.
			for seq := int64(1); seq < 50_000; seq += 1000 {
				p.attack(sg{flags: wire.ACK, seq: seq, ack: 1, n: 1000})
			}
			p.wantGot(50_000)
		})
	}
}

// Each byte of a stream that arrives alone and in order, the slow drip, is acknowledged every second time at most once the
// first are over, and holds one block.
func TestDripInOrder(t *testing.T) {
	p := attacked(t, Config{}, wide(), 0)
	for seq := int64(1); seq <= quickACKs; seq++ {
		p.attack(sg{flags: wire.ACK, seq: seq, ack: 1, n: 1})
	}
	before := p.bill()
	for seq := int64(quickACKs + 1); seq <= 2000; seq++ {
		p.attack(sg{flags: wire.ACK, seq: seq, ack: 1, n: 1})
		if n := p.s.blocks.InUse(); n > stream.BlockSize {
			t.Fatalf("%d bytes of blocks", n)
		}
	}
	if cost := p.bill().since(before); cost.said > 1000 {
		t.Errorf("2000 bytes drew %d ACKs", cost.said)
	}
	p.wantGot(2000)
}

// A stream that overlaps itself in every way costs no more than its window: the first copy of a byte wins, here against
// other bytes for the same place (RFC 9293 section 3.10.7.4: "segments ... may be trimmed").
func TestOverlapFlood(t *testing.T) {
	p := attacked(t, Config{}, wide(), 0)
	r := rand.New(rand.NewPCG(5, 6))
	p.attack(sg{flags: wire.ACK, seq: 1001, ack: 1, n: 20_000})
	for range 3000 {
		seq := 1001 + r.Int64N(19_000)
		p.attack(sg{flags: wire.ACK, seq: seq, ack: 1, data: string(make([]byte, 1000))})
		if p.host.c.in.Holes() != 1 {
			t.Fatalf("%d ranges", p.host.c.in.Holes())
		}
	}
	p.attack(sg{flags: wire.ACK, seq: 1, ack: 1, n: 1000})
	p.wantGot(21_000)
}
