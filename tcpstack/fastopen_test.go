package tcpstack

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

// fastPeer makes a listener with Fast Open, and gets a cookie from it (RFC 7413 section 4.1.2).
func fastPeer(t *testing.T, queue int) (*peer, wire.FastOpen) {
	t.Helper()
	p := newPeer(t, Config{})
	p.listen(ListenConfig{FastOpen: queue})
	o := synOptions()
	o.FastOpen.Has = true
	p.send(sg{flags: fS, opt: o})
	cookie := p.want(sg{flags: fSA, ack: 1}).Options.FastOpen
	if cookie.Len == 0 || p.s.stats.FastOpenCookieReqd != 1 {
		t.Fatalf("no cookie: %+v", cookie)
	}
	p.send(sg{flags: fR, seq: 1})
	return p, cookie
}

// fastSyn sends a SYN with the cookie and n bytes, from the next port.
func (p *peer) fastSyn(cookie wire.FastOpen, n int) {
	p.t.Helper()
	p.flow.RemotePort++
	p.host.c, p.host.got, p.host.wrote, p.host.closed = nil, nil, 0, 0
	o := synOptions()
	o.FastOpen = cookie
	p.send(sg{flags: fS, opt: o, data: string(peerBytes(1, n))})
}

// RFC 7413 section 4.2.2: the data is delivered and acknowledged with the SYN, the application answers before the
// handshake is over, and the ACK ends it.
func TestFastOpen(t *testing.T) {
	p, cookie := fastPeer(t, 10)
	p.fastSyn(cookie, 100)
	if o := p.want(sg{flags: fSA, ack: 101}).Options; o.FastOpen.Has || o.MSS != 1460 {
		t.Errorf("options %+v", o)
	}
	p.wantGot(100)
	p.wantState(StateSynReceived)
	p.write(3000)
	p.wantData(1, 1460, 101)
	p.wantData(1461, 1460, 101)
	p.wantData(2921, 80, 101)
	p.advance(20 * time.Millisecond)
	p.send(sg{flags: fA, seq: 101, ack: 1})
	p.wantState(StateEstablished)
	p.send(sg{flags: fA, seq: 101, ack: 3001})
	if rtt := p.host.c.RTT().MinRTT(); rtt < 20*time.Millisecond || rtt > 21*time.Millisecond {
		t.Errorf("RTT %v", rtt)
	}
	if p.host.c.Info().Options&InfoSynData == 0 || p.s.stats.FastOpenPassive != 1 || p.s.stats.Accepted != 1 {
		t.Errorf("%+v", p.s.stats.OpenStats)
	}
	p.send(sg{flags: fA, seq: 101, ack: 3001, data: string(peerBytes(101, 50))})
	p.want(sg{flags: fA, seq: 3001, ack: 151})
	p.wantGot(150)
	if n := p.s.stack.listenerFor(p.flow.Local, 80).fastPending.Load(); n != 0 {
		t.Errorf("%d pending", n)
	}
}

// Off by default, and a cookie that is not ours (section 4.2.2 (3)): an ordinary handshake, the data not
// acknowledged; in the second case with a new cookie.
func TestFastOpenFallsBack(t *testing.T) {
	p, cookie := fastPeer(t, 10)
	bad := cookie
	bad.Data[0]++
	p.fastSyn(bad, 100)
	if o := p.want(sg{flags: fSA, ack: 1}).Options; o.FastOpen != cookie {
		t.Errorf("cookie %+v, want %+v", o.FastOpen, cookie)
	}
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 100})
	p.want(sg{flags: fA, seq: 1, ack: 101})
	p.wantGot(100)
	if p.s.stats.FastOpenPassiveFail != 1 || p.s.stats.FastOpenPassive != 0 {
		t.Errorf("%+v", p.s.stats.OpenStats)
	}
	q := newPeer(t, Config{})
	q.listen(ListenConfig{})
	q.fastSyn(cookie, 100)
	if o := q.want(sg{flags: fSA, ack: 1}).Options; o.FastOpen.Has {
		t.Error("an answer although it is off")
	}
	q.send(sg{flags: fR, seq: 1})
}

