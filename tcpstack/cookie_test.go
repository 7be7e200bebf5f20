package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

// guardPeer is an established connection with cookies; the peer's is 77. It returns ours.
func guardPeer(t *testing.T) (*peer, uint64) {
	t.Helper()
	p := newPeer(t, Config{Cookies: true})
	p.listen(ListenConfig{})
	o := synOptions()
	o.HasGuard, o.Guard = true, 77
	p.send(sg{flags: fS, opt: o})
	got := p.want(sg{flags: fSA, ack: 1}).Options
	if !got.HasGuard {
		t.Fatal("the SYN-ACK has no cookie")
	}
	p.send(sg{flags: fA, seq: 1, ack: 1})
	p.wantState(StateEstablished)
	if p.s.stats.CookiesAgreed != 1 || len(p.s.opens.guards) != 0 {
		t.Errorf("%d agreed, %d half open", p.s.stats.CookiesAgreed, len(p.s.opens.guards))
	}
	return p, got.Guard
}

// A RST, FIN or SYN counts only with the cookie that we gave (an option of RFC 6994's kind), however right its numbers are;
// data needs none.
func TestCookieGuards(t *testing.T) {
	p, ours := guardPeer(t)
	for _, wrong := range []wire.Options{{}, {HasGuard: true, Guard: ours + 1}, {HasGuard: true, Guard: 77}} {
		p.send(sg{flags: fR, seq: 1, opt: wrong})
		p.send(sg{flags: fFA, seq: 1, ack: 1, opt: wrong})
		p.send(sg{flags: fS, seq: 1, opt: wrong})
	}
	p.wantState(StateEstablished)
	if n := p.s.stats.Drops[dropCookie]; n != 9 {
		t.Errorf("%d dropped, want 9", n)
	}
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 100})
	p.want(sg{flags: fA, seq: 1, ack: 101})
	p.send(sg{flags: fR, seq: 101, opt: wire.Options{HasGuard: true, Guard: ours}})
	p.wantClosed(ErrReset)
}

// Our FIN shows the peer's cookie, in a segment of its own; so does our RST.
func TestCookieShown(t *testing.T) {
	p, ours := guardPeer(t)
	p.write(1460)
	p.wantData(1, 1460, 1)
	p.do(func(c *Conn) { c.Append(stream.Bytes([]byte("end"))); c.CloseWrite() })
	p.want(sg{flags: fA, seq: 1461, ack: 1, n: 3})
	if o := p.want(sg{flags: fFA, seq: 1464, ack: 1}).Options; !o.HasGuard || o.Guard != 77 {
		t.Errorf("FIN with %+v", o)
	}
	p.send(sg{flags: fFA, seq: 1, ack: 1465, opt: wire.Options{HasGuard: true, Guard: ours}})
	p.want(sg{flags: fA, seq: 1465, ack: 2})
	p.wantState(StateTimeWait)

	p, _ = guardPeer(t)
	p.do(func(c *Conn) { c.Abort() })
	if o := p.want(sg{flags: fRA, seq: 1, ack: 1}).Options; !o.HasGuard || o.Guard != 77 {
		t.Errorf("RST with %+v", o)
	}
}

// A peer without the option, or a stack without the setting, has an ordinary connection.
func TestCookieDeclined(t *testing.T) {
	for _, ours := range []bool{false, true} {
		p := newPeer(t, Config{Cookies: ours})
		p.listen(ListenConfig{})
		o := synOptions()
		o.HasGuard = !ours
		p.send(sg{flags: fS, opt: o})
		if p.want(sg{flags: fSA, ack: 1}).Options.HasGuard {
			t.Error("an answer that nobody asked for")
		}
		p.send(sg{flags: fA, seq: 1, ack: 1})
		p.send(sg{flags: fR, seq: 1})
		p.wantClosed(ErrReset)
	}
	p := newPeer(t, Config{Cookies: true})
	p.dial()
	if !p.want(sg{flags: fS}).Options.HasGuard {
		t.Error("not offered")
	}
	if p.wantAfter(time.Second, sg{flags: fS}).Options.HasGuard {
		t.Error("offered again, although it may be what was dropped")
	}
	p.send(sg{flags: fSA, ack: 1, opt: synOptions()})
	p.want(sg{flags: fA, seq: 1, ack: 1})
	p.send(sg{flags: fR, seq: 1})
	p.wantClosed(ErrReset)
}

// Two of our stacks agree, and everything works as before: data both ways, and both FINs.
func TestCookieBothEnds(t *testing.T) {
	p := newPair(t, Config{Cookies: true})
	client, server := p.connect()
	client.send, server.send, client.close, server.close = pattern(50_000, 1), pattern(500_000, 2), true, true
	client.Writable(client.c)
	server.Writable(server.c)
	if !p.run(30*time.Second, func() bool { return client.eof && server.eof }) || client.got.Len() != 500_000 {
		t.Fatalf("%v %v, %d bytes", client.c.State(), server.c.State(), client.got.Len())
	}
	p.run(3*time.Minute, nil)
	if p.a.stats.CookiesAgreed != 1 || p.b.stats.CookiesAgreed != 1 || len(p.a.flows)+len(p.b.flows) != 0 {
		t.Errorf("agreed %d %d, connections left %d %d", p.a.stats.CookiesAgreed, p.b.stats.CookiesAgreed, len(p.a.flows), len(p.b.flows))
	}
	if n := p.a.stats.Drops[dropCookie] + p.b.stats.Drops[dropCookie]; n != 0 {
		t.Errorf("%d segments dropped", n)
	}
}

// What a flood of SYNs with cookies can make us remember is bounded, and forgotten.
func TestCookieFlood(t *testing.T) {
	p := newPeer(t, Config{Cookies: true})
	p.quiet = true
	p.listen(ListenConfig{})
	o := synOptions()
	o.HasGuard = true
	flood := func() {
		for port := range uint16(3000) {
			p.flow.RemotePort = 1000 + port
			p.put(sg{flags: fS, opt: o})
			p.settle()
			p.skip()
		}
	}
	flood()
	if n := len(p.s.opens.guards); n != maxHalfGuards {
		t.Fatalf("%d remembered", n)
	}
	p.advance(2 * time.Minute)
	p.skip()
	p.flow.RemotePort = 60000
	p.send(sg{flags: fS, opt: o})
	if !p.want(sg{flags: fSA, ack: 1}).Options.HasGuard || len(p.s.opens.guards) != 1 {
		t.Errorf("%d remembered after the flood", len(p.s.opens.guards))
	}
	p.send(sg{flags: fR, seq: 1})
}
