package tcpstack

import (
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/recovery"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/trace"
)

// Packetization layer path MTU discovery (RFC 4821, with what RFC 8899 made of it for other protocols): the path
// is asked with segments, not believed to send errors.
//
//  1. Full-sized segments time out again and again: a black hole (mtuTimedOut). The MTU falls to a base that
//     nearly every path carries.
//  2. When there is enough to send, one segment is built larger than the others (mtuProbe).
//  3. It is acknowledged, and the MTU is its size; or it alone is lost, which is no sign of congestion
//     (mtuReact). Three losses make its size too much.
//  4. When no size is left that is worth a try the search rests for ten minutes.
//
// What is found out is kept for the next connections to the same host.

// MTUProbing says when the path's MTU is searched with probes (Linux: tcp_mtu_probing).
type MTUProbing uint8

const (
	MTUProbeBlackHole MTUProbing = iota // after a black hole, or ten minutes after a router's error (1)
	MTUProbeOff                         // never: only ICMP errors tell (0)
	MTUProbeAlways                      // every connection begins at the base and searches up (2)
)

const (
	basePMTU4    = 1064 // an MSS of 1024, as Linux's tcp_base_mss
	basePMTU6    = minPMTU6
	mtuStalls    = 3                // time-outs in a row that make a black hole (Linux: tcp_retries1; RFC 8899: MAX_PROBES)
	mtuTries     = 3                // losses that make a size too much (RFC 8899 section 5.1.2: MAX_PROBES)
	mtuRest      = 10 * time.Minute // PMTU_RAISE_TIMER (RFC 8899 section 5.1.1), and RFC 1191 section 6.3
	mtuWorth     = 8                // bytes more that are worth a probe (Linux: tcp_probe_threshold)
	mtuFollowers = 3                // segments behind a probe, so that its loss is noticed without a time-out
	mtuWindow    = 11               // segments of congestion window from which on probes are sent, as Linux
)

// mtuSizes are sizes that paths have: tunnels over Ethernet, PPPoE, Ethernet, FDDI, jumbo frames. Probing only
// these, a search takes few probes (RFC 4821 section 7.3 suggests such a list).
var mtuSizes = [...]int{
	576, 1006, 1280, 1360, 1400, 1420, 1440, 1460, 1472, 1480, 1492, 1500,
	2002, 4352, 8166, 9000, 16110, 65535,
}

// mtuEntry is what a shard remembers of the path to a host. To forget it costs a search, nothing else.
type mtuEntry struct {
	mtu   int       // works, bytes
	high  int       // nothing larger does
	until mono.Time // not believed any more then
}

// mtuState is a connection's search.
type mtuState struct {
	from      int64  // where the probe in flight begins
	raiseAt   uint32 // the search rests until then, in seconds of the clock; 0: for good
	n         uint16 // the probe's payload; 0: none is in flight
	size      uint16 // of its packet
	high      uint16 // no larger one gets through (search_high); the low end is snd.pmtu
	tries     uint8  // losses of a probe of size
	stalls    uint8  // time-outs since the last progress
	searching bool
	unproved  bool // lowered for a black hole, and nothing was acknowledged since
	forgiven  bool // in a recovery that began with a lost probe, and did not reduce the window
}

// seconds is t in whole seconds of the clock.
func seconds(t mono.Time) uint32 { return uint32(t / mono.Time(time.Second)) }

// mtuLimit is the largest packet that makes sense: the interface's, or what carries the peer's MSS.
func (c *Conn) mtuLimit() int { return min(c.shard.batch.caps.MTU, 0xffff, c.opt.peerMSS+c.ipLen()+20) }

func (c *Conn) ipLen() int {
	if c.flow.Local.Is4() {
		return 20
	}
	return 40
}

// mtuStart takes over what is known of the path when a connection is established.
func (c *Conn) mtuStart(now mono.Time) {
	mode := c.shard.stack.cfg.MTUProbing
	if mode == MTUProbeOff {
		return
	}
	c.mtu.high = uint16(c.mtuLimit())
	if e, ok := c.shard.opens.mtus.get(c.flow.Remote); ok && now < e.until {
		c.snd.pmtu, c.mtu.high = min(c.snd.pmtu, e.mtu), min(c.mtu.high, uint16(e.high))
		c.mtu.searching, c.mtu.raiseAt = e.high > e.mtu, seconds(e.until)
		c.setMSS()
	} else if mode == MTUProbeAlways {
		c.snd.pmtu, c.mtu.searching = min(c.snd.pmtu, c.basePMTU()), true
		c.setMSS()
	}
}

