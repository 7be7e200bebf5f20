package tcpstack

import (
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/recovery"
	"ocaserve/tcpstack/trace"
)

// outputProbe sends a tail loss probe that is due, new data or the last segment once more, whatever the congestion
// window says (RFC 8985 section 7.3: "the sender SHOULD send a previously unsent segment if the receive window
// allows").
func (c *Conn) outputProbe(now mono.Time) bool {
	r, isNew := c.rec.Probe(min(c.unsentWithFin(), c.windowRoom()))
	// We deviate from "the highest-sequence segment sent so far" (RFC 8985 section 7.3) where that is a FIN: to recovery
	// it is a byte behind the last segment, even if it left with that. Alone and out of order not every receiver
	// reports it by SACK, and the probe would tell nothing: the last data goes with it.
	if end := c.queue.End(); !isNew && r.Len() > 0 && r.From == end {
		r.From = max(end-int64(c.snd.mss), c.rec.Una())
	}
	if r.To = c.uniform(r.From, r.To); r.Len() == 0 || !c.transmit(now, r.From, r.To) {
		return false
	}
	c.shard.stats.LossProbes++
	if isNew {
		return c.wasSent(now, r, trace.CauseNone)
	}
	return c.wasSent(now, r, trace.CauseTLP)
}

// outputRetransmit sends the next range that recovery holds to be lost, as far as the congestion window
// allows (RFC 6675 section 5 (C)). The first one of an episode goes even when the window is full (RFC 6675
// section 5 (4.3), RFC 5681 section 3.2 step 3).
func (c *Conn) outputRetransmit(now mono.Time) bool {
	if c.rec.State() < recovery.Recovery {
		return false
	}
	room := c.window() - c.rec.Pipe()
	if c.rec.MustRetransmit() {
		room = max(room, int64(c.snd.mss))
	}
	if room < int64(c.snd.mss) {
		return false
	}
	if room = c.mayLeave(now, min(room, c.burst())); room == 0 {
		// The fast retransmission itself does not wait (RFC 5681 section 3.2 step 3); what follows pays for it.
		if !c.rec.MustRetransmit() {
			return false
		}
		room = int64(c.snd.mss)
	}
	r, ok := c.rec.Retransmit(room - room%int64(c.snd.mss)) // segments are sent again as they were cut
	why := c.resendCause()
	if !ok && c.unsentWithFin() == 0 {
		r, ok = c.rec.Rescue(int64(c.snd.mss))
		why = trace.CauseRescue
	}
	if !ok {
		return false
	}
	r.To = c.uniform(r.From, r.To)
	return c.transmit(now, r.From, r.To) && c.wasSent(now, r, why)
}
