package tcpstack

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A blind attacker knows the four-tuple and not the numbers. Its RSTs, one in each window's width of the whole sequence
// space (RFC 5961 section 3.2), leave the connection alone: the one that hits the window draws a challenge.
func TestBlindReset(t *testing.T) {
	p := attacked(t, Config{}, synOptions(), 0)
	before := p.bill()
	for i := range int64(1 << 16) {
		p.put(sg{flags: fR, seq: 17 + i<<16})
		p.settle()
	}
	p.skip()
	if p.host.c.gone {
		t.Fatal("the connection is gone")
	}
	if cost := p.bill().since(before); cost.said > 2 {
		t.Errorf("65536 RSTs drew %d segments", cost.said)
	}
}

// The same with SYNs (RFC 5961 section 4.2): challenged, ten in a second (section 7), and never believed.
func TestBlindSyn(t *testing.T) {
	p := attacked(t, Config{}, synOptions(), 0)
	before := p.bill()
	for i := range int64(1 << 14) {
		p.put(sg{flags: fS, seq: 17 + i<<18, opt: synOptions()})
		p.settle()
	}
	p.skip()
	p.wantState(StateEstablished)
	if cost := p.bill().since(before); cost.said > challengesPerSecond {
		t.Errorf("16384 SYNs drew %d segments", cost.said)
	}
}

// Blind data with the right sequence number still has to acknowledge something in [SND.UNA - MAX.SND.WND, SND.NXT]
// (RFC 5961 section 5.2): with a window of 64 KiB one guess in 65536.
func TestBlindData(t *testing.T) {
	p := attacked(t, Config{}, synOptions(), 0)
	r := rand.New(rand.NewPCG(8, 9))
	before := p.bill()
	for range 20_000 {
		ack := int64(2 + r.Uint32N(1<<32-70_000)) // anywhere but in that range
		p.put(sg{flags: fA, seq: 1, ack: ack, n: 100})
		p.settle()
	}
	p.skip()
	p.wantGot(0)
	if cost := p.bill().since(before); cost.said > challengesPerSecond {
		t.Errorf("it drew %d segments", cost.said)
	}
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 100})
	p.skip()
	p.wantGot(100)
}

// CVE-2016-5696: a limit of challenges that all connections share tells a blind attacker, on a connection of its own, how
// many it has drawn on another's. Ours is each connection's own (RFC 5961 section 7): exhausting one changes nothing at
// the other, in either direction.
func TestChallengeSideChannel(t *testing.T) {
	p := newPeer(t, Config{})
	p.quiet = true
	p.listen(ListenConfig{})
	challenges := func() (n int) {
		for range 50 {
			p.put(sg{flags: fR, seq: 9})
			p.settle()
			n += len(p.dev.out)
			p.skip()
		}
		return n
	}
	ports := []uint16{50000, 50001}
	for _, port := range ports {
		p.flow.RemotePort = port
		p.connect(synOptions())
	}
	for _, port := range ports {
		p.flow.RemotePort = port
		if n := challenges(); n != challengesPerSecond {
			t.Errorf("port %d: %d challenges after another connection drew its own", port, n)
		}
	}
}

// Two ends out of step whose windows are shut would answer each other's ACKs for ever (an ACK storm): an empty segment
// outside the window draws challenges at their limit, while payload below it, a retransmission, is always answered.
func TestAckStorm(t *testing.T) {
	p := closedWindow(t)
	p.quiet = true
	got := p.host.c.in.Next()
	before := p.bill()
	for range 1000 {
		p.attack(sg{flags: fA, seq: got, ack: 1}) // just below the window, as Linux probes
		p.attack(sg{flags: fA, seq: got + 100_000, ack: 1})
	}
	if cost := p.bill().since(before); cost.said == 0 || cost.said > challengesPerSecond {
		t.Errorf("2000 empty segments drew %d", cost.said)
	}
	before = p.bill()
	for range 20 {
		p.attack(sg{flags: fA, seq: 1, ack: 1, n: 100})
	}
	if cost := p.bill().since(before); cost.said != 20 {
		t.Errorf("20 retransmissions drew %d ACKs", cost.said)
	}
}

