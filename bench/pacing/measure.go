package main

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"ocaserve/ktls"
	"ocaserve/pacing"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// A figure is one measurement of the server's shard.
type figure struct {
	bytes, frames, acks, sleeps uint64
	cpu, wall                   time.Duration
}

// cost is CPU seconds per GB.
func (f figure) cost() float64 { return f.cpu.Seconds() * 1e9 / float64(max(f.bytes, 1)) }

func (f figure) minus(g figure) figure {
	return figure{f.bytes - g.bytes, f.frames - g.frames, f.acks - g.acks, f.sleeps - g.sleeps, f.cpu - g.cpu, f.wall - g.wall}
}

// median measures a cell several times.
func median(all []figure) figure {
	slices.SortFunc(all, func(a, b figure) int { return int(1e6 * (a.cost() - b.cost())) })
	return all[len(all)/2]
}

// runIn is how long windows may grow before anything is measured.
const runIn = 1500 * time.Millisecond

// A run is a shard on the virtual clock of a core that has nothing else to do: its time goes on by the CPU time that the
// shard takes, and from there to the next event.
type run struct {
	shard *tcpstack.Shard
	far   *far
	now   mono.Time
	figure
}

// measure runs one cell.
func measure(c cell, length time.Duration) (f figure, err error) {
	runtime.GC()
	r := &run{far: newFar(c.conns, c.rate), now: mono.Time(24 * time.Hour)}
	cfg := c.config()
	cfg.Clock = func() mono.Time { return r.now }
	st, err := tcpstack.New(cfg, []link.Device{r.far})
	if err != nil {
		return f, err
	}
	if _, err := st.Listen(netip.AddrPortFrom(server, 80), tcpstack.ListenConfig{Accept: c.accept()}); err != nil {
		return f, err
	}
	r.shard = st.Shards()[0]
	for r.far.opened < c.conns {
		if err := r.pass(time.Millisecond); err != nil {
			return f, err
		}
	}
	if err := r.pass(runIn); err != nil {
		return f, err
	}
	start := r.snapshot()
	err = r.pass(length)
	return r.snapshot().minus(start), err
}

// pass lets d pass.
func (r *run) pass(d time.Duration) error {
	for until := r.now.Add(d); r.now < until; {
		before := threadTime()
		busy, err := r.shard.Step(r.now)
		spent := max(0, threadTime()-before-clockCost)
		if err != nil {
			return err
		}
		r.cpu += spent
		r.now = r.now.Add(spent)
		if r.far.advance(r.now) || busy {
			continue
		}
		if next := min(r.shard.Deadline(), r.far.next()); next > r.now {
			r.sleeps++
			r.cpu += sleepCost
			r.now = next.Add(sleepCost)
		}
	}
	return nil
}

func (r *run) snapshot() figure {
	v := r.shard.Snapshot()
	r.bytes, r.frames, r.acks, r.wall = v.BytesSent, v.FramesSent, v.SegmentsReceived, time.Duration(r.now)
	return r.figure
}

// sleepCost is what a sleep is charged: about what ppoll and the timer behind it take where nobody else wants the core.
const sleepCost = 3 * time.Microsecond

// clockCost is what reading the thread's CPU clock costs.
var clockCost time.Duration

// calibrate measures it.
func calibrate() {
	const n = 10_000
	start := threadTime()
	for range n {
		threadTime()
	}
	clockCost = (threadTime() - start) / n
}

// threadTime is the CPU time of the calling thread.
func threadTime() time.Duration {
	const thread = 3 // CLOCK_THREAD_CPUTIME_ID
	var ts syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, thread, uintptr(unsafe.Pointer(&ts)), 0) //nolint:errcheck // a fixed clock
	return time.Duration(ts.Nano())
}

// config is the server's stack.
func (c *cell) config() tcpstack.Config {
	cfg := tcpstack.Config{Addrs: []netip.Addr{server}, Functions: c.stack, PaceBurst: c.burst}
	if c.paced {
		cfg.MaxPacingRate = c.rate
	}
	return cfg
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

// parseRate is pacing.ParseRate for rates that are one.
func parseRate(s string) (pacing.Rate, bool) {
	r, err := pacing.ParseRate(s)
	return r, err == nil && r > 0
}