// Section 5.1: no more than the queue's length at a time, and a RST does not make room at once.
func TestFastOpenQueue(t *testing.T) {
	p, cookie := fastPeer(t, 2)
	for i := range 3 {
		p.fastSyn(cookie, 10)
		want := int64(11)
		if i == 2 {
			want = 1
		}
		p.want(sg{flags: fSA, ack: want})
	}
	p.send(sg{flags: fR, seq: 1})
	p.flow.RemotePort--
	p.send(sg{flags: fR, seq: 11})
	p.wantClosed(ErrReset)
	again := func(want int64) {
		t.Helper()
		p.flow.RemotePort += 10
		p.fastSyn(cookie, 10)
		p.want(sg{flags: fSA, ack: want})
		p.send(sg{flags: fR, seq: want})
	}
	again(1)
	if p.s.stats.FastOpenListenOverflow != 2 {
		t.Errorf("%+v", p.s.stats.OpenStats)
	}
	p.advance(2 * time.Minute) // the other one is given up, the RST forgotten
	p.skip()
	again(11)
	again(11)
	again(1)
}

// The SYN-ACK is repeated by its own timer and when the SYN comes again; data that overtook it goes out again once
// the handshake is over.
func TestFastOpenSynAckLost(t *testing.T) {
	p, cookie := fastPeer(t, 10)
	p.fastSyn(cookie, 100)
	p.want(sg{flags: fSA, ack: 101})
	p.write(500)
	p.wantData(1, 500, 101)
	p.advance(500 * time.Millisecond)
	p.send(sg{flags: fS, opt: synOptions()})
	p.want(sg{flags: fSA, ack: 101})
	p.advance(501 * time.Millisecond)
	p.want(sg{flags: fSA, ack: 101})
	p.advance(2000 * time.Millisecond)
	p.want(sg{flags: fSA, ack: 101})
	p.send(sg{flags: fA, seq: 101, ack: 1})
	p.wantState(StateEstablished)
	p.wantData(1, 500, 101)
	p.send(sg{flags: fA, seq: 101, ack: 501})
	p.advance(time.Minute)
	p.wantNone()
}

// Nobody answers: the connection is given up, and its place is free.
func TestFastOpenGivenUp(t *testing.T) {
	p, cookie := fastPeer(t, 1)
	p.fastSyn(cookie, 100)
	p.want(sg{flags: fSA, ack: 101})
	p.do(func(c *Conn) { c.CloseWrite() })
	p.advance(3 * time.Minute)
	if len(p.dev.out) != maxSynTries-1 {
		t.Errorf("%d SYN-ACKs", len(p.dev.out))
	}
	p.skip()
	p.wantClosed(ErrTimeout)
	if n := p.s.stack.listenerFor(p.flow.Local, 80).fastPending.Load(); n != 0 || len(p.s.flows) != 0 {
		t.Errorf("%d pending, %d connections", n, len(p.s.flows))
	}
}

// A FIN queued in SYN-RECEIVED follows the answer (RFC 9293 section 3.10.4).
func TestFastOpenCloses(t *testing.T) {
	p, cookie := fastPeer(t, 1)
	p.fastSyn(cookie, 100)
	p.want(sg{flags: fSA, ack: 101})
	p.write(10)
	p.wantData(1, 10, 101)
	p.do(func(c *Conn) { c.CloseWrite() })
	p.send(sg{flags: fA, seq: 101, ack: 1})
	p.want(sg{flags: fFA, seq: 11, ack: 101})
	p.send(sg{flags: fFA, seq: 101, ack: 12})
	p.want(sg{flags: fA, seq: 12, ack: 102})
	p.wantState(StateTimeWait)
}

// fastPair is a client and a server with Fast Open.
type fastPair struct {
	*pair
	server, client *app
}

func newFastPair(t *testing.T) *fastPair {
	f := &fastPair{pair: newPair(t, Config{})}
	if _, err := f.b.stack.Listen(netip.AddrPortFrom(addrB, 80), ListenConfig{FastOpen: 10, Accept: func(c *Conn) Handler {
		f.server = &app{chunk: 5000, c: c, send: []byte("answer")}
		f.server.Writable(c)
		return f.server
	}}); err != nil {
		t.Fatal(err)
	}
	return f
}

// dial opens with data, and returns how long the server's answer took.
func (f *fastPair) dial(port uint16, early []byte) time.Duration {
	f.t.Helper()
	f.client, f.server = &app{chunk: 5000}, nil
	start := f.now
	f.a.Post(MessageFunc(func(s *Shard) {
		f.client.c, _ = s.DialFast(netip.AddrPortFrom(addrA, port), netip.AddrPortFrom(addrB, 80), f.client, stream.Bytes(early))
	}))
	if !f.run(20*time.Second, func() bool { return f.client.got.Len() == 6 && f.server.got.Len() == len(early) }) {
		f.t.Fatal("no answer")
	}
	if !bytes.Equal(f.server.got.Bytes(), early) {
		f.t.Fatal("wrong bytes")
	}
	return f.now.Sub(start)
}

