package tcpstack

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

var (
	addrA = netip.MustParseAddr("192.0.2.1")
	addrB = netip.MustParseAddr("192.0.2.2")
)

// pair is two stacks on a cable, driven by one goroutine on a virtual clock.
type pair struct {
	t      testing.TB
	now    mono.Time
	a, b   *Shard
	delay  time.Duration // between a transmission and its reception, both ways
	da, db *cable
}

// cable delays, and lets a test drop or change, what a shard sends.
type cable struct {
	link.Device
	p     *pair
	to    *cable
	queue []flying
	drop  func(f *link.Frame) bool
	next  func() mono.Time // when a device around the cable has something to do; nil: there is none
}

type flying struct {
	at   mono.Time
	data []byte
	gso  uint16
	csum link.Csum
	cs   [2]uint16
}

func (w *cable) Transmit(frames []link.Frame) (int, error) {
	for i := range frames {
		f := &frames[i]
		if w.drop != nil && w.drop(f) {
			continue
		}
		data := append([]byte(nil), f.Data...)
		for _, p := range f.Pieces {
			data = append(data, p...)
		}
		w.to.queue = append(w.to.queue, flying{
			at: w.p.now.Add(w.p.delay), data: data, gso: f.GSO, csum: f.Csum,
			cs: [2]uint16{f.CsumStart, f.CsumOffset},
		})
	}
	return len(frames), nil
}

func (w *cable) Receive(frames []link.Frame) (int, error) {
	n := 0
	for n < len(frames) && len(w.queue) > 0 && w.queue[0].at <= w.p.now {
		f := w.queue[0]
		w.queue = w.queue[1:]
		frames[n] = link.Frame{
			Data: f.data, Time: w.p.now, GSO: f.gso, Csum: f.csum, CsumStart: f.cs[0], CsumOffset: f.cs[1],
		}
		n++
	}
	return n, nil
}

func (w *cable) deadline() mono.Time {
	at := mono.Never
	if w.next != nil {
		at = w.next()
	}
	if len(w.queue) > 0 {
		at = min(at, w.queue[0].at)
	}
	return at
}

func newPair(t testing.TB, cfg Config) *pair {
	t.Helper()
	p := &pair{t: t, now: mono.Time(time.Hour), delay: 10 * time.Millisecond}
	ia, ib := memory.New(memory.Config{TSO: true, Clock: func() mono.Time { return p.now }})
	p.da = &cable{Device: ia.Queues()[0], p: p}
	p.db = &cable{Device: ib.Queues()[0], p: p}
	p.da.to, p.db.to = p.db, p.da
	cfg.Clock = func() mono.Time { return p.now }
	p.a = p.shard(cfg, addrA, p.da)
	p.b = p.shard(cfg, addrB, p.db)
	return p
}

func (p *pair) shard(cfg Config, addr netip.Addr, d link.Device) *Shard {
	cfg.Addrs = []netip.Addr{addr}
	st, err := New(cfg, []link.Device{d})
	if err != nil {
		p.t.Fatal(err)
	}
	return st.shards[0]
}

// step runs both shards until they are idle, then moves the clock to the next thing that happens; false:
// nothing will, before the limit.
func (p *pair) step(limit mono.Time) bool {
	for {
		busyA, errA := p.a.Step(p.now)
		busyB, errB := p.b.Step(p.now)
		if errA != nil || errB != nil {
			p.t.Fatal(errA, errB)
		}
		if !busyA && !busyB {
			break
		}
	}
	next := min(p.a.Deadline(), p.b.Deadline(), p.da.deadline(), p.db.deadline())
	if next > limit {
		p.now = limit
		return false
	}
	p.now = max(next, p.now)
	return true
}

// run lets d pass, or stops as soon as done reports true.
func (p *pair) run(d time.Duration, done func() bool) bool {
	limit := p.now.Add(d)
	for p.step(limit) {
		if done != nil && done() {
			return true
		}
	}
	return done != nil && done()
}

// app is a handler that collects what it reads and sends what it is given.
type app struct {
	c      *Conn
	got    bytes.Buffer
	send   []byte
	chunk  int
	close  bool // after everything is sent
	pause  bool // do not read
	closed bool
	err    error
	eof    bool
}

func (a *app) Readable(c *Conn) {
	var buf [9000]byte
	for !a.pause {
		n := c.Read(buf[:])
		if n == 0 {
			break
		}
		a.got.Write(buf[:n])
	}
	a.eof = c.EOF()
}

func (a *app) Writable(c *Conn) {
	for len(a.send) > 0 && c.Room() > 0 {
		n := min(len(a.send), max(a.chunk, 1))
		c.Append(stream.Bytes(a.send[:n]))
		a.send = a.send[n:]
	}
	if len(a.send) == 0 && a.close {
		c.CloseWrite()
	}
}

func (a *app) Closed(_ *Conn, err error) { a.closed, a.err = true, err }

// connect opens a connection from a to a listener on b.
func (p *pair) connect() (client, server *app) {
	p.t.Helper()
	client, server = &app{chunk: 5000}, &app{chunk: 5000}
	if _, err := p.b.stack.Listen(netip.AddrPortFrom(addrB, 80), ListenConfig{
		Accept: func(c *Conn) Handler { server.c = c; return server },
	}); err != nil {
		p.t.Fatal(err)
	}
	flow := flowOf(netip.AddrPortFrom(addrA, 40000), netip.AddrPortFrom(addrB, 80))
	c := p.a.newConn(&flow, client)
	client.c = c
	c.connect(p.now)
	if !p.run(10*time.Second, func() bool { return server.c != nil }) {
		p.t.Fatal("no connection")
	}
	return client, server
}

func pattern(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestTransferBothWays(t *testing.T) {
	p := newPair(t, Config{})
	client, server := p.connect()
	up, down := pattern(300_000, 1), pattern(5_000_000, 2)
	client.send, server.send, client.close, server.close = up, down, true, true
	client.Writable(client.c)
	server.Writable(server.c)
	if !p.run(30*time.Second, func() bool { return client.eof && server.eof }) {
		t.Fatalf("transfer did not end: %v %v", client.c.State(), server.c.State())
	}
	if !bytes.Equal(server.got.Bytes(), up) || !bytes.Equal(client.got.Bytes(), down) {
		t.Fatal("wrong bytes")
	}
	if p.a.stats.Timeouts+p.b.stats.Timeouts > 0 || p.b.stats.BytesRetransmitted > 0 {
		t.Errorf("retransmissions on a clean path: %+v", p.b.stats)
	}
	p.run(3*time.Minute, nil)
	if len(p.a.flows)+len(p.b.flows) != 0 {
		t.Errorf("connections left: %d, %d", len(p.a.flows), len(p.b.flows))
	}
	if !client.closed || !server.closed || client.err != nil || server.err != nil {
		t.Errorf("closed: %v %v, %v %v", client.closed, client.err, server.closed, server.err)
	}
}
