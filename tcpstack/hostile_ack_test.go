package tcpstack

import (
	"testing"

	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/wire"
)

// ACK division (Savage 1999): a receiver acknowledges each segment in a hundred pieces. Windows count bytes (RFC 3465
// section 2), so that it gains nothing over one that acknowledges each segment once.
func TestAckDivision(t *testing.T) {
	for _, name := range congestion.Names() {
		window := func(pieces int64) int64 {
			p := attacked(t, Config{Congestion: name}, wide(), 4<<20)
			c := p.host.c
			for range 3 {
				p.now = p.now.Add(50_000_000)
				for to := c.rec.Next(); c.rec.Una() < to; {
					step := min(int64(c.snd.mss), to-c.rec.Una())
					for i := int64(1); i <= pieces; i++ {
						p.attack(sg{flags: wire.ACK, seq: 1, ack: 1 + to - (to - c.rec.Una()) + max(1, step/pieces)})
					}
				}
			}
			return c.cc.Window()
		}
		whole, divided := window(1), window(100)
		if divided > whole+2*1460 {
			t.Errorf("%s: a window of %d with ACKs of segments, %d with ACKs of pieces", name, whole, divided)
		}
	}
}

// Duplicate ACKs made up (Savage 1999): each stands for a segment that left the network, but there are no more of those
// than segments in flight (RFC 5681 section 3.2 step 4, section 5), so that a thousand draw what the first few do.
func TestDupAckSpoofing(t *testing.T) {
	for _, sack := range []bool{false, true} {
		o := wide()
		o.SACKPermitted = sack
		p := attacked(t, Config{}, o, 4<<20)
		p.grow(30 << 10)
		c := p.host.c
		flight, before := c.rec.Flight(), p.bill()
		for range 1000 {
			p.attack(sg{flags: wire.ACK, seq: 1, ack: 1 + c.rec.Una()})
		}
		cost := p.bill().since(before)
		if cost.bytes > uint64(flight)+4*1460 {
			t.Errorf("SACK %v: a thousand ACKs drew %d bytes with %d in flight", sack, cost.bytes, flight)
		}
		if c.cc.Window() > flight+4*1460 {
			t.Errorf("SACK %v: the window is %d after %d in flight", sack, c.cc.Window(), flight)
		}
	}
}

// Without SACK two duplicates and a byte, again and again: the duplicates stand for segments that the byte does not
// acknowledge, and grow nothing.
func TestDupAcksBeforeEachByte(t *testing.T) {
	for _, name := range []string{"newreno", "cubic"} {
		for _, fn := range []string{FunctionsRack, FunctionsBase} {
			o := wide()
			o.SACKPermitted = false
			p := attacked(t, Config{Congestion: name, Functions: fn}, o, 8<<20)
			p.grow(30 << 10)
			c := p.host.c
			before, una := c.cc.Window(), c.rec.Una()
			for range 300 {
				for _, more := range []int64{0, 0, 1} {
					p.attack(sg{flags: wire.ACK, seq: 1, ack: 1 + more + c.rec.Una()})
				}
			}
			p.attack(sg{flags: wire.ACK, seq: 1, ack: 2 + c.rec.Una()})
			if acked := c.rec.Una() - una; c.cc.Window() > before+acked+4*1460 {
				t.Errorf("%s, %s: %d bytes took the window from %d to %d", name, fn, acked, before, c.cc.Window())
			}
		}
	}
}

// Optimistic ACKs beyond what was sent are refused with a challenge (RFC 5961 section 5.2), ten in a second at most (section
// 7): the window does not move.
func TestAckOfTheUnsent(t *testing.T) {
	p := attacked(t, Config{}, wide(), 1<<20)
	c := p.host.c
	una, next, window, before := c.rec.Una(), c.rec.Next(), c.cc.Window(), p.bill()
	for i := range int64(1000) {
		p.attack(sg{flags: wire.ACK, seq: 1, ack: 2 + next + i*1460})
	}
	if c.rec.Una() != una || c.cc.Window() != window {
		t.Errorf("una %d -> %d, window %d -> %d", una, c.rec.Una(), window, c.cc.Window())
	}
	if cost := p.bill().since(before); cost.said > challengesPerSecond || cost.bytes > 0 {
		t.Errorf("a thousand ACKs of nothing drew %+v", cost)
	}
}

