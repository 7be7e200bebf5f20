package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// RFC 6928: ten segments at first, and RFC 5681 section 3.1: slow start doubles per round trip.
func TestInitialWindow(t *testing.T) {
	p := opened(t)
	p.write(100000)
	for i := range int64(10) {
		p.wantData(1+1460*i, 1460, 1)
	}
	p.wantNone()
	p.advance(10 * time.Millisecond)
	p.send(sg{flags: fA, seq: 1, ack: 14601})
	for i := range int64(20) {
		p.wantData(14601+1460*i, 1460, 1)
	}
	p.wantNone()
	p.host.c.Abort()
	p.settle()
	p.skip()
}

// The peer's window bounds the flight as well.
func TestPeerWindow(t *testing.T) {
	p := opened(t)
	p.send(sg{flags: fA, seq: 1, ack: 1, win: window(5000)})
	p.write(20000)
	for i := range int64(3) {
		p.wantData(1+1460*i, 1460, 1)
	}
	p.wantNone() // 620 bytes of window are left: no silly segment
	p.send(sg{flags: fA, seq: 1, ack: 1461, win: window(5000)})
	p.wantData(4381, 1460, 1)
	p.wantNone()
	p.host.c.Abort()
	p.settle()
	p.skip()
}

// RFC 6298: section 2.1 one second before the first sample, 5.5 doubled each time, and R2 (RFC 9293 section
// 3.8.3): given up after at least 100 s.
func TestRetransmissionTimeout(t *testing.T) {
	p := newPeer(t, Config{MTUProbing: MTUProbeOff})
	p.listen(ListenConfig{})
	p.send(sg{flags: fS, opt: synOptions()})
	p.want(sg{flags: fSA, ack: 1})
	p.wantAfter(time.Second, sg{flags: fSA, ack: 1}) // the SYN-ACK had to be repeated: no sample (Karn)
	p.send(sg{flags: fA, seq: 1, ack: 1})
	p.write(3000)
	p.wantData(1, 1460, 1)
	p.wantData(1461, 1460, 1)
	p.wantData(2921, 80, 1)
	start := p.now
	for _, d := range []time.Duration{3, 6, 12, 24, 48} { // RFC 6298 (5.7): 3 s after a lost SYN
		p.wantAfter(d*time.Second, sg{flags: fA, seq: 1, ack: 1, n: 1460}) // RFC 5681 section 3.1: one segment
	}
	p.advance(2 * time.Minute)
	p.want(sg{flags: fRA, seq: 3001, ack: 1})
	p.wantClosed(ErrTimeout)
	if d := p.now.Sub(start); d < 100*time.Second {
		t.Error("gave up after", d)
	}
}

// RFC 6298 section 2.2: with a sample of the handshake's 10 ms the RTO is SRTT + 200 ms; an ACK restarts the
// timer (5.3) and ends the back-off (5, Karn).
func TestRTOAfterSample(t *testing.T) {
	p := opened(t)
	p.write(2920)
	p.wantData(1, 1460, 1)
	p.wantData(1461, 1460, 1)
	p.wantAfter(210*time.Millisecond, sg{flags: fA, seq: 1, ack: 1, n: 1460})
	p.wantAfter(420*time.Millisecond, sg{flags: fA, seq: 1, ack: 1, n: 1460})
	p.send(sg{flags: fA, seq: 1, ack: 1461})
	p.wantData(1461, 1460, 1) // go on in slow start
	p.send(sg{flags: fA, seq: 1, ack: 2921})
	p.advance(time.Minute)
	p.wantNone()
}

// burstOf opens a connection and sends ten full segments in one superframe.
func burstOf(t *testing.T, sack bool) *peer {
	t.Helper()
	p := newPeer(t, Config{})
	o := synOptions()
	o.SACKPermitted = sack
	p.open(o)
	p.write(14600)
	for i := range int64(10) {
		p.wantData(1+1460*i, 1460, 1)
	}
	p.advance(10 * time.Millisecond)
	return p
}

// RFC 6675 section 5: the second segment of a superframe is lost; three SACKed segments later it alone is sent
// again, at once (4.3), with the same bytes.
func TestFastRetransmitSACK(t *testing.T) {
	p := burstOf(t, true)
	p.send(sg{flags: fA, seq: 1, ack: 1461})
	for i := int64(1); i <= 2; i++ {
		p.send(sg{flags: fA, seq: 1, ack: 1461, opt: p.sack(2921, 2921+1460*i)})
		p.wantNone()
	}
	p.send(sg{flags: fA, seq: 1, ack: 1461, opt: p.sack(2921, 2921+1460*3)})
	p.wantData(1461, 1460, 1)
	if p.s.stats.Recoveries != 1 {
		t.Error("recoveries", p.s.stats.Recoveries)
	}
	p.send(sg{flags: fA, seq: 1, ack: 14601})
	p.advance(time.Minute)
	p.wantNone()
	if p.s.stats.Timeouts != 0 || p.s.stats.BytesRetransmitted != 1460 {
		t.Errorf("%+v", p.s.stats)
	}
}

