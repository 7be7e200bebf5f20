package tcpstack

import (
	"math"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/recovery"
	"ocaserve/tcpstack/wire"
)

// Linux's factors over cwnd/srtt, in per cent: sysctl tcp_pacing_ss_ratio and tcp_pacing_ca_ratio
// (tcp_update_pacing_rate).
const (
	paceSlowStart = 200 // a rate that doubles per round trip must not hold back the window that does
	paceAvoidance = 120
	// The first windows of a connection leave faster. A short response is all in them, and half a round trip in each would
	// be felt; such a burst is no longer than the queue that the initial window needs too.
	paceSmall   = 400
	smallWindow = 32 // segments
	// And after that a small window leaves within half a round trip: it makes no long queue, and at 120 % its end would
	// wait for most of the round trip. Where losses keep windows small, each would be found, and the transfer end, by so
	// much later.
	paceSmallAvoidance = 200
	// A window that is far from filling the path makes no queue at the rate of its narrowest link, and what is spread further
	// arrives later, at the end of a transfer by up to the time over which its last window is spread, and a loss in it is
	// found by as much later. So it leaves at that rate, where it is known: within an eighth of a round trip at the soonest.
	paceByLink = 800
)

// tsoRTTLog is Linux's sysctl tcp_tso_rtt_log: a burst grows by 64 KiB shifted right by the number of
// 512 us units in the smallest round trip (tcp_tso_autosize).
const tsoRTTLog = 9

// A pacer is a connection's state of pacing. Rates count payload: what was appended, TLS records with their
// headers, but not TCP's and IP's headers. (Linux counts those too.) Retransmissions count.
type pacer struct {
	pacing.Pacer
	max     pacing.Rate         // SO_MAX_PACING_RATE; 0: none
	ranges  *pacing.Schedule    // of parts of the stream; nil: none
	asked   bool                // the rate in force is one of those two, not congestion control's
	byCC    bool                // what congestion control allows is spread over the round trip
	device  bool                // a rate that was asked for is in force, and the device spreads the segments of a burst
	overran bool                // several segments were lost at once
	mss     uint16              // that its burst was made for
	link    recovery.Dispersion // what the path's narrowest link carries
}

// limited reports whether somebody asked for a rate, beyond congestion control's.
func (p *pacer) limited() bool { return p.max > 0 || p.ranges != nil }

// choosePacing decides whether congestion control's rate holds: where the TCP implementation is a paced one, and for a
// controller that thinks in rates in any case, since without departures of its own making BBR measures bursts.
func (c *Conn) choosePacing() { c.pace.byCC = c.fn.Paced || c.setsRates() }

// setsRates reports whether congestion control has a rate of its own, beside a window.
func (c *Conn) setsRates() bool {
	_, ok := c.cc.(congestion.Pacer)
	return ok
}

// initPace takes over what listener and stack are configured with, once c is established.
func (c *Conn) initPace() {
	if c.pace.max != 0 { // set already by whoever opened c
		return
	}
	c.pace.max = c.shard.stack.cfg.MaxPacingRate
	if l := c.listener; l != nil && l.cfg.MaxPacingRate > 0 {
		c.pace.max = l.cfg.MaxPacingRate
	}
}

// SetMaxPacingRate bounds the rate of what c sends, in bytes of payload per second, from now on; 0: no bound
// (SO_MAX_PACING_RATE). It holds for every TCP implementation, paced or not.
func (c *Conn) SetMaxPacingRate(r pacing.Rate) {
	c.pace.max = max(r, 0)
	c.repace(c.shard.now)
}

// MaxPacingRate is what SetMaxPacingRate set.
func (c *Conn) MaxPacingRate() pacing.Rate { return c.pace.max }

// PacingRate is the rate at which c sends now (tcpi_pacing_rate); 0: unpaced.
func (c *Conn) PacingRate() pacing.Rate { return c.pace.Rate() }

