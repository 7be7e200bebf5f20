package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/wire"
)

// closedWindow is a connection whose application does not read and whose buffer is full.
func closedWindow(t *testing.T) *peer {
	t.Helper()
	return fillWindow(t, wire.Options{MSS: 1460, SACKPermitted: true})
}

// fillWindow sends exactly what is announced until nothing is: every byte of it must be taken.
func fillWindow(t *testing.T, o wire.Options) *peer {
	t.Helper()
	p := newPeer(t, Config{})
	p.open(o)
	p.host.pause = true
	p.edge = 1
	for room := int64(65535); room > 0; {
		n := min(room, 1285)
		p.put(sg{flags: fA, seq: p.edge, ack: 1, n: int(n)})
		p.edge += n
		p.advance(delAckLen + slack)
		s := p.dev.out[len(p.dev.out)-1].seg
		if ack := int64(s.Ack.Sub(p.iss)); ack != p.edge {
			t.Fatalf("bytes within the window were refused: ack %d at %d", ack, p.edge)
		}
		room = int64(s.Window) << p.host.c.rcv.scale
		p.skip()
	}
	if n := p.edge - 1; n > 65536 || n <= 65535-128 {
		t.Fatalf("the window closed behind %d bytes, with a buffer of 65536", n)
	}
	return p
}

// RFC 9293 section 3.8.6.3, RFC 5681 section 4.2: at once at the start of a connection, then for every second
// full segment, or after 40 ms.
func TestDelayedAck(t *testing.T) {
	p := opened(t)
	at := int64(1)
	data := func(n int) {
		p.send(sg{flags: fA, seq: at, ack: 1, n: n})
		at += int64(n)
	}
	for range quickACKs {
		data(1460)
		p.want(sg{flags: fA, seq: 1, ack: at})
	}
	data(1460)
	p.wantNone()
	data(1460)
	p.want(sg{flags: fA, seq: 1, ack: at})
	data(1)
	p.wantAfter(delAckLen, sg{flags: fA, seq: 1, ack: at})
	data(1)
	data(1) // every second segment, small ones too
	p.want(sg{flags: fA, seq: 1, ack: at})
	data(10)
	p.write(5) // the ACK travels with data
	p.wantData(1, 5, at)
	p.send(sg{flags: fA, seq: at, ack: 6})
	p.advance(time.Second)
	p.wantNone()
	p.send(sg{flags: fFA, seq: at, ack: 6})
	p.want(sg{flags: fA, seq: 6, ack: at + 1})
}

// RFC 5681 section 4.2: out of order and hole-filling segments are acknowledged at once, with SACK (RFC 2018
// section 4: the block that changed last first).
func TestImmediateAck(t *testing.T) {
	p := opened(t)
	for range quickACKs {
		p.put(sg{flags: fA, seq: 1, ack: 1, n: 1})
		p.settle()
	}
	p.skip()
	p.host.c.rcv.quickACK = 0
	check := func(seq, ack int64, edges ...int64) {
		t.Helper()
		p.send(sg{flags: fA, seq: seq, ack: 1, n: 100})
		o := p.want(sg{flags: fA, seq: 1, ack: ack}).Options
		if int(o.NSACK)*2 != len(edges) {
			t.Fatalf("%d blocks, want %v", o.NSACK, edges)
		}
		for i := range o.NSACK {
			l, r := int64(o.SACK[i].Left.Sub(p.iss)), int64(o.SACK[i].Right.Sub(p.iss))
			if l != edges[2*i] || r != edges[2*i+1] {
				t.Errorf("block %d is %d-%d, want %v", i, l, r, edges)
			}
		}
	}
	check(102, 2, 102, 202)
	check(302, 2, 302, 402, 102, 202)
	check(502, 2, 502, 602, 302, 402, 102, 202)
	check(202, 2, 102, 402, 502, 602)
	check(2, 402, 502, 602)
	check(402, 602)
}

