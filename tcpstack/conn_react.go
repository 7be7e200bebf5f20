package tcpstack

import (
	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/recovery"
)

// What the connection does about what recovery found. The order matters: an undo belongs to the episode before
// the one that the same ACK may begin, and the reduction comes before the growth.

// flight is what was under way before an ACK, and what that ACK says of marks.
type flight struct {
	pipe, size int64
	marked     int64 // bytes reported to have arrived with CE
	echo       bool  // ECE
}

// A wakeUp is what was in flight before the first ACK of a wake-up of the shard. All ACKs that came in meanwhile are
// digested before output has its turn: each finds less in flight than the one before, although it is only our own
// doing that nothing took the place of what those acknowledged. What a window was used for is what output left.
type wakeUp struct {
	at   mono.Time // the shard's turn
	pipe int64
	full bool // no segment more fitted into the window
}

// wake notes what an ACK finds, if it is the first one of its wake-up. Stamps of frames do not tell: one turn may see
// several bursts.
func (c *Conn) wake(pipe int64) {
	if w, turn := &c.snd.woke, c.shard.now; w.at != turn {
		*w = wakeUp{at: turn, pipe: pipe, full: pipe+int64(c.snd.mss) > c.window()}
		c.prr.Turn()
	}
}

// react hands an ACK's outcome to congestion control.
//
// A D-SACK says that something was sent again for nothing, and that RFC 4653's patience pays on this path. Elsewhere it
// does not: each repair comes a round trip later, and the losses of that time cost one reduction instead of one each,
// which is more than a fair share.
func (c *Conn) react(now mono.Time, out *recovery.Outcome, before flight) {
	if out.DSACK.To > 0 {
		c.rec.SetNCR(c.fn.NCR)
	}
	c.wake(before.pipe)
	if c.pace.byCC && c.rec.State() < recovery.Recovery { // there RTTs may be those of timestamps
		c.pace.link.Acked(now, out.Delivered, out.RTT)
	}
	switch {
	case out.Undo.By != recovery.ProofNone:
		c.undo(now, out)
	case out.Exited:
		c.prr = recovery.PRR{} // RFC 9937 section 6.2: cwnd = ssthresh, which congestion control has
		c.snd.deferred = 0
	}
	c.reactLoss(now, out, before)
	if out.LostAgain > 0 && !c.prr.Active() && c.rec.State() == recovery.Recovery {
		c.enterPRR(out, 0)
	}
	if before.echo {
		c.reactMark(now, out, before)
	}
	if c.prr.Active() {
		safe := out.Acked > 0 && out.Lost == 0 // RFC 9937 section 6.2: "SND.UNA advances and no further loss indicated"
		c.prr.Ack(out.Delivered, c.rec.Pipe(), int64(c.snd.mss), safe)
	}
	if out.Acked > 0 && !c.opt.sack { // what duplicate ACKs stood for, this one says
		c.snd.deferred = min(c.snd.deferred, out.Acked-out.Delivered)
	}
	if out.Delivered > 0 {
		c.grow(now, out, before)
	}
	if c.pace.byCC && c.snd.woke.full {
		c.windowOpens(now)
	}
}

// reactLoss reduces the window once for each episode of loss.
func (c *Conn) reactLoss(now mono.Time, out *recovery.Outcome, before flight) {
	if c.mtuReact(now, out) {
		return
	}
	if out.Lost > 2*int64(c.snd.mss) {
		c.pace.overran = true
	}
	if !out.Entered {
		return
	}
	// RFC 5681 section 3.2 step 2: what limited transmit sent beyond the window "MUST NOT be included in this
	// calculation".
	withheld := c.withheld(out, before)
	c.cc.Lost(now, congestion.Loss{InFlight: c.usedWindow(before)})
	c.ecnReduced()
	if c.rec.State() == recovery.Recovery && !c.tailFits(out) { // or a loss probe repaired it all (RFC 8985 section 7.4.2)
		c.enterPRR(out, withheld)
	}
}

// tailFits reports whether a lost tail may be sent again as soon as ssthresh lets it, as RFC 6675 section 5 has it.
//
// PRR answers the one segment that a loss probe delivered with one, then with two, and so on: a round trip for each
// doubling, with nothing else on the path. It does so to spare the path a burst (RFC 9937 section 1), and here pacing
// spreads what ssthresh allows over a round trip. Where a retransmission is lost too, PRR takes over.
func (c *Conn) tailFits(out *recovery.Outcome) bool { return out.Tail && c.pace.byCC }

// usedWindow is what a reduction begins with. RFC 5681 equation (4) takes FlightSize, and not the window, for the sake of
// windows that an application does not use. One that was full is in use, with what the ACKs of this wake-up made room
// for; and so is one that is spread over the round trip: what is not in flight yet only waits for its departure.
func (c *Conn) usedWindow(before flight) int64 {
	if c.snd.woke.full || c.spread(before.pipe) {
		return c.cc.Window()
	}
	return min(before.size, c.cc.Window())
}

// withheld is the part of a window in use that is not in flight yet.
func (c *Conn) withheld(out *recovery.Outcome, before flight) int64 {
	if !c.snd.woke.full && !c.spread(before.pipe) {
		return 0
	}
	pipe := max(before.pipe, c.rec.Pipe()+out.Lost+out.Delivered) // an undo puts back in flight what the time-out had judged lost
	return max(0, min(c.cc.Window()-pipe, c.windowRoom(), c.unsentWithFin()))
}