// Section 4.1.3: the first connection asks, the second is a round trip faster; what does not fit the SYN follows.
func TestFastOpenClient(t *testing.T) {
	f := newFastPair(t)
	first := f.dial(1000, pattern(300, 1))
	if d := f.dial(1001, pattern(300, 1)); d != first-2*f.delay {
		t.Errorf("the answer took %v, after %v without a cookie", d, first)
	}
	if f.a.stats.FastOpenActive != 1 || f.b.stats.FastOpenPassive != 1 || f.b.stats.FastOpenCookieReqd != 1 {
		t.Errorf("%+v %+v", f.a.stats.OpenStats, f.b.stats.OpenStats)
	}
	if !f.client.c.fast.data || f.client.c.rec.Flight() != 0 {
		t.Error("the data of the SYN is not acknowledged")
	}
	f.dial(1002, pattern(10_000, 2))
	if f.a.stats.BytesRetransmitted != 0 || f.b.stats.BytesRetransmitted != 0 || f.a.stats.FastOpenActive != 2 {
		t.Errorf("%+v", f.a.stats)
	}
}

// Section 4.1.3: a path that drops SYNs with data is left alone for a while, and then for longer.
func TestFastOpenBlackHole(t *testing.T) {
	f := newFastPair(t)
	f.dial(1000, pattern(300, 1))
	withData := 0
	f.da.drop = func(frame *link.Frame) bool {
		var ip wire.IPHeader
		var seg wire.Segment
		raw := append([]byte(nil), frame.Data...)
		for _, p := range frame.Pieces {
			raw = append(raw, p...)
		}
		payload, _ := wire.ParseIP(raw, &ip)
		wire.ParseTCP(&ip, payload, false, &seg)
		if seg.Flags&wire.SYN != 0 && len(seg.Payload) > 0 {
			withData++
			return true
		}
		return false
	}
	for i, want := range []int{1, 1, 2, 2} {
		f.dial(1001+uint16(i), pattern(300, 1))
		if withData != want {
			t.Fatalf("connection %d: %d SYNs with data, want %d", i, withData, want)
		}
		if i == 1 {
			f.run(fastBackoff, nil)
		}
	}
	f.run(fastBackoff, nil)
	f.dial(1100, pattern(300, 1))
	if withData != 2 || f.a.stats.FastOpenActiveFail != 2 {
		t.Errorf("%d SYNs with data, %+v", withData, f.a.stats.OpenStats)
	}
	f.da.drop = nil
	f.run(2*fastBackoff, nil)
	if f.dial(1101, pattern(300, 1)); f.a.stats.FastOpenActive != 1 {
		t.Errorf("never tried again: %+v", f.a.stats.OpenStats)
	}
}

// A server that takes only a part of the SYN's data, or none, gets the rest at once (section 4.2.1).
func TestFastOpenPartial(t *testing.T) {
	for _, taken := range []int64{0, 40, 100} {
		p := newPeer(t, Config{})
		p.flow.LocalPort, p.flow.RemotePort = 40000, 81
		p.s.opens.fastHosts.put(p.flow.Remote, fastHost{cookie: wire.NewFastOpen([]byte("cookies!")), mss: 1460})
		p.s.Post(MessageFunc(func(s *Shard) {
			p.host.c, _ = s.DialFast(p.flow.LocalAddrPort(), p.flow.RemoteAddrPort(), p.host, stream.Bytes(hostBytes(0, 100)))
		}))
		p.settle()
		if o := p.want(sg{flags: fS, n: 100}).Options.FastOpen; string(o.Cookie()) != "cookies!" {
			t.Fatalf("%+v", o)
		}
		p.send(sg{flags: fSA, ack: 102, opt: synOptions()}) // more than there was
		p.want(sg{flags: fR, seq: 102})
		p.send(sg{flags: fSA, ack: 1 + taken, opt: synOptions()})
		if taken < 100 {
			p.wantData(1+taken, int(100-taken), 1)
		} else {
			p.want(sg{flags: fA, seq: 101, ack: 1})
		}
		p.send(sg{flags: fA, seq: 1, ack: 101})
		p.wantState(StateEstablished)
		p.advance(time.Minute)
		p.wantNone()
	}
}