// RFC 9293 section 3.7.4: Nagle holds a small segment back while data is in flight; the switch lets it go.
func TestNagle(t *testing.T) {
	p := opened(t)
	p.do(func(c *Conn) { c.SetNoDelay(false) })
	p.write(10)
	p.wantData(1, 10, 1)
	p.write(20)
	p.wantNone()
	p.write(1500) // with what waits, a full segment
	p.wantData(11, 1460, 1)
	p.send(sg{flags: fA, seq: 1, ack: 11})
	p.wantNone()
	p.send(sg{flags: fA, seq: 1, ack: 1471})
	p.wantData(1471, 60, 1)
	p.write(5)
	p.do(func(c *Conn) { c.CloseWrite() }) // the end need not wait
	p.want(sg{flags: fFA, seq: 1531, ack: 1, n: 5})
	p.skip()

	p = opened(t)
	p.write(10)
	p.wantData(1, 10, 1)
	p.write(20)
	p.wantData(11, 20, 1)
}

// RFC 9293 section 3.8.6.1: a closed window is probed, with back-off, for as long as the peer answers; when it
// opens, sending goes on at once.
func TestZeroWindow(t *testing.T) {
	p := opened(t)
	p.send(sg{flags: fA, seq: 1, ack: 1, win: window(0)})
	p.write(100)
	wait := 210 * time.Millisecond // RTO: SRTT 10 ms + 200 ms
	for range 12 {
		p.wantAfter(min(wait, maxPersist), sg{flags: fA, seq: 0, ack: 1})
		wait *= 2
		p.put(sg{flags: fA, seq: 1, ack: 1, win: window(0)})
		p.settle()
	}
	p.wantState(StateEstablished)
	p.send(sg{flags: fA, seq: 1, ack: 1, win: window(1000)})
	p.wantData(1, 100, 1)
	if p.s.stats.WindowProbes != 12 || p.s.stats.Timeouts != 0 {
		t.Errorf("probes %d, timeouts %d", p.s.stats.WindowProbes, p.s.stats.Timeouts)
	}
}

// A peer that no longer answers is given up, and so is one that an orphan would wait for.
func TestZeroWindowGivenUp(t *testing.T) {
	for _, orphan := range []bool{false, true} {
		p := opened(t)
		p.send(sg{flags: fA, seq: 1, ack: 1, win: window(0)})
		p.write(100)
		if orphan {
			p.do(func(c *Conn) { c.Close() })
		}
		start := p.now
		for i := 0; p.host.closed == 0 && i < 200; i++ {
			p.advance(5 * time.Second)
			if len(p.dev.out) > 0 && orphan {
				p.put(sg{flags: fA, seq: 1, ack: 1, win: window(0)})
			}
			p.skip()
		}
		p.wantClosed(ErrTimeout)
		if d := p.now.Sub(start); orphan && (d < 8*time.Minute || d > 10*time.Minute) || d < giveUpAfter {
			t.Errorf("orphan %v: given up after %v", orphan, d)
		}
	}
}

// Section 3.8.6: a peer that shuts its window over what is in flight is probed by the retransmission timer, and
// the connection lives for as long as it answers.
func TestWindowShutOverFlight(t *testing.T) {
	p := opened(t)
	p.write(1000)
	p.wantData(1, 1000, 1)
	p.send(sg{flags: fA, seq: 1, ack: 1, win: window(0)})
	for range 100 {
		p.advance(5 * time.Second)
		if len(p.dev.out) > 0 {
			p.skip()
			p.send(sg{flags: fA, seq: 1, ack: 1, win: window(0)})
		}
	}
	p.wantState(StateEstablished)
	p.advance(61 * time.Second)
	p.skip()
	p.send(sg{flags: fA, seq: 1, ack: 1001})
	p.write(10)
	p.wantData(1001, 10, 1)
}