// PaceRange gives what is appended from here on a pace of its own, after FreeBSD's TCP_HYBRID_PACING. From and To
// count from the next byte to be appended; To 0 stands for an end unknown yet. EndPace ends it. It reports false,
// and nothing changes, if the range lies within an earlier one.
func (c *Conn) PaceRange(r pacing.Range) bool {
	at := c.queue.End()
	r.From += at
	if r.To == 0 || r.To > math.MaxInt64-at {
		r.To = math.MaxInt64
	} else {
		r.To += at
	}
	if c.pace.ranges == nil {
		c.pace.ranges = new(pacing.Schedule)
	}
	ok := c.pace.ranges.Add(r)
	c.repace(c.shard.now)
	return ok
}

// EndPace makes the last range that PaceRange began end behind the last byte appended.
func (c *Conn) EndPace() {
	if c.pace.ranges != nil {
		c.pace.ranges.End(c.queue.End())
		c.repace(c.shard.now)
	}
}

// repace applies a rate that somebody changed now, rather than at the next departure. What waits for the old
// one is looked at again.
func (c *Conn) repace(now mono.Time) {
	if c.cc == nil { // not established: output will ask
		return
	}
	c.setPace(now)
	if c.timers[timerPace].IsSet() {
		c.stopTimer(timerPace)
		c.wantOutput()
	}
}

// mayLeave is how many of n bytes may leave now. If none may, timerPace is set to when they may: c is not on
// the pending list meanwhile. Unpaced connections pay the comparison.
func (c *Conn) mayLeave(now mono.Time, n int64) int64 {
	if !c.pace.byCC && !c.pace.limited() {
		return n
	}
	// The rate is taken at a departure: until then the last burst pays for itself at the rate at which it left.
	if now >= c.pace.Next() {
		c.setPace(now)
	}
	ready := c.pace.Ready(now)
	if ready >= n {
		return n
	}
	if ready -= ready % int64(c.snd.mss); ready > 0 {
		return ready
	}
	at := c.pace.Next()
	if c.pace.asked {
		at = c.pace.Wake()
	}
	c.setTimer(timerPace, at)
	return 0
}

// waitsForDeparture reports whether output need not be asked, since c has nothing to send but what waits for timerPace:
// an ACK that comes in meanwhile changes the windows, and they are looked at when it fires.
func (c *Conn) waitsForDeparture() bool {
	return c.timers[timerPace].IsSet() && !c.rcv.ackNow && c.rec.State() < recovery.Recovery
}

// spread reports whether what congestion control allows is only waiting for its departure: then it is the window that
// limits what is in flight, and neither the application, the peer's window nor a rate that somebody asked for. What
// waits must make up half of the window, with what is in flight: an application that writes a little now and then has
// something wait each time, at any window (RFC 7661 section 4.2).
func (c *Conn) spread(inFlight int64) bool {
	if !c.timers[timerPace].IsSet() || c.pace.asked {
		return false
	}
	waiting := c.windowRoom()
	if !c.snd.wantWritable { // else the application has more than it was let
		waiting = min(waiting, c.unsentWithFin())
	}
	return inFlight+waiting >= c.cc.Window()/2
}

// paceSent books what leaves, the offsets [from, to). Tail loss probes get here without asking mayLeave: they must
// not wait (RFC 8985 section 7), what comes after pays for them.
func (c *Conn) paceSent(now mono.Time, from, to int64) {
	if c.pace.Rate() == 0 {
		return
	}
	// A rate ends with the last byte of its range, in the middle of a burst too: the rest pays at the next one's. A
	// retransmission goes at the rate of what is new.
	for isNew := from >= c.rec.Next(); isNew && from < to && c.pace.ranges != nil; {
		_, until := c.pace.ranges.At(now, from)
		n := min(to, until) - from
		c.pace.Sent(now, n)
		if from += n; from == until {
			c.setPaceAt(now, from)
		}
	}
	c.pace.Sent(now, to-from)
}