// Optimistic ACKs of what was sent and has not arrived cannot be told from honest ones: a sender that never loses
// anything looks like this. They let the peer ask for as much as it can ACK, and no more: never more in flight than it
// offers and than Config.MaxSendBuffer, nothing is kept that it acknowledged, and what it acknowledged without having is
// its own loss. What bounds the rate is the response's pacing and the cap on the whole egress.
func TestOptimisticAck(t *testing.T) {
	const buffer = 256 << 10
	p := attacked(t, Config{MaxSendBuffer: buffer}, wide(), 8<<20)
	c := p.host.c
	for range 300 {
		next, before := c.rec.Next(), p.bill()
		p.attack(sg{flags: wire.ACK, seq: 1, ack: 1 + next})
		cost := p.bill().since(before)
		if c.rec.Flight() > buffer {
			t.Fatalf("%d bytes in flight", c.rec.Flight())
		}
		if c.rec.Flight() > c.cc.Window() || cost.resent > 0 {
			t.Fatalf("%d bytes in flight for a window of %d, %d resent", c.rec.Flight(), c.cc.Window(), cost.resent)
		}
		if c.queue.Start() != min(next, c.queue.End()) {
			t.Fatalf("kept from %d, acknowledged %d", c.queue.Start(), next)
		}
	}
}

// One byte per ACK, the slow drip: it draws a segment for each one's worth of bytes, not one for each ACK, and
// keeps nothing longer than an honest ACK would.
func TestDripAck(t *testing.T) {
	p := attacked(t, Config{}, wide(), 1<<20)
	p.grow(20 << 10)
	c := p.host.c
	before, window := p.bill(), c.cc.Window()
	const acks = 10_000
	for range acks {
		p.attack(sg{flags: wire.ACK, seq: 1, ack: 2 + c.rec.Una()})
	}
	cost := p.bill().since(before)
	if limit := uint64(acks/1460+(c.cc.Window()-window)/1460) + 2; cost.said > limit {
		t.Errorf("%d bytes acknowledged one by one drew %d segments, want %d at most", acks, cost.said, limit)
	}
	if cost.said > 0 && cost.bytes/cost.said < 1000 {
		t.Errorf("segments of %d bytes", cost.bytes/cost.said)
	}
}

// Withholding ACKs and giving them all at once lets a burst out that is bounded by the window, not by what the time would
// have allowed; the flight never exceeds what is offered.
func TestStretchAck(t *testing.T) {
	p := attacked(t, Config{}, wide(), 8<<20)
	p.grow(100 << 10)
	c := p.host.c
	before, window := p.bill(), c.cc.Window()
	p.attack(sg{flags: wire.ACK, seq: 1, ack: 1 + c.rec.Next()})
	if cost := p.bill().since(before); cost.bytes > uint64(2*window) {
		t.Errorf("one ACK drew %d bytes from a window of %d", cost.bytes, window)
	}
}

// Reneging (RFC 2018 section 8) again and again: everything SACKed, then the time-out forgets it. Bytes are kept until
// they are acknowledged, and come again one segment first.
func TestRenegeFlood(t *testing.T) {
	p := attacked(t, Config{}, wide(), 64<<10)
	c := p.host.c
	for range 5 {
		una, next := c.rec.Una(), c.rec.Next()
		p.attack(sg{flags: wire.ACK, seq: 1, ack: 1 + una, opt: p.sack(1+una+1460, 1+next)})
		before := p.bill()
		p.now = max(p.now, p.s.Deadline())
		p.settle()
		for range 20 {
			if p.bill().since(before).said > 0 {
				break
			}
			p.now = max(p.now+1, p.s.Deadline())
			p.settle()
		}
		if cost := p.bill().since(before); cost.said > 2 {
			t.Fatalf("a time-out drew %d segments", cost.said)
		}
		if err := checkInvariants(c); err != nil {
			t.Fatal(err)
		}
	}
	if c.queue.Len() != 64<<10 {
		t.Fatalf("%d bytes are left", c.queue.Len())
	}
	for i := range p.dev.out {
		if o := &p.dev.out[i]; string(o.seg.Payload) != string(hostBytes(int64(o.seg.Seq.Sub(p.irs))-1, len(o.seg.Payload))) {
			t.Fatal("other bytes")
		}
	}
	p.skip()
}
