package tcpstack

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"ocaserve/tcpstack/trace"
	"ocaserve/tcpstack/wire"
)

// ErrTracing is returned while another trace is running.
var ErrTracing = errors.New("a trace is running already")

// TraceConfig says what to record. The zero value of each field has a default.
type TraceConfig struct {
	Match    func(*wire.Flow) bool // which connections; nil: all. It runs on the shards
	Events   int                   // events that each connection's ring holds; 0: 4096, 256 KiB
	MaxConns int                   // connections under trace at once, on each shard; 0: 256
	Chunks   int                   // batches between the shards and the reader; 0: 64, 4 MiB
}

// A Tracer records connections:
//
//  1. [Stack.StartTrace] makes the shards give matching connections, those that are open and those to
//     come, a ring for their events.
//  2. A ring that is half full is emptied into chunks. Where there is no chunk left, since the reader is
//     slow, the events stay, and in the end the oldest are overwritten and counted: nobody waits.
//  3. [Tracer.Write] writes the chunks and gives them back, and from time to time has the rings emptied, so
//     that events of quiet connections come too.
//  4. [Tracer.Stop] takes the rings away; Write ends when everything was written.
type Tracer struct {
	cfg     TraceConfig
	stack   *Stack
	out     chan *traceBatch
	free    chan *traceBatch
	ids     atomic.Uint32
	left    atomic.Int32 // shards that have not stopped
	refused atomic.Uint64
	stopped atomic.Bool

	mu   sync.Mutex
	rest []*traceBatch // what the rings held at the end, beyond the chunks there were
}

// A traceBatch is a run of events of one connection.
type traceBatch struct {
	conn   trace.Conn
	first  bool   // no batch of this connection came before
	lost   uint64 // events missing before these
	events []trace.Event
}

const traceBatchLen = 1024 // events

// shardTrace is a shard's part of a trace: the connections under trace.
type shardTrace struct {
	tracer *Tracer
	conns  map[*Conn]struct{}
}

// StartTrace begins a trace of the whole stack. There is one at a time. Any goroutine may call it.
func (st *Stack) StartTrace(cfg TraceConfig) (*Tracer, error) {
	for _, d := range []struct {
		v *int
		n int
	}{{&cfg.Events, 4096}, {&cfg.MaxConns, 256}, {&cfg.Chunks, 64}} {
		if *d.v == 0 {
			*d.v = d.n
		}
	}
	t := &Tracer{
		cfg: cfg, stack: st,
		out: make(chan *traceBatch, cfg.Chunks), free: make(chan *traceBatch, cfg.Chunks),
	}
	if !st.tracer.CompareAndSwap(nil, t) {
		return nil, ErrTracing
	}
	for range cfg.Chunks {
		t.free <- newBatch()
	}
	t.left.Store(int32(len(st.shards)))
	for _, s := range st.shards {
		s.Post(traceStart{t: t, cursor: WalkAll})
	}
	return t, nil
}

// Refused is the number of matching connections that MaxConns left out.
func (t *Tracer) Refused() uint64 { return t.refused.Load() }

// Stop ends the trace; Write goes on until it has written what there is.
func (t *Tracer) Stop() {
	if t.stopped.Swap(true) {
		return
	}
	for _, s := range t.stack.shards {
		s.Post(traceStop{t})
	}
}

