package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/stream"
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

// Stolen Fast Open cookies (RFC 7413 section 5.1): SYNs with data that bring an answer onto a bystander. No more than the
// listener's queue are let in at a time, each may send an initial window (section 4.2.2), and what follows unasked is
// repeated segments of it, further and further apart, until it is given up; the others get a SYN-ACK.
func TestFastOpenFlood(t *testing.T) {
	const queue, flood, answer = 8, 500, 100_000
	p := newPeer(t, Config{})
	p.quiet = true
	p.listen(ListenConfig{FastOpen: queue, Accept: func(c *Conn) Handler {
		c.Append(stream.Bytes(hostBytes(0, answer)))
		return &host{c: c}
	}})
	o := synOptions()
	o.FastOpen.Has = true
	p.send(sg{flags: fS, opt: o})
	cookie := p.want(sg{flags: fSA, ack: 1}).Options.FastOpen
	p.send(sg{flags: fR, seq: 1})
	p.skip()
	before := p.bill()
	for i := range flood {
		p.flow.RemotePort = uint16(1000 + i)
		o := synOptions()
		o.FastOpen = cookie
		p.put(sg{flags: fS, opt: o, data: string(peerBytes(1, 10))})
		p.settle()
		p.skip()
	}
	const window = 10 * 1460
	if cost := p.bill().since(before); cost.bytes > queue*window || cost.said > flood+queue*11 {
		t.Errorf("%d SYNs drew %+v", flood, cost)
	}
	if len(p.s.flows) != queue {
		t.Errorf("%d connections", len(p.s.flows))
	}
	p.advance(10 * time.Minute)
	p.skip()
	if cost := p.bill().since(before); cost.bytes > 2*queue*window {
		t.Errorf("in ten minutes they drew %d bytes", cost.bytes)
	}
	if len(p.s.flows) != 0 || p.s.syns.Len() != 0 {
		t.Errorf("%d connections and %d half-open ones are left", len(p.s.flows), p.s.syns.Len())
	}
}
