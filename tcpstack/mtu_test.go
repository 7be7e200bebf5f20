package tcpstack

import (
	"bytes"
	"testing"
	"time"

	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/wire"
)

// blackHole makes w drop every packet above mtu bytes, and say nothing: a black hole. It counts them.
func blackHole(w *cable, mtu int, n *int) {
	w.drop = func(f *link.Frame) bool {
		size := f.Len()
		if f.GSO > 0 {
			size = min(size, len(f.Data)+int(f.GSO))
		}
		if size > mtu {
			*n++
			return true
		}
		return false
	}
}

// fetchOver sends data from b to a's application, and checks what arrived.
func fetchOver(t *testing.T, p *pair, client, server *app, n int, d time.Duration) {
	t.Helper()
	data := pattern(n, 3)
	server.send = data
	client.got.Reset()
	server.Writable(server.c)
	if !p.run(d, func() bool { return client.got.Len() == n }) {
		t.Fatalf("%d of %d bytes, path MTU %d", client.got.Len(), n, server.c.snd.pmtu)
	}
	if !bytes.Equal(client.got.Bytes(), data) {
		t.Fatal("wrong bytes")
	}
}

// RFC 4821 section 7.7 (the black hole of RFC 2923 section 2.1) and the search after it (section 7.3): a path that drops large packets silently works after a few
// time-outs, at its own MTU after a few probes; their losses reduce no window; and the next connection to the
// same host knows.
func TestMTUBlackHole(t *testing.T) {
	for _, tt := range []struct{ path, found int }{{1400, 1400}, {1450, 1440}, {1433, 1420}, {1492, 1492}, {1100, 1064}, {600, 576}} {
		p := newPair(t, Config{})
		client, server := p.connect()
		lost := 0
		blackHole(p.db, tt.path, &lost)
		fetchOver(t, p, client, server, 3_000_000, time.Minute)
		s := &p.b.stats
		if got := server.c.snd.pmtu; got != tt.found {
			t.Errorf("path %d: found %d, want %d", tt.path, got, tt.found)
		}
		if lost > 60 || s.MTUPFail > 15 {
			t.Errorf("path %d: %d frames lost, %d probes", tt.path, lost, s.MTUPFail)
		}
		if r := s.Recoveries; r != 0 && s.MTUPFail == 0 {
			t.Errorf("path %d: %d recoveries", tt.path, r)
		}
		lost = 0
		again := &app{chunk: 5000}
		flow := flowOf(client.c.LocalAddr(), client.c.RemoteAddr())
		flow.LocalPort++
		again.c = p.a.newConn(&flow, again)
		before := server.c
		again.c.connect(p.now)
		if !p.run(5*time.Second, func() bool { return server.c != before }) {
			t.Fatal("no second connection")
		}
		fetchOver(t, p, again, server, 500_000, time.Minute)
		if lost != 0 || server.c.snd.pmtu != tt.found {
			t.Errorf("path %d: the second connection lost %d and has %d", tt.path, lost, server.c.snd.pmtu)
		}
	}
}

// Ten minutes later the path may carry more (RFC 8899 section 5.1.1, PMTU_RAISE_TIMER).
func TestMTURaised(t *testing.T) {
	p := newPair(t, Config{})
	client, server := p.connect()
	lost := 0
	blackHole(p.db, 1400, &lost)
	fetchOver(t, p, client, server, 2_000_000, time.Minute)
	if server.c.mtu.searching {
		t.Fatal("the search goes on")
	}
	p.db.drop = nil
	fetchOver(t, p, client, server, 2_000_000, time.Minute)
	if got := server.c.snd.pmtu; got != 1400 {
		t.Fatalf("path MTU %d before its time", got)
	}
	p.run(mtuRest, nil)
	fetchOver(t, p, client, server, 2_000_000, time.Minute)
	if got := server.c.snd.pmtu; got != 1500 {
		t.Fatalf("path MTU %d, want 1500", got)
	}
}

// The modes: off never lowers, always begins at the base and searches up.
func TestMTUModes(t *testing.T) {
	p := newPair(t, Config{MTUProbing: MTUProbeOff})
	_, server := p.connect()
	lost := 0
	blackHole(p.db, 1400, &lost)
	server.send = pattern(100_000, 1)
	server.Writable(server.c)
	p.run(20*time.Second, nil)
	if server.c.snd.pmtu != 1500 || p.b.stats.MTUBlackHoles != 0 {
		t.Error("lowered although it is off")
	}
	p = newPair(t, Config{MTUProbing: MTUProbeAlways})
	client, server := p.connect()
	if server.c.snd.pmtu != basePMTU4 {
		t.Errorf("begins at %d", server.c.snd.pmtu)
	}
	fetchOver(t, p, client, server, 2_000_000, time.Minute)
	if s := &p.b.stats; server.c.snd.pmtu != 1500 || s.MTUPSuccess == 0 || s.MTUPFail != 0 || s.BytesRetransmitted != 0 {
		t.Errorf("path MTU %d, %+v", server.c.snd.pmtu, s.OpenStats)
	}
}

