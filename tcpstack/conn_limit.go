package tcpstack

import (
	"encoding/json"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/recovery"
	"ocaserve/tcpstack/trace"
)

// limits is the time that a connection has spent under each limit since it was established: what Linux's
// tcp_chrono knows as busy, rwnd_limited and sndbuf_limited, told apart further. The times of all limits
// add up to the connection's age exactly.
//
// It costs a comparison for each turn of output, and a subtraction when the limit changes. A connection that
// has just sent a frame counts as held back by the device: in the same turn it either finds another limit,
// and no time has passed, or has to wait for its next turn because the ring is full.
type limits struct {
	spent LimitTimes
	since mono.Time // when the current one, Conn.heldBy, took hold; 0: not established yet
}

// LimitTimes are times by limit. In JSON they are an object with the limits' names.
type LimitTimes [trace.LimitCount]time.Duration

// Total is the sum.
func (t *LimitTimes) Total() (d time.Duration) {
	for _, v := range t {
		d += v
	}
	return d
}

// MarshalJSON leaves out limits without time.
func (t LimitTimes) MarshalJSON() ([]byte, error) {
	m := make(map[string]time.Duration)
	for l, d := range t {
		if d > 0 {
			m[trace.Limit(l).String()] = d
		}
	}
	return json.Marshal(m)
}

// UnmarshalJSON reads what MarshalJSON wrote; names that are not known are left out.
func (t *LimitTimes) UnmarshalJSON(b []byte) error {
	var m map[string]time.Duration
	err := json.Unmarshal(b, &m)
	for l := range t {
		t[l] = m[trace.Limit(l).String()]
	}
	return err
}

// limit notes what holds output back from now on.
func (c *Conn) limit(now mono.Time, to trace.Limit) {
	if to == c.heldBy || !c.limits.since.IsSet() {
		return
	}
	c.settleLimit(now)
	c.heldBy = to
}

// settleLimit books the time that the current limit has lasted so far.
func (c *Conn) settleLimit(now mono.Time) {
	l := &c.limits
	d := now.Sub(l.since)
	l.spent[c.heldBy] += d
	l.since = now
	if c.trace != nil && d > 0 {
		c.traceLimit(now, d)
	}
}

// startLimits begins the account when the connection is established, and its record if it is to have one.
func (c *Conn) startLimits(now mono.Time) {
	c.limits.since = now
	if c.shard.tracing != nil {
		c.shard.adopt(c)
	}
}

// limitTimes returns the account as it stands at now.
func (c *Conn) limitTimes(now mono.Time) LimitTimes {
	spent := c.limits.spent
	if c.limits.since.IsSet() {
		spent[c.heldBy] += now.Sub(c.limits.since)
	}
	return spent
}

// gaveUpBy says what made output give up.
func (c *Conn) gaveUpBy() trace.Limit {
	waiting := c.unsentWithFin()
	_, again := c.rec.Retransmit(1)
	switch {
	case waiting == 0 && c.rec.Flight() == 0:
		return trace.LimitIdle
	case waiting == 0 && !again:
		return trace.LimitApp
	case !c.shard.batch.hasRoom():
		return trace.LimitDevice
	}
	rwnd, cwnd, short := c.windowRoom(), c.window()-c.rec.Pipe(), int64(c.snd.mss)
	switch {
	case rwnd <= cwnd && rwnd < short && rwnd < waiting && !again:
		return trace.LimitRwnd
	case c.timers[timerPace].IsSet() && cwnd >= min(short, waiting):
		return trace.LimitPacing // output asked the windows before the pacer
	case c.rec.State() >= recovery.Recovery:
		return trace.LimitRecovery
	case cwnd < short && cwnd < waiting:
		return trace.LimitCwnd
	}
	return trace.LimitApp // Nagle's algorithm waits for a whole segment
}
