package tcpstack

import (
	"math"
	"time"

	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/recovery"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/trace"
)

// A recorder is what a connection under trace has; Conn.trace is nil for all others, and each place that
// would make an event looks at that first.
type recorder struct {
	*trace.Ring
	tracer *Tracer
	conn   trace.Conn
	told   bool           // the reader of the trace knows whose events these are
	state  recovery.State // at the last event
}

// event begins an event, with the state of the connection.
func (c *Conn) event(now mono.Time, k trace.Kind) *trace.Event {
	if c.trace.Len() > c.trace.Cap()/2 {
		c.trace.tracer.spill(c)
	}
	e := c.trace.Put()
	*e = trace.Event{
		At: now, Kind: k, State: uint8(c.rec.State()), Limit: c.heldBy,
		Pipe: trace.Clip(c.rec.Pipe()), Ssthresh: trace.NoSsthresh,
		SRTT:   trace.Clip(int64(c.rec.RTT().SRTT() / time.Microsecond)),
		Unsent: trace.Clip(c.unsent()), Pacing: uint64(c.PacingRate()), Delivery: c.count.rate,
	}
	if c.cc != nil {
		e.Cwnd = trace.Clip(c.cc.Window())
		if t, ok := c.cc.(congestion.Thresholder); ok && t.SSThresh() < math.MaxInt64 {
			e.Ssthresh = trace.Clip(t.SSThresh())
		}
	}
	return e
}

// traceOpen begins the record, or ends it with KindClose.
func (c *Conn) traceOpen(now mono.Time, k trace.Kind) {
	e := c.event(now, k)
	e.Off, e.Len = c.rec.Una(), trace.Clip(c.rec.Flight())
}

// traceSent notes what has been sent, and why if it went out before.
func (c *Conn) traceSent(now mono.Time, r stream.Range, why trace.Cause) {
	k := trace.KindSend
	if why != trace.CauseNone {
		k = trace.KindRetransmit
	}
	e := c.event(now, k)
	e.Off, e.Len, e.Cause = r.From, trace.Clip(r.Len()), why
}

// traceAck notes an ACK, what it SACKed, and what recovery made of it.
func (c *Conn) traceAck(now mono.Time, blocks []stream.Range, out *recovery.Outcome) {
	e := c.event(now, trace.KindAck)
	e.Off, e.Len = c.rec.Una(), trace.Clip(c.snd.wnd)
	e.RTT = trace.Clip(int64(out.RTT / time.Microsecond))
	for _, b := range blocks {
		e := c.event(now, trace.KindSACK)
		e.Off, e.Len = b.From, trace.Clip(b.Len())
	}
	c.traceOutcome(now, out)
}

// traceOutcome notes what an ACK or a timer led recovery to conclude.
func (c *Conn) traceOutcome(now mono.Time, out *recovery.Outcome) {
	if out.Kind != recovery.TimerNone {
		c.event(now, trace.KindTimer).Cause = timerCauses[out.Kind]
	}
	if out.Undo.By != recovery.ProofNone {
		c.event(now, trace.KindUndo).Cause = proofCauses[out.Undo.By]
	}
	if out.Lost > 0 {
		e := c.event(now, trace.KindLost)
		e.Off, e.Len = c.rec.Una(), trace.Clip(out.Lost)
	}
	c.traceState(now)
}

var timerCauses = [...]trace.Cause{
	recovery.TimerRTO: trace.CauseRTO, recovery.TimerReorder: trace.CauseReorder, recovery.TimerProbe: trace.CauseTLP,
}

var proofCauses = [...]trace.Cause{
	recovery.ProofDSACK: trace.CauseDSACK, recovery.ProofEifel: trace.CauseEifel, recovery.ProofFRTO: trace.CauseFRTO,
	recovery.ProofCame: trace.CauseCame,
}

// traceState notes that recovery has changed its state since the last time.
func (c *Conn) traceState(now mono.Time) {
	if s := c.rec.State(); s != c.trace.state {
		c.trace.state = s
		c.event(now, trace.KindState)
	}
}

// traceLimit notes that the current limit has lasted for d and ends.
func (c *Conn) traceLimit(now mono.Time, d time.Duration) {
	c.event(now, trace.KindLimit).Off = int64(d)
}
