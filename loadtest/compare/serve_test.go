package compare

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"ocaserve/ktls"
	"ocaserve/nicoffload"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// A carousel is an origin, its adapter and its clients, which one goroutine turns one after the other. So the time of the
// host's part can be told from that of the others to a few percent, on a machine that runs other things too; nobody sleeps
// and nobody is woken, which is what compare measures beside it.
type carousel struct {
	b               *testing.B
	server, clients *tcpstack.Shard
	nic             *nicoffload.Interface
	taken           uint64 // bytes that the clients received
	host            time.Duration
}

const carouselFile = 4 << 20

// newCarousel makes one with so many connections, which have shaken hands and asked for something. The server is that of a
// measurement.
func newCarousel(b *testing.B, mode ktls.Mode, conns int) *carousel {
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	opts := &Options{Size: carouselFile, NIC: nicoffload.Config{Manual: true, RxInterval: -1}}
	check(opts.setDefaults())
	s, err := newStage(opts)
	check(err)
	b.Cleanup(s.close)
	w := &world{stage: s, mode: mode, addr: serverAddr}
	b.Cleanup(w.close)
	near, far := memory.New(memory.Config{TSO: true, RingBytes: 4 << 20, RingFrames: 4096})
	w.nic, err = nicoffload.New(near, opts.NIC)
	check(err)
	w.closers = append(w.closers, w.nic.Close, far.Close)
	w.server, err = newStack(serverAddr, 16<<10, w.nic)
	check(err)
	w.clients, err = newStack(clientAddr, window(conns, 0), far)
	check(err)
	check(w.serve())
	c := &carousel{b: b, server: w.server.Shards()[0], clients: w.clients.Shards()[0], nic: w.nic}
	var joined atomic.Int64
	go func() {
		for i := range conns {
			if err := c.join(w, int64(i)*carouselFile/int64(conns)); err != nil {
				b.Error(err)
				return
			}
			joined.Add(1)
		}
	}()
	for joined.Load() < int64(conns) && !b.Failed() {
		c.turn()
	}
	for c.taken < 256<<20 && !b.Failed() { // until all are in full flow
		c.turn()
	}
	return c
}

// join opens one connection and asks for the file from a byte on.
func (c *carousel) join(w *world, from int64) error {
	nc, err := w.open(context.Background())
	if err != nil {
		return err
	}
	r := &rider{c: c}
	if w.mode != ktls.ModeOff {
		if r.seal, err = Handshake(context.Background(), nc); err != nil {
			return err
		}
	}
	nc.(*tcpstack.NetConn).Detach(func(c *tcpstack.Conn, _ []byte) {
		c.SetHandler(r)
		r.ask(c, from)
	})
	return nil
}

// turn lets the host take a turn, and then the others.
func (c *carousel) turn() {
	begun := mono.Now()
	_, err := c.server.Step(begun)
	c.host += mono.Now().Sub(begun)
	for busy := true; busy && err == nil; {
		busy, err = c.nic.Turn(0)
	}
	if err == nil {
		_, err = c.clients.Step(mono.Now())
	}
	if err != nil {
		c.b.Fatal(err)
	}
}

// hostCost is the time of the host's part, ms per GB that arrived.
func (c *carousel) hostCost() float64 { return c.host.Seconds() * 1e3 / (float64(c.taken) / 1e9) }

// A rider asks for the file again and again, and looks at no byte of it.
type rider struct {
	c    *carousel
	seal func([]byte) []byte // nil: plain HTTP
	left int64               // bytes after which it asks again; heads and records make that early by a little
}

func (r *rider) ask(c *tcpstack.Conn, from int64) {
	req := fmt.Appendf(nil, "GET /%s HTTP/1.1\r\nHost: %s\r\nRange: bytes=%d-\r\n\r\n", fileName, hostName, from)
	if r.seal != nil {
		req = r.seal(req)
	}
	r.left += carouselFile - from
	c.Append(stream.Bytes(req))
}

// Readable implements tcpstack.Handler.
func (r *rider) Readable(c *tcpstack.Conn) {
	for b := c.Peek(); len(b) > 0; b = c.Peek() {
		r.c.taken += uint64(len(b))
		r.left -= int64(len(b))
		c.Discard(len(b))
	}
	if r.left <= 0 {
		r.ask(c, 0)
	}
}

// Writable implements tcpstack.Handler.
func (*rider) Writable(*tcpstack.Conn) {}

// Closed implements tcpstack.Handler.
func (*rider) Closed(*tcpstack.Conn, error) {}

// What serving costs the host, the adapter and the clients not counted, without TLS and with records that the adapter
// seals.
func BenchmarkServe(b *testing.B) {
	for _, conns := range []int{1, 16, 64, 256, 1024} {
		b.Run(fmt.Sprint(conns), func(b *testing.B) {
			const lap = 16 << 20 // bytes; short, so that what else the machine does meets both
			pair := [...]*carousel{newCarousel(b, ktls.ModeOff, conns), newCarousel(b, ktls.ModeNIC, conns)}
			for _, c := range pair {
				c.taken, c.host = 0, 0
			}
			for b.Loop() {
				for _, c := range pair {
					for end := c.taken + lap; c.taken < end; {
						c.turn()
					}
				}
			}
			off, nic := pair[0].hostCost(), pair[1].hostCost()
			b.ReportMetric(off, "off-ms/GB")
			b.ReportMetric(nic, "nic-ms/GB")
			b.ReportMetric(nic/off, "nic/off")
		})
	}
}