// openProbing makes a connection whose first probe is in flight: bytes [1, 1421) at an MSS of 1024.
func openProbing(t *testing.T) *peer {
	t.Helper()
	p := newPeer(t, Config{MTUProbing: MTUProbeAlways})
	p.open(synOptions())
	p.do(func(c *Conn) { c.cc.Acked(p.now, congestion.Ack{Delivered: 1024, InFlight: 1 << 20}) }) // 11 segments
	p.write(20_000)
	p.wantData(1, 1420, 1)
	for at := int64(1421); len(p.dev.out) > 0; at += 1024 {
		p.wantData(at, 1024, 1)
	}
	return p
}

// A probe that alone is lost costs no window (RFC 4821 section 7.6.2), and its bytes go again in segments that
// are known to fit.
func TestMTUProbeLost(t *testing.T) {
	p := openProbing(t)
	window := p.host.c.cc.Window()
	end := int64(p.host.c.rec.Next()) + 1
	p.send(sg{flags: fA, seq: 1, ack: 1, opt: p.sack(1421, end)})
	p.advance(50 * time.Millisecond)
	p.wantData(1, 1024, 1)
	p.wantData(1025, 396, 1)
	p.skip()
	if p.host.c.cc.Window() < window || p.s.stats.MTUPFail != 1 {
		t.Errorf("window %d after %d, %+v", p.host.c.cc.Window(), window, p.s.stats.OpenStats)
	}
	p.send(sg{flags: fA, seq: 1, ack: int64(p.host.c.rec.Next()) + 1})
	p.skip()
}

// With another loss beside it the probe says nothing, and it is congestion (section 7.6.4).
func TestMTUProbeInconclusive(t *testing.T) {
	p := openProbing(t)
	window := p.host.c.cc.Window()
	end := int64(p.host.c.rec.Next()) + 1
	p.send(sg{flags: fA, seq: 1, ack: 1, opt: p.sack(1421+1024, end)})
	p.advance(50 * time.Millisecond)
	if p.host.c.cc.Window() >= window || p.s.stats.MTUPFail != 0 {
		t.Errorf("window %d after %d, %+v", p.host.c.cc.Window(), window, p.s.stats.OpenStats)
	}
	p.skip()
}

// A probe that arrives raises the MSS.
func TestMTUProbePassed(t *testing.T) {
	p := openProbing(t)
	p.send(sg{flags: fA, seq: 1, ack: 1421})
	if p.host.c.snd.pmtu != 1460 || p.host.c.MSS() != 1420 || p.s.stats.MTUPSuccess != 1 {
		t.Errorf("path MTU %d", p.host.c.snd.pmtu)
	}
	p.skip()
}

// TestNextMTU: what is tried ends at the limit, and in few steps.
func TestNextMTU(t *testing.T) {
	for low := 552; low < 9000; low += 7 {
		for _, high := range []int{1100, 1280, 1400, 1499, 1500, 8000, 9000} {
			at, n := low, 0
			for next := nextMTU(at, high); next != 0; next = nextMTU(at, high) {
				if next <= at || next > high {
					t.Fatalf("%d between %d and %d", next, at, high)
				}
				at = next
				n++
			}
			if n > 6 || low < high && high-at >= mtuWorth {
				t.Errorf("from %d to %d: %d after %d probes", low, high, at, n)
			}
		}
	}
}

// The cache of hosts is bounded, and forgets the oldest.
func TestHostCache(t *testing.T) {
	var m hostCache[int]
	host := func(i int) wire.Addr { return wire.Addr{15: byte(i), 14: byte(i >> 8)} }
	for i := range 5000 {
		m.put(host(i), i)
		m.put(host(i), i)
	}
	if len(m.hosts) != hostCacheSize || len(m.order) != hostCacheSize {
		t.Fatalf("%d hosts, %d in order", len(m.hosts), len(m.order))
	}
	for i := range 5000 {
		if e, ok := m.get(host(i)); ok != (i >= 5000-hostCacheSize) || ok && e != i {
			t.Fatalf("host %d: %+v %v", i, e, ok)
		}
	}
}

// The loss of a probe reduced nothing, so that there is nothing to take back when it turns out to have arrived: least
// of all what an earlier loss had reduced.
func TestMTUProbeLate(t *testing.T) {
	p := openProbing(t)
	c := p.host.c
	if err := c.SetFunctions(FunctionsRack); err != nil {
		t.Fatal(err)
	}
	c.cc.Lost(p.now, congestion.Loss{InFlight: c.cc.Window()}) // a while ago
	window := c.cc.Window()
	end := c.rec.Next() + 1
	p.send(sg{flags: fA, seq: 1, ack: 1, opt: p.sack(1421, end)})
	p.advance(50 * time.Millisecond)
	p.wantData(1, 1024, 1)
	p.wantData(1025, 396, 1)
	p.skip()
	p.send(sg{flags: fA, seq: 1, ack: end, opt: p.sack(1, 1421)})
	p.skip()
	if got := c.cc.Window(); p.s.stats.MTUPFail != 1 || got > window+1420 {
		t.Errorf("window %d after %d, %+v", got, window, p.s.stats.OpenStats)
	}
	p.send(sg{flags: fA, seq: 1, ack: c.rec.Next() + 1})
	p.skip()
}