// Several holes in one superframe: each is filled once, in order, and nothing else is sent again.
func TestManyHoles(t *testing.T) {
	p := burstOf(t, true)
	seg := func(i int64) int64 { return 1 + 1460*i }
	p.put(sg{flags: fA, seq: 1, ack: 1, opt: p.sack(seg(1), seg(2))})
	p.put(sg{flags: fA, seq: 1, ack: 1, opt: p.sack(seg(3), seg(4), seg(1), seg(2))})
	p.put(sg{flags: fA, seq: 1, ack: 1, opt: p.sack(seg(6), seg(10), seg(3), seg(4), seg(1), seg(2))})
	p.settle()
	p.wantData(seg(0), 1460, 1)
	p.wantData(seg(2), 1460, 1)
	p.wantData(seg(4), 1460, 1)
	if len(p.dev.out) == 0 { // half of ten segments is in flight
		p.send(sg{flags: fA, seq: 1, ack: seg(2), opt: p.sack(seg(6), seg(10), seg(3), seg(4))})
	}
	p.wantData(seg(5), 1460, 1)
	p.send(sg{flags: fA, seq: 1, ack: seg(10)})
	p.advance(time.Minute)
	p.wantNone()
	if p.s.stats.BytesRetransmitted != 4*1460 {
		t.Error("retransmitted", p.s.stats.BytesRetransmitted)
	}
}

// RFC 6582: without SACK three duplicate ACKs send the first hole, and a partial ACK the next one.
func TestFastRetransmitNewReno(t *testing.T) {
	p := burstOf(t, false)
	for range 2 {
		p.send(sg{flags: fA, seq: 1, ack: 1})
		p.wantNone()
	}
	p.send(sg{flags: fA, seq: 1, ack: 1})
	p.wantData(1, 1460, 1)
	p.send(sg{flags: fA, seq: 1, ack: 5841})
	p.wantData(5841, 1460, 1)
	p.send(sg{flags: fA, seq: 1, ack: 14601})
	p.advance(time.Minute)
	p.wantNone()
	if p.s.stats.Timeouts != 0 || p.s.stats.BytesRetransmitted != 2*1460 {
		t.Errorf("%+v", p.s.stats)
	}
}

// RFC 5681 section 2: an ACK with data, or with another window, is no duplicate.
func TestNotDuplicates(t *testing.T) {
	p := burstOf(t, false)
	for i := range 5 {
		p.send(sg{flags: fA, seq: 1, ack: 1, win: window(60000 - i)})
	}
	at := int64(1)
	for range 5 {
		p.send(sg{flags: fA, seq: at, ack: 1, n: 10})
		at += 10
		p.want(sg{flags: fA, seq: 14601, ack: at})
	}
	if p.s.stats.Recoveries != 0 {
		t.Error("recoveries", p.s.stats.Recoveries)
	}
	p.host.c.Abort()
	p.settle()
	p.skip()
}

// SACK blocks that cannot be true change nothing.
func TestLyingSACK(t *testing.T) {
	p := burstOf(t, true)
	for _, o := range [][]int64{{20000, 30000}, {3000, 2000}, {-500, 1}, {1, 1 << 30}, {14602, 14603}} {
		p.send(sg{flags: fA, seq: 1, ack: 1, opt: p.sack(o...)})
	}
	if p.s.stats.Recoveries != 0 || p.host.c.rec.Pipe() != 14600 {
		t.Errorf("recoveries %d, pipe %d", p.s.stats.Recoveries, p.host.c.rec.Pipe())
	}
	p.send(sg{flags: fA, seq: 1, ack: 14601})
}

// RFC 5681 section 4.1: after an idle time of more than an RTO sending begins anew from the initial window.
func TestIdleRestart(t *testing.T) {
	p := opened(t)
	at := int64(1)
	for range 6 {
		p.write(60000)
		for p.host.c.rec.Flight() > 0 || p.host.c.Unsent() > 0 {
			p.skip()
			p.advance(10 * time.Millisecond)
			p.skip()
			p.send(sg{flags: fA, seq: 1, ack: 1 + p.host.c.rec.Next()})
		}
		at += 60000
	}
	p.skip()
	if w := p.host.c.cc.Window(); w < 30000 {
		t.Fatal("the window has not grown:", w)
	}
	p.advance(5 * time.Second)
	p.write(60000)
	for i := range int64(10) {
		p.wantData(at+1460*i, 1460, 1)
	}
	p.wantNone()
	p.host.c.Abort()
	p.settle()
	p.skip()
}

// RFC 9293 section 3.8.4: probes of an idle connection: an empty segment below the window; answered, the clock
// starts anew; unanswered, the connection ends with a RST.
func TestKeepAlive(t *testing.T) {
	p := opened(t)
	p.do(func(c *Conn) { c.SetKeepAlive(KeepAlive{Idle: 10 * time.Second, Interval: time.Second, Count: 3}) })
	p.wantAfter(10*time.Second, sg{flags: fA, seq: 0, ack: 1})
	p.send(sg{flags: fA, seq: 1, ack: 1})
	for range 2 {
		p.wantAfter(10*time.Second, sg{flags: fA, seq: 0, ack: 1})
		p.send(sg{flags: fA, seq: 1, ack: 1})
	}
	p.wantAfter(10*time.Second, sg{flags: fA, seq: 0, ack: 1})
	p.wantAfter(time.Second, sg{flags: fA, seq: 0, ack: 1})
	p.wantAfter(time.Second, sg{flags: fA, seq: 0, ack: 1})
	p.wantAfter(time.Second, sg{flags: fRA, seq: 1, ack: 1})
	p.wantClosed(ErrTimeout)
}