// setPace takes the rate that is in force for the next byte.
func (c *Conn) setPace(now mono.Time) { c.setPaceAt(now, c.rec.Next()) }

func (c *Conn) setPaceAt(now mono.Time, off int64) {
	p := &c.pace
	limit := p.max
	if p.ranges != nil {
		r, _ := p.ranges.At(now, off)
		limit = slower(limit, r)
		if p.ranges.Len() == 0 {
			p.ranges = nil
		}
	}
	if limit > 0 && limit == p.Rate() && c.stillAsked(limit) {
		return
	}
	rate, wnd := c.rateByWindow(off)
	quantum := int64(0)
	if rate > 0 && (limit == 0 || limit >= rate) {
		if quantum = c.paceBurst(rate); wnd <= quantum {
			rate = 0
		} else {
			rate = max(rate, c.rateByLink(wnd))
		}
	}
	// A loop that wakes late must not keep a window from being used, and from growing: up to a quarter of a round
	// trip is made up for, but not more than a superframe at once. A rate that somebody asked for is kept to.
	slack := min(c.rec.RTT().SRTT()/4, rate.Duration(pacing.MaxQuantum))
	if p.asked = limit > 0 && (rate == 0 || limit < rate); p.asked {
		rate, quantum, slack = limit, pacing.Quantum(limit, c.shard.paceBurst(), c.snd.mss), 0
	}
	p.device, p.mss = p.asked && c.shard.deviceRates(), uint16(c.snd.mss)
	p.SetRate(now, rate, quantum)
	p.SetCatchUp(slack)
}

// stillAsked reports whether the rate in force is one that somebody asked for, and nothing can have changed: what each
// departure asks first. Congestion control allows no less than the window in a round trip.
func (c *Conn) stillAsked(limit pacing.Rate) bool {
	p := &c.pace
	if !p.asked || int(p.mss) != c.snd.mss || p.device != c.shard.deviceRates() || c.setsRates() {
		return false
	}
	return !p.byCC || float64(c.window())*1e9 >= float64(limit)*float64(c.rec.RTT().SRTT())
}

// deviceBurst is how much of a rate one burst carries where the device spreads its segments: on the wire that is finer
// than bursts of a millisecond, and the host builds fewer frames. It adds as much to the round trips that are measured.
const deviceBurst = 8 * time.Millisecond

// deviceRates reports whether the link's device keeps to a frame's rate.
func (s *Shard) deviceRates() bool { return s.limiter != nil && s.limiter.RateLimits() }

// paceBurst is how much of a rate that somebody asked for leaves the stack at once.
func (s *Shard) paceBurst() time.Duration {
	if s.deviceRates() {
		return max(s.stack.cfg.PaceBurst, deviceBurst)
	}
	return s.stack.cfg.PaceBurst
}

// flowTag names the connection to a device that rates; never 0. Two that have the same share a place in line.
func (c *Conn) flowTag() uint32 {
	f := &c.flow
	return wire.SymmetricHash(f.Remote, f.Local, f.RemotePort, f.LocalPort) | 1
}

