package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

// A peer that holds its window at zero and answers every probe keeps its connection (RFC 9293 section 3.8.6.1: "MUST
// allow"), at the price of a probe a minute. What it holds is one connection and what the application queued beyond
// NotsentLowat; the memory budget of the whole shard decides who goes when that runs out.
func TestZeroWindowHeld(t *testing.T) {
	p := attacked(t, Config{}, wide(), 0)
	p.attack(sg{flags: wire.ACK, seq: 1, ack: 1, win: window(0)})
	p.s.Post(MessageFunc(func(*Shard) {
		for c := p.host.c; c.Room() > 0; {
			c.Append(stream.Bytes(hostBytes(c.queue.End(), 4096)))
		}
	}))
	p.settle()
	c := p.host.c
	before := p.bill()
	for end := p.now.Add(time.Hour); p.now < end; {
		p.now = max(p.s.Deadline(), p.now+1)
		said := p.bill().said
		p.settle()
		if p.bill().said > said {
			p.attack(sg{flags: wire.ACK, seq: 1, ack: 1, win: window(0)})
		}
	}
	if c.gone {
		t.Fatal("a peer that answers was given up")
	}
	if cost := p.bill().since(before); cost.said > 80 || cost.bytes > 0 {
		t.Errorf("an hour cost %+v", cost)
	}
	if queued := c.queue.Len(); queued > c.snd.lowat+4096 {
		t.Errorf("%d bytes are held for it", queued)
	}
}

// Sockstress: the window is shut in the ACK that opens the connection and nothing comes ever after. The silent are given up
// (RFC 9293 section 3.8.3), and cost a handful of probes each.
func TestSockstressSilent(t *testing.T) {
	p := newPeer(t, Config{})
	p.quiet = true
	p.listen(ListenConfig{})
	p.send(sg{flags: wire.SYN, opt: synOptions()})
	p.want(sg{flags: wire.SYN | wire.ACK, ack: 1})
	p.attack(sg{flags: wire.ACK, seq: 1, ack: 1, win: window(0)})
	p.s.Post(MessageFunc(func(*Shard) { p.host.c.Append(stream.Bytes(hostBytes(0, 100_000))) }))
	p.settle()
	before := p.bill()
	for end := p.now.Add(20 * time.Minute); p.now < end && p.s.Deadline() < end; {
		p.now = max(p.s.Deadline(), p.now+1)
		p.settle()
	}
	p.skip()
	if p.host.closed != 1 || len(p.s.flows) != 0 {
		t.Fatalf("it is still there: %v", p.state())
	}
	if cost := p.bill().since(before); cost.said > 20 || cost.bytes > 0 {
		t.Errorf("it cost %+v", cost)
	}
}

// A window of one byte (RFC 9293 section 3.8.6.2.1): the sender does not follow it byte by byte, it waits for the override
// time-out each time, so that a byte costs at most a segment each 200 ms, and the rate of segments stays what the
// clock allows, however often the peer says so.
func TestOneByteWindow(t *testing.T) {
	p := attacked(t, Config{}, synOptions(), 0)
	p.attack(sg{flags: wire.ACK, seq: 1, ack: 1, win: window(1)})
	p.s.Post(MessageFunc(func(*Shard) { p.host.c.Append(stream.Bytes(hostBytes(0, 100_000))) }))
	p.settle()
	p.skip()
	c := p.host.c
	before, start := p.bill(), p.now
	for range 20_000 { // 200 s, an ACK every 10 ms
		p.now = p.now.Add(10 * time.Millisecond)
		p.attack(sg{flags: wire.ACK, seq: 1, ack: 1 + c.rec.Next(), win: window(1)})
	}
	cost, limit := p.bill().since(before), uint64(p.now.Sub(start)/minPersist)
	if cost.said > limit+2 {
		t.Errorf("%v of a window of one byte drew %d segments, want %d at most", p.now.Sub(start), cost.said, limit)
	}
	if cost.bytes == 0 {
		t.Error("nothing was sent: the test proves nothing")
	}
}

// A window that opens and shuts a thousand times in one instant: no segment is sent for it but what the window admits.
func TestWindowFlapping(t *testing.T) {
	p := attacked(t, Config{}, synOptions(), 0)
	p.attack(sg{flags: wire.ACK, seq: 1, ack: 1, win: window(0)})
	p.s.Post(MessageFunc(func(*Shard) { p.host.c.Append(stream.Bytes(hostBytes(0, 100_000))) }))
	p.settle()
	p.skip()
	before := p.bill()
	for i := range 1000 {
		p.attack(sg{flags: wire.ACK, seq: 1, ack: 1, win: window(i % 2 * 700)})
	}
	if cost := p.bill().since(before); cost.bytes > 1460 || cost.said > 2 {
		t.Errorf("it cost %+v", cost)
	}
}

// A peer that takes back window it has offered (RFC 9293 section 3.8.6: "SHOULD NOT", and the sender "MUST be robust"):
// nothing new goes beyond the new edge, and what is beyond it already costs one probe at each time-out.
func TestWindowShrinks(t *testing.T) {
	p := attacked(t, Config{}, synOptions(), 100_000)
	c := p.host.c
	p.attack(sg{flags: wire.ACK, seq: 1, ack: 1 + 1460, win: window(100)})
	next, before := c.rec.Next(), p.bill()
	for range 100 {
		p.attack(sg{flags: wire.ACK, seq: 1, ack: 1 + 1460, win: window(100)})
	}
	if c.rec.Next() != next {
		t.Errorf("new data from %d to %d in a window of 100", next, c.rec.Next())
	}
	if cost := p.bill().since(before); cost.bytes > uint64(next) {
		t.Errorf("it cost %+v with %d bytes sent before", cost, next)
	}
}

// Persist and keepalive timers do not add up: with the window shut and keepalive on, an hour is still a probe a minute of each.
func TestProbesDoNotAddUp(t *testing.T) {
	p := attacked(t, Config{}, synOptions(), 0)
	p.attack(sg{flags: wire.ACK, seq: 1, ack: 1, win: window(0)})
	p.s.Post(MessageFunc(func(*Shard) {
		p.host.c.SetKeepAlive(KeepAlive{Idle: time.Minute})
		p.host.c.Append(stream.Bytes(hostBytes(0, 10)))
	}))
	p.settle()
	before := p.bill()
	for end := p.now.Add(time.Hour); p.now < end; {
		p.now = max(p.s.Deadline(), p.now+1)
		said := p.bill().said
		p.settle()
		if p.bill().said > said { // the peer answers, and repeats each answer ten times
			for range 10 {
				p.attack(sg{flags: wire.ACK, seq: 1, ack: 1, win: window(0)})
			}
		}
	}
	if cost := p.bill().since(before); cost.said > 140 {
		t.Errorf("an hour cost %+v", cost)
	}
}
