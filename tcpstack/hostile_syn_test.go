package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/wire"
)

// A SYN flood (RFC 4987): no memory grows with it, each SYN draws one answer at once, what the cache repeats is bounded by
// its size (not by the flood's), and a guest who comes in the middle of it is let in by a cookie.
func TestSynFlood(t *testing.T) {
	const entries, flood = 64, 20_000
	p := newPeer(t, Config{MaxHalfOpen: entries})
	p.quiet = true
	p.listen(ListenConfig{})
	before := p.bill()
	for i := range flood {
		p.flow.RemotePort = uint16(1024 + i)
		p.flow.Remote = wire.AddrFrom(addrB) // the port is enough: 2^16 flows
		p.put(sg{flags: fS, seq: int64(i), opt: synOptions()})
		p.settle()
		p.skip()
	}
	if cost := p.bill().since(before); cost.said != flood {
		t.Errorf("%d SYNs drew %d answers", flood, cost.said)
	}
	if n := p.s.syns.Len(); n > entries || len(p.s.flows) != 0 || p.s.blocks.InUse() != 0 {
		t.Errorf("%d half-open, %d connections, %d bytes", n, len(p.s.flows), p.s.blocks.InUse())
	}
	p.flow.RemotePort = 999
	p.connect(synOptions())
	p.wantState(StateEstablished)
	before = p.bill()
	p.advance(5 * time.Minute)
	p.skip()
	if cost := p.bill().since(before); cost.said > 6*entries || p.s.syns.Len() != 0 {
		t.Errorf("afterwards %d SYN-ACKs came again for %d places, %d are left", cost.said, entries, p.s.syns.Len())
	}
}

// ACKs that guess a cookie: each is one RST at most, a thousand in a second for all of them, and none opens anything.
func TestCookieGuesses(t *testing.T) {
	p := newPeer(t, Config{MaxHalfOpen: 8})
	p.quiet = true
	p.listen(ListenConfig{})
	before := p.bill()
	for i := range int64(20_000) {
		p.flow.RemotePort = uint16(1024 + i)
		p.put(sg{flags: fA, seq: 1, ack: i * 2654435761 % (1 << 32)})
		p.settle()
		p.skip()
	}
	if cost := p.bill().since(before); cost.said > 1100 || p.s.stats.Accepted != 0 {
		t.Errorf("it drew %d segments and opened %d connections", cost.said, p.s.stats.Accepted)
	}
}

// Complete handshakes that say nothing more, as many as the attacker has ports: the shard's limit holds, each idle connection
// costs its struct and nothing else, and the listener's other connections go on.
func TestConnectionFlood(t *testing.T) {
	const limit = 200
	p := newPeer(t, Config{MaxConns: limit})
	p.quiet = true
	p.listen(ListenConfig{})
	p.connect(synOptions())
	first, irs := p.host.c, p.irs
	for i := range 3 * limit {
		p.flow.RemotePort = uint16(2000 + i)
		p.put(sg{flags: fS, opt: synOptions()})
		p.settle()
		if len(p.dev.out) > 0 {
			p.irs = p.dev.out[0].seg.Seq
		}
		p.put(sg{flags: fA, seq: 1, ack: 1})
		p.settle()
		p.skip()
	}
	if len(p.s.flows) != limit || p.s.blocks.InUse() != 0 {
		t.Errorf("%d connections, %d bytes", len(p.s.flows), p.s.blocks.InUse())
	}
	p.flow.RemotePort, p.irs, p.host.c = 50000, irs, first
	p.host.got = nil
	p.put(sg{flags: fA, seq: 1, ack: 1, n: 100})
	p.settle()
	p.skip()
	p.wantGot(100)
	p.advance(5 * time.Minute) // the SYN cache gives up on those that were turned away
	p.skip()
}