// Section 3.8.6.2.1: the sender avoids silly windows: it waits for a full segment's room, or half the largest
// window ever seen, or the override time-out.
func TestSenderSillyWindow(t *testing.T) {
	p := opened(t)
	p.send(sg{flags: fA, seq: 1, ack: 1, win: window(100)})
	p.write(3000)
	p.wantAfter(210*time.Millisecond, sg{flags: fA, seq: 1, ack: 1, n: 100})
	p.send(sg{flags: fA, seq: 1, ack: 101, win: window(1459)})
	p.wantNone()
	p.send(sg{flags: fA, seq: 1, ack: 101, win: window(1460)})
	p.wantData(101, 1460, 1)

	p = newPeer(t, Config{})
	p.win = 1000 // never more than 1000: half of it will do
	p.open(synOptions())
	p.send(sg{flags: fA, seq: 1, ack: 1, win: window(499)})
	p.write(3000)
	p.wantNone()
	p.send(sg{flags: fA, seq: 1, ack: 1, win: window(500)})
	p.wantData(1, 500, 1)
	p.send(sg{flags: fA, seq: 1, ack: 101, win: window(1000)})
	p.wantData(501, 600, 1)
	p.do(func(c *Conn) { c.SetNoDelay(false) })
	p.send(sg{flags: fA, seq: 1, ack: 601, win: window(1000)})
	p.wantNone() // half of the window, but 500 bytes are in flight
	p.send(sg{flags: fA, seq: 1, ack: 1101, win: window(1000)})
	p.wantData(1101, 1000, 1)
}

// RFC 9293 sections 3.8.6 and 3.8.6.2.2: the window never shrinks, and it opens in steps worth a segment.
func TestReceiverWindow(t *testing.T) {
	p := opened(t)
	p.host.pause = true
	edge, at := int64(0), int64(1)
	for range 40 {
		p.put(sg{flags: fA, seq: at, ack: 1, n: 1400})
		p.settle()
		at += 1400
		for i := range p.dev.out {
			s := &p.dev.out[i].seg
			scale := p.host.c.rcv.scale
			e := int64(s.Ack.Sub(p.iss)) + int64(s.Window)<<scale
			end := p.host.c.in.Offset() + 1 + 65536
			if e < edge && edge < end-127 || e < edge-127 { // rounding, at the end of the buffer: RFC 7323 section 2.4
				t.Fatalf("the right edge went back from %d to %d", edge, e)
			}
			edge = e
		}
		p.skip()
		if at%5 == 0 {
			p.do(func(c *Conn) { c.Discard(min(700, c.Readable())) })
			p.skip()
		}
	}

	fillWindow(t, synOptions())
	p = closedWindow(t)
	for range 14 { // 1400 bytes are not worth a segment
		p.do(func(c *Conn) { c.Discard(100) })
		p.wantNone()
	}
	p.send(sg{flags: fA, seq: p.edge, ack: 1, n: 1}) // nor does a probe tempt us
	if s := p.want(sg{flags: fA, seq: 1, ack: p.edge}); s.Window != 0 {
		t.Errorf("a window of %d<<%d is silly", s.Window, p.host.c.rcv.scale)
	}
	p.do(func(c *Conn) { c.Discard(4000) })
	if s := p.want(sg{flags: fA, seq: 1, ack: p.edge}); s.Window == 0 {
		t.Error("two segments' room is news")
	}
}

// Section 3.10.7.4: at a closed window a segment's text is refused, its ACK is not.
func TestAckAtClosedWindow(t *testing.T) {
	p := closedWindow(t)
	p.write(100)
	p.wantData(1, 100, p.edge)
	p.send(sg{flags: fA, seq: p.edge, ack: 101, n: 500})
	p.want(sg{flags: fA, seq: 101, ack: p.edge})
	if p.host.c.rec.Flight() != 0 {
		t.Error("the ACK was thrown away with the text")
	}
	p.send(sg{flags: fFA, seq: p.edge, ack: 101})
	if s := p.want(sg{flags: fA, seq: 101, ack: p.edge + 1}); s.Window != 0 {
		t.Errorf("window %d behind the FIN", s.Window)
	}
	p.send(sg{flags: fA, seq: 1 << 20, ack: 101, n: 1}) // and nothing is in the window now
	p.want(sg{flags: fA, seq: 101, ack: p.edge + 1})
}

