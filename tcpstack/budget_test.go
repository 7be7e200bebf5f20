package tcpstack

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/netsim"
	"ocaserve/tcpstack/stream"
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

var zeroes [16 << 10]byte

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
		Accept: func(c *Conn) Handler { c.raise(eventWritable); return source{zeroes[:]} },
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
	if s.most > budget+int64(len(zeroes))+connCharge {
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
