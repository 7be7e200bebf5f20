package tcpstack

import (
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/netsim"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

// A stalled client opens its connection and never reads.
type stalled struct{ err error }

func (*stalled) Readable(*Conn)            {}
func (*stalled) Writable(*Conn)            {}
func (s *stalled) Closed(_ *Conn, e error) { s.err = e }

// A siege is a server with clients that read on one host and clients that do not on another, behind one
// bottleneck.
type siege struct {
	*world
	server, fast, slow *Shard
	readers            []*drain
	stalled            []*stalled
	most               int64 // the server's memory, at the most
}

// A fresh source is like a source, of bytes made for the purpose: what it queues is on the heap.
type fresh struct{}

func (fresh) Readable(*Conn) {}
func (fresh) Writable(c *Conn) {
	for room := c.Room(); room > 0; room = c.Room() {
		c.Append(stream.Bytes(make([]byte, min(room, freshMost))))
	}
}
func (fresh) Closed(*Conn, error) {}

const freshMost = 16 << 10

func newSiege(t testing.TB, rate pacing.Rate, budget int64) *siege {
	s := &siege{world: &world{t: t, net: netsim.New(1)}}
	bell := s.net.Dumbbell(netsim.DumbbellConfig{
		Pairs: 2, RTT: 20 * time.Millisecond, Rate: rate, BDPs: 4, Sender: netsim.DeviceConfig{TSO: true},
	})
	clock := s.net.Now
	s.server = s.host(Config{Clock: clock, MemoryBudget: budget}, netsim.SenderAddr(0), bell.Senders[0])
	s.fast = s.host(Config{Clock: clock}, netsim.ReceiverAddr(0), bell.Receivers[0])
	s.slow = s.host(Config{Clock: clock, ReceiveBuffer: 4096}, netsim.ReceiverAddr(1), bell.Receivers[1])
	if _, err := s.server.stack.Listen(netip.AddrPortFrom(netsim.SenderAddr(0), 80), ListenConfig{
		Accept: func(c *Conn) Handler { c.raise(eventWritable); return fresh{} },
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// open dials from one of the two hosts.
func (s *siege) open(from *Shard, addr netip.Addr, port int, h Handler) {
	flow := flowOf(netip.AddrPortFrom(addr, uint16(port)), netip.AddrPortFrom(netsim.SenderAddr(0), 80))
	from.Post(MessageFunc(func(s *Shard) { s.newConn(&flow, h).connect(s.now) }))
}

func (s *siege) openFast(n int) {
	for range n {
		d := &drain{}
		s.readers = append(s.readers, d)
		s.open(s.fast, netsim.ReceiverAddr(0), 1000+len(s.readers), d)
	}
}

// openSlow opens n connections of clients that do not read, in batches that the SYN cache holds.
func (s *siege) openSlow(n int) {
	for i := range n {
		c := &stalled{}
		s.stalled = append(s.stalled, c)
		s.open(s.slow, netsim.ReceiverAddr(1), 1000+len(s.stalled), c)
		if i%500 == 499 {
			s.pass(100 * time.Millisecond)
		}
	}
}

// pass lets time go by and watches the server's memory.
func (s *siege) pass(d time.Duration) {
	s.run(d, nil)
	s.most = max(s.most, s.server.memoryUsed())
}

// goodput is what each reader gets in d.
func (s *siege) goodput(d time.Duration) (each []int64) {
	for _, r := range s.readers {
		each = append(each, -r.got)
	}
	for end := s.net.Now().Add(d); s.net.Now() < end; {
		s.pass(10 * time.Millisecond)
	}
	for i, r := range s.readers {
		each[i] += r.got
	}
	return each
}

// TestSlowReaders: ten thousand clients that open a connection, ask for more than they take, and shut their
// windows, do not take the server beyond its budget, nor anything from those who read: these get what they get
// without them, within 5 %.
func TestSlowReaders(t *testing.T) {
	if raceDetector {
		t.Skip("a long simulation in one goroutine")
	}
	const (
		slow   = 10_000
		rate   = 12_500_000
		budget = 128 << 20
	)
	run := func(slow int) []int64 {
		before := heap()
		s := newSiege(t, rate, budget)
		s.openSlow(slow)
		s.pass(5 * time.Second)
		s.openFast(4)
		s.pass(2 * time.Second)
		got := s.goodput(3 * time.Second)
		st := s.server.Snapshot()
		t.Logf("%d slow readers: %d open, %v bytes to the fast ones, memory up to %d MB, now %d, %d pressures, %d aborted, RTOs %d",
			slow, len(s.server.flows), got, s.most>>20, st.MemoryUsed>>20, st.MemoryPressures, st.AbortOnMemory, st.Timeouts)
		if s.most > budget {
			t.Errorf("the memory held rose to %d, the budget is %d", s.most, budget)
		}
		if len(s.server.flows) != slow+4 || st.AbortOnMemory > 0 {
			t.Errorf("%d connections of %d are left, %d aborted", len(s.server.flows), slow+4, st.AbortOnMemory)
		}
		if slow > 0 && st.MemoryPressures == 0 {
			t.Error("no pressure: the test proves nothing")
		}
		// The account is true: the heap holds that much and, but for what every stack has, hardly more.
		grown, account := heap()-before, s.server.memoryUsed()+s.slow.memoryUsed()+s.fast.memoryUsed()
		t.Logf("the heap grew by %d KB, in the accounts are %d KB", grown>>10, account>>10)
		if grown > account*11/10+(8<<20) {
			t.Errorf("the heap grew by %d bytes, in the accounts are %d", grown, account)
		}
		runtime.KeepAlive(s)
		return got
	}
	sum := func(each []int64) (n int64) {
		for _, v := range each {
			n += v
		}
		return n
	}
	if alone, beside := sum(run(0)), sum(run(slow)); beside < alone*95/100 {
		t.Errorf("%d bytes to those who read, %d without the slow ones", beside, alone)
	}
}

// TestMemoryWall fills the budget with clients that hold a shut window forever (sockstress): new connections are
// refused, then those shut for longest are reset, and a client that reads goes on all the time.
func TestMemoryWall(t *testing.T) {
	const budget = 8 << 20
	s := newSiege(t, 12_500_000, budget)
	s.openFast(1)
	s.pass(time.Second)
	got := s.goodput(time.Second)[0]
	s.openSlow(4000)
	s.pass(3 * time.Second)
	st := s.server.Snapshot()
	if st.ListenOverflows == 0 {
		t.Error("at the limit nobody was refused")
	}
	under := s.goodput(8 * time.Second)[0] / 8
	s.pass(20 * time.Second)
	st = s.server.Snapshot()
	reset := 0
	for _, c := range s.stalled {
		if errors.Is(c.err, ErrReset) {
			reset++
		}
	}
	t.Logf("%d open, %d refused, %d aborted, %d reset, memory up to %d KB; %d bytes/s, under siege %d",
		len(s.server.flows), st.ListenOverflows, st.AbortOnMemory, reset, s.most>>10, got, under)
	if st.AbortOnMemory == 0 || reset == 0 {
		t.Error("nobody was reset")
	}
	if s.most > budget+freshMost+connCharge {
		t.Errorf("the memory held rose to %d, the budget is %d", s.most, budget)
	}
	if under < got*95/100 {
		t.Errorf("%d bytes/s under siege, %d before", under, got)
	}
}

// A pin on a page of a cache counts for an eighth, and a record for all of it.
func TestCharges(t *testing.T) {
	p := opened(t)
	p.send(sg{flags: fA, seq: 1, ack: 1, win: window(0)})
	const ring = 8 * 24
	before := p.s.memoryUsed()
	p.do(func(c *Conn) { c.Append(stream.Piece{Data: make([]byte, 4096), Ref: noRef{}}) })
	if n := p.s.memoryUsed() - before; n != 512+ring {
		t.Errorf("a pinned page costs %d", n)
	}
	p.do(func(c *Conn) { c.Append(stream.Bytes(make([]byte, 1000))) })
	if n := p.s.memoryUsed() - before; n != 512+1000+ring {
		t.Errorf("a pinned page and 1000 bytes cost %d", n)
	}
	p.do(func(c *Conn) { c.Abort() })
	p.skip()
	if n := p.s.memoryUsed(); n != 0 {
		t.Errorf("%d bytes are charged to nobody", n)
	}
}

type noRef struct{}

func (noRef) Retain()  {}
func (noRef) Release() {}

// full returns a peer whose stack has nothing left of its budget, but for what less says: one connection, whose
// peer has shut its window, holds it all.
func full(t *testing.T, less int) (p *peer, hog *Conn) {
	p = newPeer(t, Config{MemoryBudget: 1 << 20})
	p.open(synOptions())
	p.send(sg{flags: fA, seq: 1, ack: 1, win: window(0)})
	hog = p.host.c
	p.do(func(c *Conn) { c.Append(stream.Bytes(make([]byte, 1<<20-less))) })
	return p, hog
}

// another opens one more connection from the peer, past the limit if need be.
func (p *peer) another() *host {
	p.t.Helper()
	p.skip()
	p.flow.RemotePort++
	p.host = &host{pause: true}
	budget := p.s.mem.budget
	p.s.mem.budget *= 2
	p.connect(synOptions())
	p.s.mem.budget = budget
	return p.host
}

// Who finds the budget spent waits in line. When memory is free again they are told in order, few in a turn.
func TestMemoryLine(t *testing.T) {
	p, hog := full(t, 0)
	var line []*host
	for range 10 {
		line = append(line, p.another())
	}
	for _, h := range line {
		if n := h.c.Room(); n != 0 {
			t.Fatalf("room for %d bytes at the wall", n)
		}
		h.writable = 0
	}
	told := func() (n int) {
		for i, h := range line {
			if h.writable == 0 {
				break
			}
			if n = i + 1; h.writable > 1 {
				t.Fatalf("connection %d was told %d times", i, h.writable)
			}
		}
		return n
	}
	p.settle()
	if n := told(); n != 0 {
		t.Fatalf("%d were told of memory that is not there", n)
	}
	hog.Abort()
	for _, want := range []int{4, 8, 10} {
		busy, _ := p.s.Step(p.now)
		if n := told(); n != want || !busy {
			t.Errorf("%d were told, want %d; busy %v", n, want, busy)
		}
	}
	if line[0].c.Room() == 0 {
		t.Error("no room")
	}
	p.skip()
}

// Near the limit out-of-order data is refused and data in order is taken; at the limit that is taken only while
// the application keeps up. All is acknowledged, so that the peer knows.
func TestTextAtTheLimit(t *testing.T) {
	p, _ := full(t, 60<<10)
	h := p.another()
	p.send(sg{flags: fA, seq: 2001, ack: 1, n: 1000})
	p.want(sg{flags: fA, seq: 1, ack: 1})
	if h.c.in.Holes() != 0 || p.s.stats.OFODrop != 1 {
		t.Errorf("%d holes, %d refused", h.c.in.Holes(), p.s.stats.OFODrop)
	}
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 1000})
	p.want(sg{flags: fA, seq: 1, ack: 1001})
	h.c.Append(stream.Bytes(make([]byte, 60<<10)))
	p.settle()
	p.skip()
	p.send(sg{flags: fA, seq: 1001, ack: 1, n: 1000})
	p.skip()
	if h.c.in.Readable() != 1000 || p.s.stats.RcvQDrop != 1 {
		t.Errorf("%d readable, %d refused", h.c.in.Readable(), p.s.stats.RcvQDrop)
	}
	p.do(func(c *Conn) { c.Discard(1000) })
	p.skip()
	p.send(sg{flags: fA, seq: 1001, ack: 1, n: 1000})
	p.skip()
	if h.c.in.Readable() != 1000 {
		t.Error("data in order was refused although nothing is unread")
	}
}

// Near the limit who has been stalled for long is reset: one that nobody owns first, then the oldest; and no more
// than need be.
func TestEviction(t *testing.T) {
	p, oldest := full(t, 400<<10)
	open := p.another()
	p.advance(time.Second)
	p.skip()
	orphan := p.another()
	p.send(sg{flags: fA, seq: 1, ack: 1, win: window(0)})
	orphan.c.Append(stream.Bytes(make([]byte, 200<<10)))
	orphan.c.Close()
	p.advance(20 * time.Second)
	p.skip()
	want := func(n uint64, orphanGone, oldestGone bool) {
		t.Helper()
		p.settle()
		p.skip()
		if n != p.s.stats.AbortOnMemory || orphan.c.gone != orphanGone || oldest.gone != oldestGone || open.c.gone {
			t.Errorf("%d aborted, want %d; the orphan gone %v, the oldest %v, the open one %v", p.s.stats.AbortOnMemory, n,
				orphan.c.gone, oldest.gone, open.c.gone)
		}
	}
	want(0, false, false)
	open.c.Append(stream.Bytes(make([]byte, 150<<10)))
	want(1, true, false)
	open.c.Append(stream.Bytes(make([]byte, 200<<10)))
	want(2, true, true)
	if orphan.err != ErrNoMemory {
		t.Errorf("the orphan ended with %v", orphan.err)
	}
}

// However short memory is, a pause of some seconds costs nobody the connection.
func TestEvictionWaits(t *testing.T) {
	p, hog := full(t, 50<<10)
	p.advance(evictAfter - time.Second)
	if p.skip(); hog.gone {
		t.Error("too early")
	}
	p.advance(2 * time.Second)
	p.s.Step(p.now)
	if p.skip(); !hog.gone {
		t.Error("never")
	}
}

// Under pressure the send path still allocates nothing.
func TestNoAllocationsUnderPressure(t *testing.T) {
	p := newPair(t, Config{MemoryBudget: 1 << 20})
	p.delay = 0
	direct(p)
	client, server := p.connect()
	client.pause = true
	hog := p.b.newConn(&wire.Flow{LocalPort: 1}, nil)
	hog.bookQueued(stream.Bytes(make([]byte, 700<<10)))
	hog.queue.Append(stream.Bytes(make([]byte, 700<<10)))
	var span stream.Span = stream.Bytes(make([]byte, 4<<10))
	sent := 0
	turn := func() {
		for range 40 {
			for server.c.Room() > 0 {
				server.c.Append(span)
				sent += span.Len()
			}
			p.b.Step(p.now)
			p.a.Step(p.now)
			client.c.Discard(client.c.Readable())
		}
		p.now += 1e6
	}
	for range 100 {
		turn()
	}
	sent = 0
	if n := testing.AllocsPerRun(200, turn); n != 0 {
		t.Errorf("%v allocations in a turn", n)
	}
	if !p.b.mem.pressed || sent < 10<<20 {
		t.Errorf("pressed %v, %d bytes sent: the measurement is void", p.b.mem.pressed, sent)
	}
}

// A peer that acknowledges nothing any more is as stalled as one with a shut window, until it acknowledges something.
func TestEvictionOfTheSilent(t *testing.T) {
	p := newPeer(t, Config{MemoryBudget: 1 << 20})
	p.open(synOptions())
	silent := p.host.c
	p.do(func(c *Conn) { c.Append(stream.Bytes(make([]byte, 1000<<10))) })
	p.skip()
	p.advance(evictAfter / 2)
	if p.skip(); p.s.mem.stalled.head != silent {
		t.Fatal("silent through time-outs, and not on the list")
	}
	p.send(sg{flags: fA, seq: 1, ack: 1461})
	if p.skip(); p.s.mem.stalled.head != nil {
		t.Fatal("on the list, although it acknowledges")
	}
	p.advance(evictAfter + 20*time.Second)
	p.s.Step(p.now)
	if p.skip(); !silent.gone || p.s.stats.AbortOnMemory != 1 {
		t.Errorf("gone %v, %d aborted", silent.gone, p.s.stats.AbortOnMemory)
	}
}
