package tcpstack

import (
	"fmt"
	"testing"
	"unsafe"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

// The attacks in the hostile_*_test.go files each have a bound: how many segments and bytes the attacker gets out of us
// for what it puts in, and how much memory it makes us hold. Both are counted, never timed. What no rule of TCP
// prevents is said where it is tested.

// A bill is what the stack has spent so far; the difference of two is what an attack has cost.
type bill struct {
	heard, said uint64 // segments
	bytes       uint64 // payload sent, retransmissions included
	resent      uint64
}

func (p *peer) bill() bill {
	st := &p.s.stats
	return bill{heard: st.SegmentsReceived, said: st.SegmentsSent, bytes: st.BytesSent, resent: st.BytesRetransmitted}
}

func (b bill) since(a bill) bill {
	return bill{b.heard - a.heard, b.said - a.said, b.bytes - a.bytes, b.resent - a.resent}
}

// burstSize is what one entry of the scoreboard takes: an offset, a time, two small fields.
const burstSize = 32

// footprint is the memory one connection makes us hold, in bytes: itself, what it has received, its scoreboard and the
// ring of its send queue. What the application has queued is the application's.
func footprint(c *Conn) int {
	return int(unsafe.Sizeof(*c)) + c.in.Charged() + c.rec.Entries()*2*burstSize + c.queue.Spans()*64
}

// attack puts a segment on the ring and lets the stack react; what comes back is counted, not looked at.
func (p *peer) attack(g sg) {
	p.t.Helper()
	p.put(g)
	p.settle()
	p.dev.out = p.dev.out[:0]
	if c := p.host.c; c != nil && !c.gone {
		if err := checkInvariants(c); err != nil {
			p.t.Fatalf("after %v: %v", g, err)
		}
	}
}

// attacked is an established connection that sends n bytes and fills the peer's window with them.
func attacked(t *testing.T, cfg Config, o wire.Options, n int) *peer {
	t.Helper()
	p := newPeer(t, cfg)
	p.quiet = true
	p.open(o)
	if n > 0 {
		p.s.Post(MessageFunc(func(*Shard) { p.host.c.Append(stream.Bytes(hostBytes(0, n))) }))
		p.settle()
		p.skip()
	}
	return p
}

// grow acknowledges what is in flight, as an honest receiver does, until the window lets n bytes fly.
func (p *peer) grow(n int64) {
	p.t.Helper()
	c := p.host.c
	for range 100 {
		if c.rec.Flight() >= n {
			return
		}
		p.now = p.now.Add(10_000_000)
		p.put(sg{flags: wire.ACK, seq: 1, ack: 1 + c.rec.Next()})
		p.settle()
		p.skip()
	}
	p.t.Fatalf("only %d bytes in flight", c.rec.Flight())
}

// checkInvariants is what holds between any two segments, whatever the peer says.
func checkInvariants(c *Conn) error {
	una, next, end := c.rec.Una(), c.rec.Next(), c.queue.End()
	switch {
	case una > next, next > end+1, next == end+1 && !c.snd.finSent:
		return fmt.Errorf("SND.UNA %d, SND.NXT %d, queued to %d", una, next, end)
	case c.queue.Start() != min(una, end):
		return fmt.Errorf("bytes from %d are kept, %d are acknowledged", c.queue.Start(), una)
	case c.rec.Flight() > c.snd.maxWnd+1:
		return fmt.Errorf("%d bytes in flight, the peer never offered more than %d", c.rec.Flight(), c.snd.maxWnd)
	case c.rec.Pipe() < 0 || c.rec.Pipe() > 2*c.rec.Flight():
		return fmt.Errorf("pipe %d of %d in flight", c.rec.Pipe(), c.rec.Flight())
	case c.cc != nil && (c.cc.Window() < int64(c.snd.mss) || c.cc.Window() > 1<<40):
		return fmt.Errorf("a congestion window of %d", c.cc.Window())
	case c.snd.mss < minMSS:
		return fmt.Errorf("an MSS of %d", c.snd.mss)
	case int64(c.rec.Entries()) > 80+c.snd.maxWnd/int64(c.snd.mss)+int64(c.queue.Spans()): // small writes are small segments
		return fmt.Errorf("%d entries on the scoreboard for %d bytes in flight", c.rec.Entries(), c.rec.Flight())
	}
	return checkReceiver(c)
}

func checkReceiver(c *Conn) error {
	limit := c.rcv.limit + 2*stream.BlockSize
	switch {
	case c.in.Next() > c.rcv.edge:
		return fmt.Errorf("received up to %d, announced %d", c.in.Next(), c.rcv.edge)
	case c.in.Holes() > stream.DefaultMaxHoles:
		return fmt.Errorf("%d ranges out of order", c.in.Holes())
	case c.in.Charged() > limit+limit/64+8192:
		return fmt.Errorf("%d bytes held by a receive buffer of %d", c.in.Charged(), c.rcv.limit)
	case c.rcv.limit > c.shard.stack.cfg.MaxReceiveBuffer:
		return fmt.Errorf("the receive buffer grew to %d", c.rcv.limit)
	}
	return checkProgress(c)
}

// checkProgress is that nothing waits for ever: what is in flight, or could be sent, has a timer, or its turn is near.
func checkProgress(c *Conn) error {
	if c.pending || c.gone || !c.state.synchronized() || c.state == StateTimeWait {
		return nil
	}
	if c.rec.Flight() > 0 && !c.timers[timerRetransmit].IsSet() {
		return fmt.Errorf("%d bytes in flight and no retransmission timer", c.rec.Flight())
	}
	if c.unsentWithFin() > 0 && c.deadline() == mono.Never {
		return fmt.Errorf("%d bytes to send and no timer", c.unsentWithFin())
	}
	if at := c.deadline(); at != mono.Never && (!c.timer.Armed() || c.timer.At() > at) {
		return fmt.Errorf("a timer at %v and the wheel does not know", at)
	}
	return nil
}