// The peer's keepalive probe is answered.
func TestPeerKeepAlive(t *testing.T) {
	p := opened(t)
	p.send(sg{flags: fA, seq: 0, ack: 1})
	p.want(sg{flags: fA, seq: 1, ack: 1})
	p.send(sg{flags: fA, seq: 0, ack: 1, data: "x"}) // the kind with one old octet
	p.want(sg{flags: fA, seq: 1, ack: 1})
}

// RFC 7323 section 4.1: the echoed timestamp gives the RTT where Karn's rule leaves none.
func TestTimestampRTT(t *testing.T) {
	p := withTimestamps(t)
	p.write(100)
	p.wantData(1, 100, 1)
	p.advance(500 * time.Millisecond)
	p.want(sg{flags: fA, seq: 1, ack: 1, n: 100})
	p.skip()
	before := p.host.c.RTT().SRTT()
	p.echo = p.host.c.tsNow(p.now.Add(-80 * time.Millisecond)) // the answer to what went out 80 ms ago
	p.send(sg{flags: fA, seq: 1, ack: 101})
	if d := p.host.c.RTT().SRTT() - before; d < 8*time.Millisecond || d > 10*time.Millisecond {
		t.Errorf("SRTT moved by %v", d)
	}
}

// A stuck ring: frames keep their order and their bytes, whatever is acknowledged and released meanwhile.
func TestStuckRing(t *testing.T) {
	for room := range 4 {
		p := newPeer(t, Config{})
		p.dev.caps.TSO4 = false // each segment a frame of its own
		p.s.batch.caps.TSO4 = false
		p.open(synOptions())
		released := 0
		p.dev.room = room
		p.s.Post(MessageFunc(func(*Shard) {
			for i := range 10 {
				appendOwn(p.host.c, newCounted(hostBytes(int64(1460*i), 1460), &released))
			}
		}))
		step := func() {
			for range 5 {
				if _, err := p.s.Step(p.now); err != nil {
					t.Fatal(err)
				}
			}
		}
		step()
		if len(p.dev.out) != room {
			t.Fatalf("%d frames left, the ring took %d", len(p.dev.out), room)
		}
		p.put(sg{flags: fA, seq: 1, ack: 14601}) // the peer claims to have it all
		step()
		if held := p.s.blocks.Captives(); released+held != 10 || held == 0 || p.s.stats.QueueStopped == 0 {
			t.Fatalf("%d spans released, %d held for the ring, stopped %d times", released, held, p.s.stats.QueueStopped)
		}
		p.now += mono.Time(time.Millisecond)
		for i := range int64(10) {
			if len(p.dev.out) == 0 {
				p.dev.room = 1 + int(i)%3
				step()
			}
			p.wantData(1+1460*i, 1460, 1)
		}
		p.dev.room = -1
		p.settle()
		p.write(0)
		p.host.wrote = 14600
		p.write(10)
		p.wantData(14601, 10, 1)
		if released != 10 || p.s.blocks.Captives() != 0 {
			t.Fatalf("%d spans released in the end", released)
		}
	}
}

// RFC 6691, and RFC 5681 section 2: a full segment has no room for SACK blocks; while there is a hole, the ACK
// that reports it goes first, without payload, so that it counts as a duplicate.
func TestSACKBesideData(t *testing.T) {
	p := opened(t)
	p.put(sg{flags: fA, seq: 101, ack: 1, n: 100})
	p.host.c.Append(stream.Bytes(hostBytes(0, 1460)))
	p.settle()
	if a := p.want(sg{flags: fA, seq: 1, ack: 1}); a.Options.NSACK != 1 {
		t.Error("no SACK")
	}
	p.wantData(1, 1460, 1)
	p.send(sg{flags: fA, seq: 1, ack: 1461, n: 100})
	p.want(sg{flags: fA, seq: 1461, ack: 201})
}

// R2 counts from the last progress: a bad path that delivers something now and then is not given up.
func TestSlowProgressIsProgress(t *testing.T) {
	p := opened(t)
	for i := range int64(40) {
		p.write(100)
		p.wantData(1+100*i, 100, 1)
		for len(p.dev.out) == 0 { // Karn: the back-off stays while every ACK is ambiguous
			p.advance(time.Second)
		}
		p.want(sg{flags: fA, seq: 1 + 100*i, ack: 1, n: 100})
		p.skip()
		p.send(sg{flags: fA, seq: 1, ack: 101 + 100*i})
	}
	p.wantState(StateEstablished)
	if p.s.stats.Timeouts < 40 || p.since() < 10*giveUpAfter {
		t.Error("time-outs", p.s.stats.Timeouts, p.since())
	}
}