// Write writes the trace to w until it has been stopped, or the stack has, or ctx ends, or w fails. At each tick
// what waits in the rings is asked for. One goroutine may call it, once.
func (t *Tracer) Write(ctx context.Context, w *trace.Writer, tick <-chan time.Time) error {
	for {
		select {
		case b, ok := <-t.out:
			if !ok {
				return t.writeRest(w)
			}
			err := b.write(w)
			t.free <- b
			if err != nil {
				return err
			}
		case <-tick:
			for _, s := range t.stack.shards {
				s.Post(traceFlush{t})
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-t.stack.stopped:
			return t.writeRest(w)
		}
	}
}

// writeRest writes what the shards have left behind. They are done with t.
func (t *Tracer) writeRest(w *trace.Writer) error {
	for {
		select {
		case b, ok := <-t.out:
			if ok {
				if err := b.write(w); err != nil {
					return err
				}
				continue
			}
		default:
		}
		break
	}
	for _, b := range t.rest {
		if err := b.write(w); err != nil {
			return err
		}
	}
	return nil
}

func (b *traceBatch) write(w *trace.Writer) (err error) {
	if b.first {
		err = w.Conn(b.conn)
	}
	if err == nil && b.lost > 0 {
		err = w.Lost(b.conn.ID, b.lost)
	}
	if err == nil && len(b.events) > 0 {
		err = w.Events(b.conn.ID, b.events)
	}
	return err
}

// traceStart makes a shard take part, a slice of its connections per turn.
type traceStart struct {
	t      *Tracer
	cursor int
}

func (m traceStart) Run(s *Shard) {
	if m.t.stopped.Load() {
		return
	}
	if s.tracing == nil {
		s.tracing = &shardTrace{tracer: m.t, conns: make(map[*Conn]struct{})}
	}
	if next := s.Walk(m.cursor, walkSlice, s.adopt); next > 0 {
		s.Post(traceStart{t: m.t, cursor: next})
	}
}

// adopt puts c under trace if it is wanted. Shard.tracing is set.
func (s *Shard) adopt(c *Conn) {
	t := s.tracing.tracer
	if c.trace != nil || !c.state.synchronized() || t.cfg.Match != nil && !t.cfg.Match(&c.flow) {
		return
	}
	if len(s.tracing.conns) >= t.cfg.MaxConns {
		t.refused.Add(1)
		return
	}
	c.trace = &recorder{Ring: trace.NewRing(t.cfg.Events), tracer: t, state: c.rec.State()}
	c.trace.conn = trace.Conn{ID: t.ids.Add(1), Local: c.LocalAddr(), Remote: c.RemoteAddr()}
	c.trace.describe(c)
	s.tracing.conns[c] = struct{}{}
	c.traceOpen(s.now, trace.KindOpen)
}

// release ends c's record.
func (s *Shard) release(c *Conn) {
	c.settleLimit(s.now)
	c.traceOpen(s.now, trace.KindClose)
	t := c.trace.tracer
	t.spill(c)
	if c.trace.Len() > 0 && (t.stopped.Load() || s.stopped) { // at the end of it all memory is not scarce
		t.mu.Lock()
		for c.trace.Len() > 0 {
			t.rest = append(t.rest, c.takeBatch(newBatch()))
		}
		t.mu.Unlock()
	}
	c.trace = nil
	delete(s.tracing.conns, c)
}

// spill hands c's events over, as far as there are batches.
func (t *Tracer) spill(c *Conn) {
	for c.trace.Len() > 0 {
		select {
		case b := <-t.free:
			t.out <- c.takeBatch(b) // it has room for every batch there is
		default:
			return
		}
	}
}

func newBatch() *traceBatch { return &traceBatch{events: make([]trace.Event, 0, traceBatchLen)} }

// takeBatch moves events out of c's ring.
func (c *Conn) takeBatch(b *traceBatch) *traceBatch {
	r := c.trace
	var n int
	n, b.lost = r.Take(b.events[:traceBatchLen])
	b.events = b.events[:n]
	b.first, r.told = !r.told, true
	r.describe(c)
	b.conn = r.conn
	return b
}

// describe notes what c is now; what it was at the end of its life stays.
func (r *recorder) describe(c *Conn) {
	if c.fn != nil && c.cc != nil {
		r.conn.Stack, r.conn.CC, r.conn.MSS = c.fn.Name, c.cc.Name(), c.snd.mss
	}
}

// traceFlush asks a shard for what waits in its rings.
type traceFlush struct{ t *Tracer }

func (m traceFlush) Run(s *Shard) {
	if s.tracing == nil || s.tracing.tracer != m.t {
		return
	}
	for c := range s.tracing.conns {
		m.t.spill(c)
	}
}

// traceStop ends a shard's part. A traceStart that is still under way finds the trace stopped.
type traceStop struct{ t *Tracer }

func (m traceStop) Run(s *Shard) {
	if s.tracing != nil {
		for c := range s.tracing.conns {
			s.release(c)
		}
		s.tracing = nil
	}
	if m.t.left.Add(-1) == 0 {
		m.t.stack.tracer.Store(nil)
		close(m.t.out)
	}
}