// Auto-tuning (Fisk and Feng 2001): the buffer grows when the application keeps up with a window per round trip,
// and not when the sender or the application is slow.
func TestReceiveTuning(t *testing.T) {
	run := func(perRTT int, read bool) int {
		p := newPeer(t, Config{MaxReceiveBuffer: 1 << 20})
		p.open(synOptions())
		p.host.pause = !read
		at := int64(1)
		for range 30 {
			for sent := 0; sent < perRTT; sent += 1400 {
				p.put(sg{flags: fA, seq: at, ack: 1, n: 1400})
				at += 1400
			}
			p.settle()
			p.skip()
			p.advance(10 * time.Millisecond)
			p.skip()
		}
		return p.host.c.rcv.limit
	}
	if n := run(60000, true); n <= 64<<10 || n > 1<<20 {
		t.Errorf("a full window each round trip: limit %d", n)
	}
	if n := run(14000, true); n != 64<<10 {
		t.Errorf("a quarter of the window each round trip: limit %d", n)
	}
	if n := run(2000, false); n != 64<<10 {
		t.Errorf("nobody reads: limit %d", n)
	}
}

// TCP_NOTSENT_LOWAT: Writable comes once, when the unsent bytes fall below half of it, after Room was 0.
func TestNotsentLowat(t *testing.T) {
	p := opened(t)
	p.do(func(c *Conn) {
		c.SetNotsentLowat(20000)
		if c.Room() != 20000 {
			t.Error("room", c.Room())
		}
	})
	p.write(34600)
	for i := range int64(10) { // IW10: 14600 gone, 20000 unsent
		p.wantData(1+1460*i, 1460, 1)
	}
	p.do(func(c *Conn) {
		if c.Room() != 0 || c.Unsent() != 20000 {
			t.Error("room", c.Room(), "unsent", c.Unsent())
		}
	})
	writable := p.host.writable
	ack := int64(1)
	for p.host.c.Unsent() >= 10000 {
		if p.host.writable != writable {
			t.Fatal("too early: unsent", p.host.c.Unsent())
		}
		ack += 1460
		p.send(sg{flags: fA, seq: 1, ack: ack})
		p.skip()
	}
	p.send(sg{flags: fA, seq: 1, ack: ack + 1460})
	p.skip()
	if p.host.writable != writable+1 {
		t.Errorf("%d Writable events", p.host.writable-writable)
	}
	p.do(func(c *Conn) { c.SetNotsentLowat(1); c.Room() })
	p.send(sg{flags: fA, seq: 1, ack: 34601 - int64(p.host.c.Unsent())})
	p.skip()
	p.do(func(c *Conn) {
		if c.Unsent() != 0 {
			t.Fatal("unsent", c.Unsent())
		}
	})
	if p.host.writable != writable+2 {
		t.Errorf("a limit of 1 byte: %d Writable events", p.host.writable-writable)
	}
}

// RFC 9293 section 3.10.7.4: SND.WL1 and SND.WL2: a segment that was overtaken does not bring its old window back.
func TestOvertakenWindowUpdate(t *testing.T) {
	p := opened(t)
	p.send(sg{flags: fA, seq: 11, ack: 1, n: 10, win: window(5000)})
	p.want(sg{flags: fA, seq: 1, ack: 1})
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 10, win: window(1)})
	p.want(sg{flags: fA, seq: 1, ack: 21})
	p.write(3000)
	p.wantData(1, 1460, 21)
	p.wantData(1461, 1460, 21)
	p.wantData(2921, 80, 21)
	p.send(sg{flags: fA, seq: 21, ack: 3001, win: window(7000)})
	p.send(sg{flags: fA, seq: 21, ack: 1, win: window(2)}) // an old ACK
	if p.host.c.snd.wnd != 7000 {
		t.Error("window", p.host.c.snd.wnd)
	}
}

// "Below half" is below: at exactly half there is no event yet.
func TestNotsentLowatEdge(t *testing.T) {
	p := opened(t)
	p.do(func(c *Conn) { c.SetNotsentLowat(2920) })
	p.send(sg{flags: fA, seq: 1, ack: 1, win: window(1460)})
	p.write(1460 + 2920)
	p.wantData(1, 1460, 1)
	p.do(func(c *Conn) { c.Room() })
	before := p.host.writable
	p.send(sg{flags: fA, seq: 1, ack: 1, win: window(2920)})
	p.wantData(1461, 1460, 1)
	if p.host.writable != before {
		t.Error("Writable at half")
	}
	p.send(sg{flags: fA, seq: 1, ack: 1, win: window(4380)})
	p.wantData(2921, 1460, 1)
	if p.host.writable != before+1 {
		t.Errorf("%d Writable events below half", p.host.writable-before)
	}
}
