package tcpstack

import (
	"time"

	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/recovery"
	"ocaserve/tcpstack/wire"
)

// timerKind indexes a connection's deadlines.
type timerKind uint8

const (
	timerRetransmit timerKind = iota // RFC 6298; also the SYN's
	timerPersist                     // zero-window probes (RFC 9293 section 3.8.6.1)
	timerDelAck
	timerKeepAlive
	timerTimeWait // 2 MSL, and the time an orphan may stay in FIN-WAIT-2
	timerUser     // the handler's, see SetTimer
	timerPace     // the next departure, see mayLeave
	timerCount
)

const (
	delAckLen    = 40 * time.Millisecond // RFC 9293 section 3.8.6.3: MUST be less than 0.5 seconds
	timeWaitLen  = 60 * time.Second      // 2 MSL with an MSL of 30 s, as Linux has it
	finWait2Len  = 60 * time.Second      // a peer that never closes its side
	synRTO       = time.Second           // RFC 6298 section 2.1
	maxSynTries  = 6                     // 1+2+4+8+16+32 s
	giveUpAfter  = 120 * time.Second     // R2 (RFC 9293 section 3.8.3: at least 100 seconds)
	tsRecentLife = 24 * 24 * time.Hour   // RFC 7323 section 5.5
	maxPersist   = 60 * time.Second      // RFC 9293 section 3.8.6.1: backed off exponentially
	minPersist   = 200 * time.Millisecond
	maxProbes    = 8 // of a zero window, unanswered
	// probes of a zero window on behalf of nobody: 9 minutes
	maxOrphanProbes = 16
)

// KeepAlive asks for probes of an idle connection (RFC 9293 section 3.8.4); the zero value is off.
type KeepAlive struct {
	Idle     time.Duration // silence before the first probe
	Interval time.Duration // between probes; 0: Idle
	Count    int           // unanswered probes before the connection is given up; 0: 9
}

func (c *Conn) setTimer(k timerKind, at mono.Time) {
	if c.gone && (k != timerUser || !c.hasUnread()) {
		return
	}
	c.timers[k] = at
	c.arm()
}

func (c *Conn) stopTimer(k timerKind) { c.timers[k] = 0 }

// arm makes sure that the wheel fires no later than the earliest deadline. A deadline that moved back
// leaves the wheel as it is: an early firing re-arms, which is cheaper than moving the timer per ACK.
func (c *Conn) arm() {
	at := c.deadline()
	if at == mono.Never || c.timer.Armed() && c.timer.At() <= at {
		return
	}
	c.shard.wheel.Set(&c.timer, at)
}

// deadline is the earliest of c's timers.
func (c *Conn) deadline() mono.Time {
	at := mono.Never
	for _, t := range c.timers {
		if t.IsSet() && t < at {
			at = t
		}
	}
	return at
}

// syncRetransmitTimer takes over recovery's deadline.
func (c *Conn) syncRetransmitTimer() {
	if c.fast.pending { // the timer is the SYN-ACK's (RFC 7413 section 4.2.2); data follows when it is acknowledged
		return
	}
	at := c.rec.Deadline()
	if at == mono.Never {
		c.stopTimer(timerRetransmit)
		return
	}
	c.timers[timerRetransmit] = at
	c.arm()
}

// advance fires what is due.
func (c *Conn) advance(now mono.Time) {
	for k := range timerCount {
		at := c.timers[k]
		if !at.IsSet() || at > now {
			continue
		}
		c.timers[k] = 0
		c.fire(now, k)
		if c.gone {
			return
		}
	}
	c.arm()
}

func (c *Conn) fire(now mono.Time, k timerKind) {
	switch k {
	case timerRetransmit:
		c.retransmitTimeout(now)
	case timerPersist:
		c.persistTimeout(now)
	case timerDelAck:
		c.rcv.ackNow = true
		c.wantOutput()
	case timerPace:
		c.wantOutput()
	case timerKeepAlive:
		c.keepAliveTimeout(now)
	case timerTimeWait:
		c.finish(nil)
	case timerUser:
		if h, ok := c.handler.(TimerHandler); ok {
			h.Timer(c, now)
		}
	}
}

// retransmitTimeout does what recovery's timers are due for: the RTO, RACK's reordering window, a tail loss
// probe.
func (c *Conn) retransmitTimeout(now mono.Time) {
	if c.state == StateSynSent || c.state == StateSynReceived && c.snd.synTries > 0 {
		c.synTimeout(now)
		return
	}
	// A deadline that has moved since is not due. More than one may be; that the time-out comes last ends it.
	for c.rec.Deadline() <= now {
		before := flight{pipe: c.rec.Pipe(), size: c.rec.Flight()}
		out := c.rec.Timeout(now)
		switch out.Kind {
		case recovery.TimerRTO:
			if c.timedOut(now, &out, before); c.gone {
				return
			}
		case recovery.TimerReorder:
			c.countRecovery(&out)
			c.react(now, &out, before)
		}
		if c.trace != nil {
			c.traceOutcome(now, &out)
		}
	}
	c.syncRetransmitTimer()
	c.wantOutput()
}

