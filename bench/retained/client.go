package main

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"ocaserve/ktls"
	"ocaserve/loadtest/compare"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/stream"
)

// A client asks, and discards what it gets.
type client struct {
	conn *tcpstack.Conn
	seal func([]byte) []byte // nil: plain HTTP
	got  int                 // bytes received, records and heads included
}

// join opens a connection, on a goroutine of its own; that it is open the clients' shard learns.
func (w *world) join(cl *client) error {
	ctx := context.Background()
	nc, err := w.client.Stack().DialFrom(ctx, netip.AddrPortFrom(clientAddr, 0), netip.AddrPortFrom(serverAddr, w.port()))
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	if w.mode != ktls.ModeOff {
		if cl.seal, err = compare.Handshake(ctx, nc); err != nil {
			return err
		}
	}
	nc.(*tcpstack.NetConn).Detach(func(c *tcpstack.Conn, _ []byte) {
		c.SetHandler(cl)
		cl.conn = c
	})
	return nil
}

// ask requests the file from byte `from` on.
func (cl *client) ask(from int) {
	req := fmt.Appendf(nil, "GET /%s HTTP/1.1\r\nHost: retained.test\r\nRange: bytes=%d-\r\n\r\n", fileName, from)
	if cl.seal != nil {
		req = cl.seal(req)
	}
	cl.conn.Append(stream.Bytes(req))
}

func (cl *client) Readable(c *tcpstack.Conn) {
	cl.got += c.Readable()
	c.Discard(c.Readable())
}

func (*client) Writable(*tcpstack.Conn)      {}
func (*client) Closed(*tcpstack.Conn, error) {}

// ask lets clients ask.
func (w *world) ask(who []*client, from int) {
	w.client.Post(tcpstack.MessageFunc(func(*tcpstack.Shard) {
		for _, cl := range who {
			cl.ask(from)
		}
	}))
}

// warm brings the file into the cache, by a client that has no other part: fills have goroutines, and take no time that
// counts.
func (w *world) warm() error {
	first := w.clients[:1]
	w.clients = w.clients[1:]
	w.ask(first, 0)
	for first[0].got < fileSize {
		if err := w.settle(w.now().Add(time.Millisecond)); err != nil {
			return err
		}
		runtime.Gosched()
	}
	return nil
}

// measure looks at n connections in mode: idle, and with all in flight.
func measure(mode ktls.Mode, n int, profile bool) (f figure, err error) {
	w, err := newWorld(mode)
	if err != nil {
		return f, err
	}
	defer w.close()
	if err := w.connect(n + 1); err != nil {
		return f, err
	}
	if err := w.warm(); err != nil {
		return f, err
	}
	w.ask(w.clients, 0)
	if err := w.finish(); err != nil {
		return f, err
	}
	f = figure{Mode: mode.String(), Conns: n}
	if profile {
		return f, w.account(&f)
	}
	idle, err := lookNow()
	if err != nil {
		return f, err
	}
	if err := w.fly(&f); err != nil {
		return f, err
	}
	busy, err := lookNow()
	f.Heap, f.HeapUsed, f.RSS = busy.heap-idle.heap, busy.inUse-idle.inUse, busy.rss-idle.rss
	return f, err
}

// account takes the account of objects.
func (w *world) account(f *figure) error {
	idle := accountNow()
	if err := w.fly(f); err != nil {
		return err
	}
	f.Account = accountNow()
	f.Account.Rest -= idle.Rest
	return nil
}

// fly brings the last MiB of the file into flight, on all connections, and checks that it is there.
func (w *world) fly(f *figure) error {
	before := w.server.Snapshot().BytesRetransmitted
	w.ask(w.clients, fileSize-inFlight)
	if err := w.settle(w.now().Add(roundTrip / 2)); err != nil { // requests are on their way
		return err
	}
	w.held.frozen = true
	if err := w.settle(w.now().Add(roundTrip * 2)); err != nil {
		return err
	}
	if again := w.server.Snapshot().BytesRetransmitted - before; again > 0 {
		return fmt.Errorf("%d bytes were sent twice", again)
	}
	w.server.Walk(tcpstack.WalkAll, len(w.clients)+1, func(c *tcpstack.Conn) {
		f.InFlight += c.InFlight()
		f.Queued += c.Queued()
	})
	if want := int64(len(w.clients)) * inFlight; f.InFlight < want || f.Queued != f.InFlight {
		return fmt.Errorf("%d bytes are in flight and %d queued, %d were to be", f.InFlight, f.Queued, want)
	}
	return nil
}