// slower is the lower of two rates, of which 0 is none.
func slower(a, b pacing.Rate) pacing.Rate {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// rateByWindow is the rate of congestion control, and the window that it is to spread: its own rate, or a multiple of the
// window per round trip. 0: none.
//
// The initial window leaves at once, as in Linux, since little is known of the path yet and a short response is all in
// it. So does any window that is no larger than that or than one burst: there is nothing to spread, and waiting for
// departures would only hold back what each ACK makes room for.
func (c *Conn) rateByWindow(off int64) (r pacing.Rate, wnd int64) {
	initial := congestion.InitialWindow(c.snd.mss)
	if !c.pace.byCC || off < initial {
		return 0, 0
	}
	if p, ok := c.cc.(congestion.Pacer); ok {
		return pacing.Rate(p.PacingRate()), math.MaxInt64
	}
	// Just after a reduction the ACKs of the larger flight still set the pace, as in Linux.
	wnd = max(c.window(), c.rec.Flight())
	if c.rec.State() == recovery.Recovery && !c.prr.Active() { // nothing of the larger flight comes back: see tailFits
		wnd = c.window()
	}
	ratio, rtt := c.paceRatio(wnd)
	if wnd <= initial || rtt <= 0 {
		return 0, 0
	}
	return pacing.Rate(max(1, perRTT(wnd, ratio, rtt))), wnd
}

// perRTT is so many per cent of n in a round trip, in bytes per second.
func perRTT(n, percent int64, rtt time.Duration) int64 {
	return n * percent / 100 * 1e6 / max(1, rtt.Microseconds())
}

// rateByLink is the rate at which a window that is far from filling the path may leave: one that makes no queue on the
// path's narrowest link, three quarters of what that seems to carry, since ten segments tell it to within a quarter. 0: not
// known; or there is a queue, where more than the window's share would take others' places in it; or several segments
// were lost at once, and so something drops what comes fast without a queue that would show: a policer, or a short queue
// that others use too.
func (c *Conn) rateByLink(wnd int64) pacing.Rate {
	rtt, least := c.rec.RTT().SRTT(), c.rec.RTT().MinRTT()
	if c.setsRates() || c.pace.overran || rtt > least+least/8 {
		return 0
	}
	r := c.pace.link.Rate()
	return pacing.Rate(min(r-r/4, perRTT(wnd, paceByLink, rtt)))
}

// paceRatio is the part of a window that leaves in a round trip, in per cent, and which round trip that is.
func (c *Conn) paceRatio(wnd int64) (ratio int64, rtt time.Duration) {
	small, rtt := c.isSmall(wnd), c.rec.RTT().SRTT()
	t, ok := c.cc.(congestion.Thresholder)
	switch slow := ok && c.cc.Window() < t.SSThresh()/2; {
	case slow && small && c.firstSlowStart():
		return paceSmall, c.rec.RTT().MinRTT()
	case slow:
		return paceSlowStart, rtt
	case small:
		return paceSmallAvoidance, rtt
	}
	return paceAvoidance, rtt
}

// isSmall reports whether a window makes no long queue, however it leaves.
func (c *Conn) isSmall(wnd int64) bool { return wnd <= smallWindow*int64(c.snd.mss) }

// firstSlowStart reports whether congestion control is in the slow start before the first loss.
func (c *Conn) firstSlowStart() bool {
	t, ok := c.cc.(congestion.Thresholder)
	return ok && t.SSThresh() == math.MaxInt64
}

// paceBurst is the burst at a rate that congestion control chose: no longer than a superframe of whole segments, whose
// rest would leave as a frame of its own each time. A short round trip adds to it: below 512 us it is a whole superframe,
// since there pacing would cost the CPU more than it spares the queues, which hold what is in flight anyway.
func (c *Conn) paceBurst(r pacing.Rate) int64 {
	mss, units := int64(c.snd.mss), min(c.minRTTUnits(), 62)
	n := min(pacing.Quantum(r, c.shard.stack.cfg.PaceBurst, c.snd.mss)+int64(pacing.MaxQuantum)>>units, pacing.MaxQuantum)
	if n > pacing.MaxQuantum/2 {
		if frame := c.superframe(); frame > mss {
			n = min(n, frame)
		}
	}
	return max(n-n%mss, 2*mss)
}

// minRTTUnits is the least round trip in units of 512 us.
func (c *Conn) minRTTUnits() time.Duration {
	return c.rec.RTT().MinRTT() / time.Microsecond >> tsoRTTLog
}

// isNear reports whether the least round trip is below 512 us: a network whose frames cost more than its queues.
func (c *Conn) isNear() bool { return c.minRTTUnits() == 0 }
