package tcpstack

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/recovery"
)

// choose decides which stack and which congestion control c begins with: its listener's choice first, then its
// cohort's, then the defaults.
func (c *Conn) choose() (cc string) {
	st, want := c.shard.stack, ""
	if l := c.listener; l != nil {
		want, cc = l.cfg.Functions, l.cfg.Congestion
	}
	if k := st.cohort(&c.flow); k != nil {
		want, cc = cmp.Or(want, k.Functions), cmp.Or(cc, k.Congestion)
	}
	f := st.functions.Load().find(want)
	for f == nil || !f.acquire() { // removed since: the default cannot be
		f = st.functions.Load().def
	}
	c.fn = f
	return cmp.Or(cc, *st.congestion.Load())
}

// policy is what the stack asks of recovery.
func (f *Functions) policy() recovery.Config {
	return recovery.Config{Detector: f.Detector, Undo: f.Undo, RTORestart: f.RTORestart}
}

// Functions returns the TCP implementation that c runs; nil before it is established and after its end.
func (c *Conn) Functions() *Functions { return c.fn }

// SetFunctions changes the TCP implementation of a live connection. What is in flight, what was judged lost, the
// round-trip times and the window are handed over.
func (c *Conn) SetFunctions(name string) error {
	f := c.shard.stack.functions.Load().find(name)
	switch {
	case c.fn == nil || c.cc == nil:
		return errNotSending
	case f == c.fn:
		return nil
	case f == nil || !f.acquire():
		return fmt.Errorf("%q: %w; there are: %s", name, ErrFunctionsUnknown, c.shard.stack.functions.Load().names())
	}
	c.fn.release()
	c.fn = f
	c.rec.SetPolicy(c.shard.now, f.policy())
	if !f.PRR {
		c.prr = recovery.PRR{}
	}
	c.choosePacing()
	c.repace(c.shard.now)
	c.syncRetransmitTimer()
	c.wantOutput()
	return nil
}

// SetCongestion changes the congestion control of a live connection. The window goes on where it is.
func (c *Conn) SetCongestion(name string) error {
	if c.cc == nil || c.fn == nil {
		return errNotSending
	}
	next, err := congestion.New(name, c.snd.mss)
	if err != nil || next.Name() == c.cc.Name() {
		return err
	}
	threshold := int64(math.MaxInt64)
	if t, ok := c.cc.(congestion.Thresholder); ok {
		threshold = t.SSThresh()
	}
	if s, ok := next.(congestion.Seeder); ok {
		s.Seed(c.shard.now, c.cc.Window(), threshold, c.rec.RTT().SRTT())
	}
	c.useCongestion(next)
	c.snd.deferred = 0
	c.repace(c.shard.now) // else what nobody paces meanwhile would be owed when somebody does again
	c.wantOutput()
	return nil
}

// useCongestion makes cc c's own. A model of the path measures rates and keeps to its window in a recovery; the
// others are spared the one and helped with the other.
func (c *Conn) useCongestion(cc congestion.Controller) {
	c.cc = cc
	_, own := cc.(congestion.Modeller)
	if own {
		c.prr = recovery.PRR{}
	}
	c.rec.SetRate(own)
	c.choosePacing()
}

var errNotSending = errors.New("the connection is not established, or over")

// Congestion is the name of c's congestion control; "" before it is established and after its end.
func (c *Conn) Congestion() string {
	if c.cc == nil {
		return ""
	}
	return c.cc.Name()
}

// dropFunctions counts c out, at its end.
func (c *Conn) dropFunctions() {
	if c.fn != nil {
		c.fn.release()
		c.fn = nil
	}
}
