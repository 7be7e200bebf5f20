package tcpstack

import (
	"context"
	"errors"
	"sync/atomic"

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
//  3. The reader takes [Tracer.Chunks] and gives each back with [Tracer.Done]. From time to time it calls
//     [Tracer.Flush], so that events of quiet connections come too.
//  4. [Tracer.Stop] takes the rings away; Chunks is closed when everything was handed over.
type Tracer struct {
	cfg     TraceConfig
	stack   *Stack
	out     chan *TraceChunk
	free    chan *TraceChunk
	ids     atomic.Uint32
	left    atomic.Int32 // shards that have not stopped
	refused atomic.Uint64
	stopped atomic.Bool
}

// A TraceChunk is a run of events of one connection.
type TraceChunk struct {
	Conn   trace.Conn
	First  bool   // no chunk of this connection came before
	Lost   uint64 // events missing before these
	Events []trace.Event
}

const traceChunk = 1024 // events

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
		out: make(chan *TraceChunk, cfg.Chunks), free: make(chan *TraceChunk, cfg.Chunks),
	}
	if !st.tracer.CompareAndSwap(nil, t) {
		return nil, ErrTracing
	}
	for range cfg.Chunks {
		t.free <- &TraceChunk{Events: make([]trace.Event, 0, traceChunk)}
	}
	t.left.Store(int32(len(st.shards)))
	for _, s := range st.shards {
		s.Post(traceStart{t: t, cursor: WalkAll})
	}
	return t, nil
}

// Chunks delivers the events; it is closed after Stop.
func (t *Tracer) Chunks() <-chan *TraceChunk { return t.out }

// Done gives a chunk back.
func (t *Tracer) Done(ch *TraceChunk) { t.free <- ch }

// Refused is the number of matching connections that MaxConns left out.
func (t *Tracer) Refused() uint64 { return t.refused.Load() }

// Flush has all events handed over that wait in rings.
func (t *Tracer) Flush() {
	for _, s := range t.stack.shards {
		s.Post(traceFlush{t})
	}
}

// Stop ends the trace. The reader goes on until Chunks is closed, giving each chunk back. If the stack ends
// meanwhile, ctx of the reader is what is left: its Chunks may never be closed.
func (t *Tracer) Stop() {
	if t.stopped.Swap(true) {
		return
	}
	for _, s := range t.stack.shards {
		s.Post(traceStop{t})
	}
}

// Write writes chunks to w until the trace has stopped, or ctx ends, or w fails.
func (t *Tracer) Write(ctx context.Context, w *trace.Writer) error {
	for {
		select {
		case ch, ok := <-t.out:
			if !ok {
				return nil
			}
			err := ch.write(w)
			t.Done(ch)
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-t.stack.stopped:
			return t.writeRest(w)
		}
	}
}

// writeRest takes what the shards have left behind.
func (t *Tracer) writeRest(w *trace.Writer) error {
	for {
		select {
		case ch, ok := <-t.out:
			if !ok {
				return nil
			}
			if err := ch.write(w); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (ch *TraceChunk) write(w *trace.Writer) (err error) {
	if ch.First {
		err = w.Conn(ch.Conn)
	}
	if err == nil && ch.Lost > 0 {
		err = w.Lost(ch.Conn.ID, ch.Lost)
	}
	if err == nil && len(ch.Events) > 0 {
		err = w.Events(ch.Conn.ID, ch.Events)
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
	c.trace = &recorder{Ring: trace.NewRing(t.cfg.Events), tracer: t, id: t.ids.Add(1), state: c.rec.State()}
	s.tracing.conns[c] = struct{}{}
	c.traceOpen(s.now, trace.KindOpen)
}

// release ends c's record.
func (s *Shard) release(c *Conn) {
	c.limit(s.now, trace.LimitCount) // the last limit's time is part of the record
	c.limits.is = trace.LimitIdle
	c.traceOpen(s.now, trace.KindClose)
	c.trace.tracer.spill(c)
	c.trace = nil
	delete(s.tracing.conns, c)
}

// spill hands c's events over, as far as there are chunks.
func (t *Tracer) spill(c *Conn) {
	r := c.trace
	for r.Len() > 0 {
		var ch *TraceChunk
		select {
		case ch = <-t.free:
		default:
			return
		}
		var n int
		n, ch.Lost = r.Take(ch.Events[:traceChunk])
		ch.Events = ch.Events[:n]
		ch.First, r.told = !r.told, true
		ch.Conn = trace.Conn{
			ID: r.id, Local: c.LocalAddr(), Remote: c.RemoteAddr(), Stack: c.StackName(), MSS: c.snd.mss,
		}
		if c.cc != nil {
			ch.Conn.CC = c.cc.Name()
		}
		t.out <- ch // it has room for every chunk there is
	}
}

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
	s.endTrace()
	if m.t.left.Add(-1) == 0 {
		close(m.t.out)
		m.t.stack.tracer.Store(nil)
	}
}

func (s *Shard) endTrace() {
	if s.tracing == nil {
		return
	}
	for c := range s.tracing.conns {
		s.release(c)
	}
	s.tracing = nil
}