func (c *Conn) basePMTU() int {
	if c.flow.Local.Is4() {
		return basePMTU4
	}
	return basePMTU6
}

// mtuTimedOut follows each retransmission time-out. Several without any progress while full-sized segments are
// in flight suggest that those get lost for their size (RFC 4821 section 7.7, full-stop timeout; RFC 2923
// section 2.1). The MTU falls to the base, or from there to the floor. If it was something else, the search
// upwards makes it good.
func (c *Conn) mtuTimedOut() {
	c.mtu.n, c.mtu.forgiven = 0, false // a probe in flight proves nothing any more (section 7.6.4: inconclusive)
	c.mtu.stalls++
	if c.shard.stack.cfg.MTUProbing == MTUProbeOff || c.mtu.stalls < mtuStalls || c.rec.Flight() < int64(c.snd.mss) {
		return
	}
	next := c.basePMTU()
	if c.snd.pmtu <= next {
		next = minPMTU4 // less than the base of IPv6, where it changes nothing
	}
	if c.snd.mss+c.ipLen()+20 <= next || !c.flow.Local.Is4() && next < minPMTU6 {
		return
	}
	c.shard.stats.MTUBlackHoles++
	c.snd.pmtu = next
	c.mtu.stalls, c.mtu.searching, c.mtu.unproved, c.mtu.tries = 0, true, true, 0
	c.mtu.high = max(c.mtu.high, uint16(c.mtuLimit())) // an outage would look the same: the old size may still be right
	c.setMSS()
}

// mtuProbe is the payload of a probe that is due, 0 if none is, and -1 if one must wait for the congestion window
// to have room for it, and everything behind it too. waiting bytes have not been sent yet. Probes are
// made of real data, when the path is in order, one at a time, with enough behind them to notice a loss, and only
// what the windows have room for anyway (RFC 4821 section 7.4, probing preconditions).
func (c *Conn) mtuProbe(now mono.Time, waiting int64) int64 {
	if !c.mtu.searching && (c.mtu.raiseAt == 0 || seconds(now) < c.mtu.raiseAt) {
		return 0
	}
	if c.mtu.n != 0 || c.rec.State() != recovery.Open || c.ecn.sendCWR {
		return 0
	}
	if !c.mtu.searching { // the raise timer: conditions may have changed (RFC 8899 section 5.1.1)
		c.mtu.searching, c.mtu.high, c.mtu.tries = true, uint16(c.mtuLimit()), 0
	}
	if c.mtu.tries == 0 {
		c.mtu.size = uint16(nextMTU(c.snd.pmtu, int(c.mtu.high)))
	}
	if c.mtu.size == 0 {
		c.mtuFound(now)
		return 0
	}
	n := int64(int(c.mtu.size) - c.mtuOverhead())
	room := min(waiting, c.windowRoom())
	if room < n+mtuFollowers*int64(c.snd.mss) || c.window() < max(mtuWindow*int64(c.snd.mss), 2*n) {
		return 0
	}
	if c.window()-c.rec.Pipe() < n {
		return -1
	}
	return n
}

// mtuOverhead is what of a full packet is not payload.
func (c *Conn) mtuOverhead() int {
	n := c.ipLen() + 20
	if c.opt.timestamps {
		n += 12
	}
	return n
}

// nextMTU is the size to try next between one that is known to work and the largest that may: the middle of the
// common ones, at last the largest. 0: nothing between them is worth it.
func nextMTU(low, high int) int {
	first, end := len(mtuSizes), len(mtuSizes)
	for i, v := range mtuSizes {
		if v >= low+mtuWorth {
			first = min(first, i)
		}
		if v > high {
			end = min(end, i)
		}
	}
	switch {
	case first < end:
		return mtuSizes[first+(end-first)/2]
	case high >= low+mtuWorth:
		return high
	}
	return 0
}

// commonBelow is the largest common size below v.
func commonBelow(v int) int {
	n := 0
	for _, size := range mtuSizes {
		if size < v {
			n = size
		}
	}
	return n
}

// mtuFound ends a search.
func (c *Conn) mtuFound(now mono.Time) {
	c.mtu.searching, c.mtu.raiseAt = false, 0
	if c.snd.pmtu < c.mtuLimit() {
		c.mtu.raiseAt = seconds(now.Add(mtuRest))
	}
	c.mtuRemember(now, c.snd.pmtu)
}

// mtuRemember keeps what was found for the next connections; high is the largest size that may work.
func (c *Conn) mtuRemember(now mono.Time, high int) {
	c.shard.opens.mtus.put(c.flow.Remote, mtuEntry{mtu: c.snd.pmtu, high: high, until: now.Add(mtuRest)})
}

