package tcpstack

import (
	"testing"

	"ocaserve/tcpstack/stream"
)

// bulk is a server sending to a client that takes everything, over the memory link; each call of the result
// moves 128 KiB.
func bulk(p *pair) (turn func()) {
	p.delay = 0
	direct(p)
	client, server := p.connect()
	client.pause = true
	var span stream.Span = stream.Bytes(make([]byte, 16<<10))
	return func() {
		for range 8 {
			server.c.Append(span)
		}
		for range 4 {
			p.b.Step(p.now)
			p.a.Step(p.now)
			client.c.Discard(client.c.Readable())
		}
		p.now += 1e6
	}
}

// TestNoAllocations pins the packet path: in steady state a superframe out, the ACKs in, and the data
// received on the other side allocate nothing.
func TestNoAllocations(t *testing.T) {
	for _, fn := range []string{FunctionsBase, FunctionsRack} { // unpaced and paced
		p := newPair(t, Config{Functions: fn})
		turn := bulk(p)
		for range 200 {
			turn()
		}
		before := p.b.stats
		if n := testing.AllocsPerRun(500, turn); n != 0 {
			t.Errorf("%s: %v allocations for each 128 KiB sent, received and acknowledged", fn, n)
		}
		// A turn is a millisecond, and so is the round trip: pacing spreads a window over it.
		if sent := p.b.stats.BytesSent - before.BytesSent; sent < 500*50<<10 {
			t.Fatalf("%s: only %d bytes moved: the measurement is void", fn, sent)
		}
	}
}

// direct lets the frames take the memory link itself instead of the test's cable, which allocates.
func direct(p *pair) {
	p.a.dev, p.b.dev = p.da.Device, p.db.Device
}

// BenchmarkTransfer is the cost of the stack on both sides and of one copy across the cable.
func BenchmarkTransfer(b *testing.B) {
	turn := bulk(newPair(b, Config{}))
	b.SetBytes(128 << 10)
	b.ReportAllocs()
	for b.Loop() {
		turn()
	}
}