// PAWS as a weapon (RFC 7323 section 5.3): a segment with a timestamp far ahead must be one that would be taken, else a
// blind attacker could shut the peer out. Whatever was refused has not moved TS.Recent.
func TestTimestampAhead(t *testing.T) {
	p := withTimestamps(t)
	p.quiet = true
	c := p.host.c
	recent := c.rcv.tsRecent
	for i := range int64(1000) {
		g := sg{flags: fA, seq: 100_000 + i, ack: 1, n: 10}
		g.opt.HasTS, g.opt.TSVal = true, recent+1<<30
		p.attack(g)
		g.seq, g.ack = 1, 1<<20+i
		p.attack(g)
	}
	if c.rcv.tsRecent != recent {
		t.Fatalf("TS.Recent went from %d to %d", recent, c.rcv.tsRecent)
	}
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 10})
	p.skip()
	p.wantGot(10)
}

// Urgent pointers anywhere are ordinary segments (RFC 6093 section 6): nothing is kept aside for them.
func TestUrgentFlood(t *testing.T) {
	p := attacked(t, Config{}, synOptions(), 0)
	for seq := int64(1); seq < 5000; seq++ {
		p.attack(sg{flags: fA | 1<<5, seq: seq, ack: 1, n: 1})
		if n := footprint(p.host.c); n > 8<<10 {
			t.Fatalf("%d bytes held", n)
		}
	}
	p.wantGot(4999)
}

// FINs, in order and out of it, with data and without, by the thousand: one ends the stream, each draws one ACK at most.
func TestFinFlood(t *testing.T) {
	p := attacked(t, Config{}, synOptions(), 0)
	before := p.bill()
	for i := range int64(1000) {
		p.attack(sg{flags: fFA, seq: 101 + i%50, ack: 1, n: int(i % 3)})
	}
	p.attack(sg{flags: fA, seq: 1, ack: 1, n: 100})
	for range 1000 {
		p.attack(sg{flags: fFA, seq: 101, ack: 1})
	}
	if cost := p.bill().since(before); cost.said > 2001 {
		t.Errorf("it drew %d segments", cost.said)
	}
	if p.host.c.rcv.finDone && p.host.closed > 1 {
		t.Error("closed", p.host.closed)
	}
	if got := len(p.host.got); got < 100 || got > 160 || string(p.host.got) != string(peerBytes(1, got)) {
		t.Errorf("the application got %d bytes", got)
	}
}

// Peers that leave their side open, or stop in the middle of closing, hold no orphan: each way to dawdle has an end (a shut
// window: RFC 6429 section 3 leaves it to us), at which neither a timer nor a byte is left.
func TestDawdlingClose(t *testing.T) {
	for _, c := range []struct {
		name  string
		queue int
		then  func(p *peer) // what the peer does when the application has closed
		limit time.Duration
	}{
		{"silent in FIN-WAIT-1", 0, func(*peer) {}, 3 * time.Minute},
		{"silent with data queued", 100_000, func(*peer) {}, 3 * time.Minute},
		{"never closes", 0, func(p *peer) { p.attack(sg{flags: fA, seq: 1, ack: 15}) }, 2 * time.Minute},
		{"window shut for good", 100_000, func(p *peer) {
			p.attack(sg{flags: fA, seq: 1, ack: 1 + p.host.c.rec.Next(), win: window(0)})
		}, 20 * time.Minute},
		{"closes, and acknowledges nothing", 0, func(p *peer) { p.attack(sg{flags: fFA, seq: 1, ack: 1}) }, 3 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := attacked(t, Config{}, synOptions(), c.queue)
			released := 0
			p.s.Post(MessageFunc(func(*Shard) {
				appendOwn(p.host.c, newCounted([]byte("the last word"), &released))
				p.host.c.Close()
			}))
			p.settle()
			if c.queue == 0 {
				p.attack(sg{flags: fA, seq: 1, ack: 14})
				if p.host.c.rec.Una() != 13 {
					t.Fatal("una", p.host.c.rec.Una())
				}
			}
			before := p.bill()
			c.then(p)
			p.advance(c.limit)
			p.skip()
			if len(p.s.flows) != 0 || released != 1 || p.s.wheel.Len() != 0 || p.host.closed != 1 {
				t.Errorf("%d connections, %d released, %d timers, closed %d", len(p.s.flows), released, p.s.wheel.Len(), p.host.closed)
			}
			if cost := p.bill().since(before); cost.said > 200 {
				t.Errorf("it cost %+v", cost)
			}
		})
	}
}