// outputMTUProbe sends a probe that is due. wait says that nothing else may be sent before.
func (c *Conn) outputMTUProbe(now mono.Time, waiting int64) (sent, wait bool) {
	n := c.mtuProbe(now, waiting)
	if n <= 0 {
		return false, n < 0
	}
	from := c.rec.Next()
	if c.uniform(from, from+n) < from+n {
		return false, false // one segment cannot carry this: the probe's turn comes
	}
	switch c.mayLeave(now, n) {
	case n:
		return c.transmitMTUProbe(now, stream.Range{From: from, To: from + n}), true
	case 0:
		return false, true // the pacer's timer runs
	}
	return false, false // a part may leave: let it, the probe's turn comes
}

// transmitMTUProbe sends the new bytes of r as one segment.
func (c *Conn) transmitMTUProbe(now mono.Time, r stream.Range) bool {
	c.mtu.from, c.mtu.n = r.From, uint16(r.Len())
	if !c.transmit(now, r.From, r.To) {
		c.mtu.n = 0
		return false
	}
	return c.wasSent(now, r, trace.CauseNone)
}

// isMTUProbe reports whether the new bytes up to `to` go as one segment, whatever the MSS.
func (c *Conn) isMTUProbe(from, to int64) bool {
	return c.mtu.n > 0 && c.mtu.end() == to && from >= c.rec.Next()
}

// end is where the probe ends.
func (m *mtuState) end() int64 { return m.from + int64(m.n) }

// mtuReact takes what an ACK says of a probe. It reports true if the loss it tells of is the probe's alone: then
// the window stays: the isolated loss of a probe indicates an MTU limit and not congestion (RFC 4821 sections 3 and
// 7.6.2).
func (c *Conn) mtuReact(now mono.Time, out *recovery.Outcome) bool {
	m := &c.mtu
	if out.Acked > 0 {
		m.stalls = 0
		if m.unproved { // it was the size indeed, or looks so: others need not find out again
			m.unproved = false
			c.mtuRemember(now, int(m.high))
		}
	}
	switch {
	case m.forgiven && c.rec.State() != recovery.Recovery:
		m.forgiven = false
	case m.forgiven && out.Lost > 0: // now something else is lost too
		m.forgiven, out.Entered = false, true
	case m.n == 0:
	case out.Lost > 0:
		return c.mtuLost(out)
	case c.rec.Una() >= m.end():
		c.mtuPassed(now)
	}
	return false
}

// mtuPassed takes a probe's size as the MTU (RFC 4821 section 7.6.1).
func (c *Conn) mtuPassed(now mono.Time) {
	c.shard.stats.MTUPSuccess++
	c.snd.pmtu, c.mtu.n, c.mtu.tries = int(c.mtu.size), 0, 0
	c.setMSS()
	if nextMTU(c.snd.pmtu, int(c.mtu.high)) == 0 {
		c.mtuFound(now)
	} else {
		c.mtuRemember(now, int(c.mtu.high))
	}
}

// mtuLost judges a loss while a probe is in flight. If other bytes are lost with it, it says nothing about the
// size (RFC 4821 section 7.6.4: inconclusive), and it is congestion. If the probe alone is, it may still have
// been chance, hence the tries.
func (c *Conn) mtuLost(out *recovery.Outcome) bool {
	m := &c.mtu
	r, ok := c.rec.Retransmit(maxSuper)
	alone := ok && r.From >= m.from && r.To <= m.end() && c.rec.Marks().Lost == r.Len()
	m.n = 0
	if !alone || !out.Entered {
		return false
	}
	c.shard.stats.MTUPFail++
	if m.tries++; m.tries >= mtuTries {
		m.high, m.tries = uint16(max(c.snd.pmtu, min(int(m.high), commonBelow(int(m.size))))), 0
	}
	m.forgiven = true
	c.rec.Unwatch()
	return true
}

// mtuTold follows a router's error that says how much fits (RFC 1191, RFC 8201): it ends a search, and what lies
// above is tried again after ten minutes (RFC 1191 section 6.3).
func (c *Conn) mtuTold(now mono.Time) {
	if c.shard.stack.cfg.MTUProbing == MTUProbeOff {
		return
	}
	c.mtu.n, c.mtu.tries, c.mtu.high, c.mtu.searching = 0, 0, uint16(c.snd.pmtu), false
	c.mtu.raiseAt = seconds(now.Add(mtuRest))
	c.mtuRemember(now, c.snd.pmtu)
}
