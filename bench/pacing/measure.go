package main

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"ocaserve/ktls"
	"ocaserve/pacing"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// A figure is one measurement of the server's shard.
type figure struct {
	bytes, frames, acks, waits uint64
	cpu, wall                  time.Duration
}

// cost is CPU seconds per GB.
func (f figure) cost() float64 { return f.cpu.Seconds() * 1e9 / float64(max(f.bytes, 1)) }

func (f figure) minus(g figure) figure {
	return figure{f.bytes - g.bytes, f.frames - g.frames, f.acks - g.acks, f.waits - g.waits, f.cpu - g.cpu, f.wall - g.wall}
}

// median measures a cell several times.
func median(all []figure) figure {
	slices.SortFunc(all, func(a, b figure) int { return int(1e6 * (a.cost() - b.cost())) })
	return all[len(all)/2]
}

// counted counts the sleeps of a shard.
type counted struct {
	link.Device
	waits atomic.Uint64
}

func (c *counted) Wait(until mono.Time) error {
	c.waits.Add(1)
	return c.Device.Wait(until)
}

// measure runs one cell.
func measure(c cell, length time.Duration) (f figure, err error) {
	a, b := memory.New(memory.Config{TSO: true, RingBytes: 8 << 20, RingFrames: 4096})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	dev := &counted{Device: a.Queues()[0]}
	from, err := tcpstack.New(c.config(), []link.Device{dev})
	if err != nil {
		return f, err
	}
	if _, err := from.Listen(netip.AddrPortFrom(server, 80), tcpstack.ListenConfig{Accept: c.accept()}); err != nil {
		return f, err
	}
	ended := make(chan error, 2)
	go func() { ended <- from.Run(ctx) }()
	ready, err := c.clients(ctx, b.Queues(), ended)
	if err != nil {
		return f, err
	}
	<-ready
	time.Sleep(2 * time.Second) // to run in
	start := snapshot(from, dev)
	time.Sleep(length)
	end := snapshot(from, dev)
	stop()
	<-ended
	<-ended
	return end.minus(start), nil
}

// config is the server's stack.
func (c *cell) config() tcpstack.Config {
	cfg := tcpstack.Config{Addrs: []netip.Addr{server}, Functions: c.stack, PaceBurst: c.burst}
	if c.paced {
		cfg.MaxPacingRate = c.rate
	}
	return cfg
}

// clients starts what is beyond the cable; the channel is closed when all of them have asked for data.
func (c *cell) clients(ctx context.Context, queues []link.Device, ended chan<- error) (<-chan struct{}, error) {
	if c.rate > 0 {
		f := newFar(queues[0], c.conns, c.rate)
		go func() { ended <- f.run(ctx) }()
		return f.done, nil
	}
	to, err := tcpstack.New(tcpstack.Config{Addrs: []netip.Addr{client}, ReceiveBuffer: 256 << 10, MaxReceiveBuffer: 256 << 10}, queues)
	if err != nil {
		return nil, err
	}
	go func() { ended <- to.Run(ctx) }()
	ready := make(chan struct{})
	close(ready)
	return ready, dial(to, c.conns)
}

// dial opens the connections, a few at a time.
func dial(st *tcpstack.Stack, n int) error {
	failed := make(chan error, n)
	for i := range n {
		local := netip.AddrPortFrom(client, uint16(firstPort+i))
		st.Shards()[0].Post(tcpstack.MessageFunc(func(s *tcpstack.Shard) {
			_, err := s.Dial(local, netip.AddrPortFrom(server, 80), sink{})
			failed <- err
		}))
		if err := <-failed; err != nil {
			return err
		}
		if i%100 == 99 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

// snapshot asks the server's shard, on its own thread.
func snapshot(st *tcpstack.Stack, dev *counted) figure {
	got := make(chan figure)
	st.Shards()[0].Post(tcpstack.MessageFunc(func(s *tcpstack.Shard) {
		const thread = 1 // RUSAGE_THREAD
		var u syscall.Rusage
		syscall.Getrusage(thread, &u) //nolint:errcheck // fails for wrong arguments only
		v := s.Snapshot()
		got <- figure{v.BytesSent, v.FramesSent, v.SegmentsReceived, dev.waits.Load(),
			time.Duration(u.Utime.Nano() + u.Stime.Nano()), time.Duration(s.Now())}
	}))
	return <-got
}

// content is what is sent, over and over: small enough to stay in the cache, so that what is measured is the stack.
var content = make([]byte, 64<<10)

// accept makes the handler of each connection.
func (c *cell) accept() func(*tcpstack.Conn) tcpstack.Handler {
	if !c.tls {
		span := stream.Bytes(content)
		return func(*tcpstack.Conn) tcpstack.Handler { return &source{span: span} }
	}
	pool, pieces, n := ktls.NewPool(0), []stream.Piece{{Data: content}}, uint64(0)
	return func(*tcpstack.Conn) tcpstack.Handler {
		n++
		w, err := ktls.NewWriteState13(ktls.AES128GCM, binary.BigEndian.AppendUint64(make([]byte, 24), n), 0)
		if err != nil {
			panic(err) // the secret has the suite's length
		}
		framer, err := ktls.NewFramer(ktls.ModeInline, w, pool)
		if err != nil {
			panic(err) // the state is new
		}
		return &source{framer: framer, pieces: pieces}
	}
}

// source sends without end, the same bytes: as they are, or as records of a TLS session that needed no handshake.
type source struct {
	span   stream.Span
	framer *ktls.Framer
	pieces []stream.Piece
}

func (s *source) Readable(c *tcpstack.Conn) {
	c.Discard(c.Readable())
	s.Writable(c)
}

func (s *source) Writable(c *tcpstack.Conn) {
	for c.Room() > 0 {
		if s.framer == nil {
			c.Append(s.span)
		} else if s.framer.Append(c, s.pieces) != nil {
			return // the key is worn, after 388 GB
		}
	}
}

func (*source) Closed(*tcpstack.Conn, error) {}

// sink asks for it with one byte, and forgets what comes.
type sink struct{}

func (sink) Readable(c *tcpstack.Conn)    { c.Discard(c.Readable()) }
func (sink) Writable(c *tcpstack.Conn)    { c.Append(stream.Bytes([]byte{0})) }
func (sink) Closed(*tcpstack.Conn, error) {}

// parseRate is pacing.ParseRate for rates that are one.
func parseRate(s string) (pacing.Rate, bool) {
	r, err := pacing.ParseRate(s)
	return r, err == nil && r > 0
}