// reactMark answers an ECN echo: once per window of data, as if a segment had been lost (RFC 3168 section 6.1.2). A
// controller that reads marks itself gets them with the ACK; the classic receiver of one that does not want each
// echoed is told at once, so that the next mark shows.
func (c *Conn) reactMark(now mono.Time, out *recovery.Outcome, before flight) {
	if m, ok := c.cc.(congestion.Marker); ok {
		if !m.Scalable() {
			c.ecnReduced()
		}
		return
	}
	if out.Entered || !c.rec.EnterCWR() {
		return // a reduction is under way
	}
	c.shard.stats.ECNReductions++
	withheld := c.withheld(out, before)
	c.cc.Lost(now, congestion.Loss{InFlight: c.usedWindow(before), ECN: true})
	c.ecnReduced()
	c.enterPRR(out, withheld)
}

// enterPRR lets the window shrink ACK by ACK instead of at once (RFC 9937 section 1 has it for both losses and ECN).
func (c *Conn) enterPRR(out *recovery.Outcome, withheld int64) {
	if _, own := c.cc.(congestion.Modeller); own || !c.fn.PRR {
		return
	}
	c.prr.Enter(c.rec.RecoverFS(out), withheld, c.cc.Window())
}

// undo takes a reduction back (RFC 4015 section 3.2).
func (c *Conn) undo(now mono.Time, out *recovery.Outcome) {
	c.prr = recovery.PRR{}
	if u, ok := c.cc.(congestion.Undoer); ok {
		u.Undo(now)
	}
	st := &c.shard.stats
	switch {
	case out.Undo.By == recovery.ProofDSACK:
		st.DSACKUndos++
	case out.Undo.Episode == recovery.Loss:
		st.SpuriousRTOs++
	default:
		st.FullUndos++
	}
}

// grow tells congestion control what arrived.
//
// The first duplicate ACKs must not grow the window: "The congestion window (cwnd) MUST NOT be changed when
// these new segments are transmitted" (RFC 3042 section 2). Neither may what arrives in a recovery. Where it turns out
// that nothing was lost, that the segments were only late, both count with the ACK that tells: reordering must not
// slow the growth. A path that is known to reorder has duplicate ACKs all the time, and they are the ACKs that show how
// fast it delivers and with which delay: there the window grows with each, as in Linux (tcp_may_raise_cwnd).
//
// A model of the path wants each delivery when it happens.
func (c *Conn) grow(now mono.Time, out *recovery.Outcome, before flight) {
	state := c.rec.State()
	n, used := out.Delivered, before.pipe
	if _, own := c.cc.(congestion.Modeller); !own {
		if state != recovery.Loss { // there the ACK of a hole grows the window by what was in flight at most
			used = max(used, c.snd.woke.pipe)
		}
		switch {
		case state == recovery.Disorder && out.Acked == 0 && !(c.opt.sack && c.rec.Reorders()):
			c.snd.deferred += n
			c.snd.marked += before.marked
			return
		case state == recovery.Recovery:
			c.snd.deferred += n
		case c.snd.deferred > 0:
			n, used = n+c.snd.deferred, max(used, before.size)
			c.snd.deferred = 0
		}
	}
	marked := before.marked + c.snd.marked
	c.snd.marked = 0
	spread := c.spread(used)
	c.cc.Acked(now, congestion.Ack{
		Delivered: n, InFlight: used, Pipe: c.rec.Pipe(), Lost: out.Lost, RTT: out.RTT, Marked: marked,
		Una: c.rec.Una(), Next: c.rec.Next(),
		InRecovery: state >= recovery.CWR, AfterTimeout: state == recovery.Loss,
		AppLimited: used < c.cc.Window()/2 && !spread, Spread: spread,
		Rate: congestion.RateSample(out.Rate),
	})
}

// windowOpens lets a paced connection whose window was full make up for departures that it could not use, by an initial
// window at most, which every path has to bear (RFC 6928). ACKs come in bursts where data left in bursts, with silence
// between them: after a recovery, after the initial window, where a receiver or our own loop takes many at once. Without
// this each such burst would cost up to a round trip, in which the window that is spread is not used. The first
// departures of a connection that was not paced until now are the same: nothing but the window held it back.
//
// In the first slow start that holds for small windows only: a larger one is about to find the end of the path's queue,
// and a burst on top of that overflows a shallow one early, or looks to HyStart like a queue that builds.
//
// A controller that sets rates measures what they give, and is left alone.
func (c *Conn) windowOpens(now mono.Time) {
	if c.setsRates() || c.timers[timerPace].IsSet() {
		return
	}
	if c.firstSlowStart() && !c.isSmall(c.window()) {
		return
	}
	paced := c.pace.Rate() > 0
	if !paced {
		c.setPace(now)
	}
	if c.pace.asked || c.pace.Rate() == 0 {
		return
	}
	since := now.Add(-c.pace.Rate().Duration(congestion.InitialWindow(c.snd.mss)))
	if paced {
		since = max(since, c.pace.Next())
	}
	c.pace.HeldBack(now, since)
}

// window is how many bytes may be in flight now.
func (c *Conn) window() int64 {
	if c.prr.Active() {
		return c.prr.Window()
	}
	return c.cc.Window()
}

// countRecovery books what recovery found, under Linux's names.
func (c *Conn) countRecovery(out *recovery.Outcome) {
	st := &c.shard.stats
	st.BytesAcked += uint64(out.Acked)
	st.BytesLost += uint64(out.Lost)
	c.count.outcome(out)
	if out.Entered {
		st.Recoveries++
	}
	if out.ProbeLoss {
		st.LossProbeRecoveries++
	}
	if out.DSACK.To > 0 {
		st.DSACKsReceived++
	}
	if out.LostAgain > 0 {
		st.LostRetransmits++
	}
	if out.Reneged > 0 {
		st.SACKReneging++
	}
}
