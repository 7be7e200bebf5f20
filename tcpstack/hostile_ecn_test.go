package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/wire"
)

// A peer that echoes congestion in every ACK (RFC 3168 section 6.1.2, RFC 8257 section 3.3) has its own window reduced, once a
// round trip, and nobody else's. However low it goes, the connection moves: a segment at least each round trip.
func TestECNFlood(t *testing.T) {
	for _, name := range congestion.Names() {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, Config{Congestion: name})
			p.quiet = true
			p.listen(ListenConfig{})
			p.send(sg{flags: fS | wire.ECE | wire.CWR, opt: wide()})
			p.want(sg{flags: fSA | wire.ECE, ack: 1})
			p.advance(10 * time.Millisecond)
			p.send(sg{flags: fA, seq: 1, ack: 1})
			p.write(8 << 20)
			p.skip()
			c := p.host.c
			const rounds = 200
			most := int64(0)
			for range rounds {
				p.advance(20 * time.Millisecond)
				p.skip()
				most = max(most, c.rec.Flight())
				una := c.rec.Una()
				for to := c.rec.Next(); c.rec.Una() < to; {
					p.attack(sg{flags: fA | wire.ECE, seq: 1, ack: 1 + min(to, c.rec.Una()+2920)})
				}
				if c.rec.Una() == una {
					t.Fatalf("nothing moved in a round trip: %d in flight, window %d", c.rec.Flight(), c.cc.Window())
				}
			}
			if c.rec.Una() < rounds*1460 {
				t.Errorf("%d bytes in %d round trips", c.rec.Una(), rounds)
			}
			if most > 64*1460 {
				t.Errorf("%d bytes were in flight", most)
			}
			if p.s.stats.BytesRetransmitted > 0 || p.s.stats.Timeouts > 0 {
				t.Errorf("%d bytes resent, %d time-outs", p.s.stats.BytesRetransmitted, p.s.stats.Timeouts)
			}
		})
	}
}

// Marks on what we receive draw no more ACKs than there are segments (RFC 8257 section 3.2: one at each change), and hold
// nothing.
func TestMarkFlood(t *testing.T) {
	p := newPeer(t, Config{})
	p.quiet = true
	p.listen(ListenConfig{})
	p.send(sg{flags: fS | wire.ECE | wire.CWR, opt: wide()})
	p.want(sg{flags: fSA | wire.ECE, ack: 1})
	p.send(sg{flags: fA, seq: 1, ack: 1})
	before := p.bill()
	const segments = 3000
	for i := range int64(segments) {
		s := wire.Segment{
			SrcPort: p.flow.RemotePort, DstPort: p.flow.LocalPort, Flags: fA | wire.CWR*wire.Flags(i%3/2), Window: 65535,
			Seq: p.iss.Add(int(1 + i*10)), Ack: p.irs.Add(1), Payload: peerBytes(1+i*10, 10), ECN: uint8(i % 4),
		}
		p.dev.in = append(p.dev.in, p.packet(&s))
		p.settle()
		p.skip()
	}
	if cost := p.bill().since(before); cost.said > segments || cost.bytes > 0 {
		t.Errorf("%d segments drew %+v", segments, cost)
	}
	p.wantGot(segments * 10)
}