// timedOut is RFC 6298 section 5 (5.4)-(5.6), and R2.
func (c *Conn) timedOut(now mono.Time, out *recovery.Outcome, before flight) {
	if !c.snd.stalledSince.IsSet() {
		c.snd.stalledSince = now
		c.noteWindow()
	}
	// RFC 9293 section 3.8.6.1: a peer that shut its window over what it was sent and still answers is
	// probed for as long as it likes, if somebody owns the connection.
	probing := c.snd.wnd == 0 && !c.orphan && now.Sub(c.rcv.lastHeard) < giveUpAfter
	if now.Sub(c.snd.stalledSince) > giveUpAfter && !probing {
		c.shard.stats.GaveUp++
		c.abort(now, ErrTimeout)
		return
	}
	st := &c.shard.stats
	st.Timeouts++
	st.BytesLost += uint64(out.Lost)
	c.prr, c.snd.deferred = recovery.PRR{}, 0
	c.mtuTimedOut()
	c.cc.Timeout(now, congestion.Loss{InFlight: min(before.size, c.cc.Window())})
	c.ecnReduced()
}

// synTimeout retransmits our SYN with exponential back-off.
func (c *Conn) synTimeout(now mono.Time) {
	if c.snd.synTries >= maxSynTries {
		c.finish(ErrTimeout)
		return
	}
	c.sendSyn(now)
}

// startPersist runs the probe timer while the peer's window holds data back and nothing is in flight.
func (c *Conn) startPersist(now mono.Time) {
	if c.timers[timerPersist].IsSet() || c.timers[timerRetransmit].IsSet() {
		return
	}
	d := max(c.rec.RTO(), minPersist) << min(c.snd.persistTries, 10)
	c.setTimer(timerPersist, now.Add(min(d, maxPersist)))
}

// persistTimeout probes a closed window (RFC 9293 section 3.8.6.1). We deviate: where the window is
// shut the probe is an empty segment just below SND.UNA, as Linux sends it, instead of one new octet: it
// elicits the same ACK, and nothing has to be taken back when the receiver refuses it. A window that is
// open but smaller than a segment is used up (section 3.8.6.2.1, the sender's override time-out).
// The connection stays open for as long as the peer answers.
func (c *Conn) persistTimeout(now mono.Time) {
	if c.unsentWithFin() == 0 || c.rec.Flight() > 0 {
		return
	}
	if c.windowRoom() > 0 {
		c.snd.persistTries, c.snd.override = 0, true
		c.wantOutput()
		return
	}
	c.snd.persistTries = min(c.snd.persistTries+1, 100)
	silent := c.snd.persistTries > maxProbes && now.Sub(c.rcv.lastHeard) > giveUpAfter
	// A connection that nobody owns any more does not wait forever for a peer that never opens its window
	// (RFC 6429 section 3 leaves this to the host), but for as long as a film is paused to answer the door.
	if silent || c.orphan && c.snd.persistTries > maxOrphanProbes {
		c.shard.stats.GaveUp++
		c.abort(now, ErrTimeout)
		return
	}
	c.shard.stats.WindowProbes++
	c.sendProbe(now)
	c.startPersist(now)
}

// SetKeepAlive turns keepalive probes on, or off with the zero value.
func (c *Conn) SetKeepAlive(k KeepAlive) {
	c.opt.keepAlive = k
	c.stopTimer(timerKeepAlive)
	if k.Idle > 0 {
		c.setTimer(timerKeepAlive, c.shard.now.Add(k.Idle))
	}
}

func (c *Conn) keepAliveTimeout(now mono.Time) {
	k := c.opt.keepAlive
	if k.Interval == 0 {
		k.Interval = k.Idle
	}
	if k.Count == 0 {
		k.Count = 9
	}
	if quiet := now.Sub(c.rcv.lastHeard); quiet < k.Idle {
		c.setTimer(timerKeepAlive, c.rcv.lastHeard.Add(k.Idle))
		return
	}
	if int(c.rcv.probes) >= k.Count {
		c.abort(now, ErrTimeout)
		return
	}
	c.rcv.probes++
	if c.rec.Flight() == 0 {
		c.sendProbe(now)
	}
	c.setTimer(timerKeepAlive, now.Add(k.Interval))
}

// SetTimer asks for a Timer event at the given time; zero cancels. There is one such timer.
func (c *Conn) SetTimer(at mono.Time) {
	if !at.IsSet() {
		c.stopTimer(timerUser)
		return
	}
	c.setTimer(timerUser, at)
}

// sendProbe sends an empty segment with a sequence number the peer has already acknowledged, which it
// must answer with an ACK (RFC 9293 section 3.8.4).
func (c *Conn) sendProbe(now mono.Time) {
	seg := c.header(now, c.rec.Una()-1, wire.ACK)
	c.shard.sendControl(&c.flow, &seg)
}

// tsNow is our timestamp clock: milliseconds, with the connection's offset (RFC 7323 section 5.4).
func (c *Conn) tsNow(now mono.Time) uint32 {
	return uint32(now/mono.Time(time.Millisecond)) + c.opt.tsOffset
}
