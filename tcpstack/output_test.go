package tcpstack

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/stream"
)

// A narrow link takes so many bytes each millisecond, whole frames, and is full then.
type narrow struct {
	link.Device
	p     *pair
	rate  int // bytes per ms
	at    int64
	spent int
	full  int // times that it took less than asked
}

func (d *narrow) Transmit(frames []link.Frame) (int, error) {
	if ms := int64(d.p.now) / 1e6; ms > d.at {
		d.spent = max(0, d.spent-d.rate*int(ms-d.at))
		d.at = ms
	}
	n := 0
	for n < len(frames) && d.spent < d.rate {
		d.spent += frames[n].Len()
		n++
	}
	if n < len(frames) {
		d.full++
	}
	return d.Device.Transmit(frames[:n])
}

// source is a handler that always has more to send, a chunk at a time and no more than there is room for.
type source struct{ chunk []byte }

func (s source) Readable(*Conn) {}
func (s source) Writable(c *Conn) {
	for room := c.Room(); room > 0; room = c.Room() {
		c.Append(stream.Bytes(s.chunk[:min(room, int64(len(s.chunk)))]))
	}
}
func (s source) Closed(*Conn, error) {}

// fill opens one connection from a to b for each size of segment and lets b send on all of them, over a link
// that is always full, for the given time. It returns what each was acknowledged in it.
func fill(t *testing.T, p *pair, wire *narrow, segments []int, d time.Duration) (got []int64) {
	t.Helper()
	var conns []*Conn
	if _, err := p.b.stack.Listen(netip.AddrPortFrom(addrB, 80), ListenConfig{
		Accept: func(c *Conn) Handler {
			c.opt.peerMSS = segments[len(conns)]
			c.setMSS()
			conns = append(conns, c)
			c.raise(eventWritable)
			return source{make([]byte, 4000)}
		},
	}); err != nil {
		t.Fatal(err)
	}
	for i := range segments {
		flow := flowOf(netip.AddrPortFrom(addrA, uint16(40000+i)), netip.AddrPortFrom(addrB, 80))
		p.a.newConn(&flow, &drain{}).connect(p.now)
	}
	tick := func(d time.Duration) {
		for end := p.now.Add(d); p.now < end; {
			p.step(p.now.Add(time.Millisecond))
		}
	}
	tick(time.Second) // until the ring is what limits
	full := wire.full
	for _, c := range conns {
		got = append(got, -c.rec.Una())
	}
	tick(d)
	for i, c := range conns {
		got[i] += c.rec.Una()
	}
	if wire.full-full < 100 {
		t.Fatalf("the ring was full %d times: the test proves nothing", wire.full-full)
	}
	return got
}

// drain reads and forgets.
type drain struct{ got int64 }

func (s *drain) Readable(c *Conn) {
	s.got += int64(c.Readable())
	c.Discard(c.Readable())
}
func (s *drain) Writable(*Conn)      {}
func (s *drain) Closed(*Conn, error) {}

// Deficit round robin: connections with small segments, and those with large ones, get equal bytes out of a ring
// that is always full, with superframes and without.
func TestEqualShares(t *testing.T) {
	for _, tso := range []bool{true, false} {
		p := newPair(t, Config{Functions: FunctionsBase}) // not paced: only the ring decides
		p.delay = 100 * time.Microsecond
		wire := &narrow{Device: p.db, p: p, rate: 200_000}
		p.b.dev = wire
		caps := p.b.dev.Caps()
		if !tso {
			caps.TSO4, caps.TSO6 = false, false
		}
		p.b.batch.init(caps, &p.b.blocks)
		segments := []int{1460, 200, 536, 1000, 1460}
		got := fill(t, p, wire, segments, 400*time.Millisecond)
		least, most, sum := int64(math.MaxInt64), int64(0), int64(0)
		for i, n := range got {
			if !tso { // a frame is charged with its headers, be they one segment's or a superframe's
				n += n / int64(segments[i]-12) * headerCost
			}
			least, most, sum = min(least, n), max(most, n), sum+n
		}
		t.Logf("superframes %v: %d", tso, got)
		if most-least > 3*quantum { // one turn each may be under way, and in flight
			t.Errorf("superframes %v: between %d and %d bytes", tso, least, most)
		}
		if sum < 60_000_000 {
			t.Errorf("%d bytes of 80000000", sum)
		}
	}
}
