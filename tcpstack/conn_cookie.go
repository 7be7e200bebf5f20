package tcpstack

import (
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/syn"
	"ocaserve/tcpstack/wire"
)

// Connection cookies, after the idea of Andre Oppermann's T/TCPv2 for FreeBSD: in the handshake each end gives the
// other a 64-bit number that only the two and those on the path between them know, and what could end the
// connection or confuse it from outside must show it. A blind attacker then has to guess 64 bits more than
// the 4-tuple and a number within the window (RFC 5961).
//
// What was taken is the exchange and the check on control segments. What was not: doing without the three-way
// handshake, which Fast Open has since solved. The option is experimental (RFC 6994: kind 254 and an ExID), off
// by default, and understood by this stack only.
//
//  1. A SYN carries the client's cookie; a SYN-ACK that carries the server's agrees.
//  2. From then on every RST, FIN and SYN carries the cookie that its receiver has given. One without it is
//     dropped, and answered by nothing.
//  3. Data carries none: it would take 16 bytes of each segment. For it RFC 5961 and PAWS have to do.
//
// The price: a host that has lost its memory cannot reset the connection, whose other end then waits for its
// time-outs; keepalive finds such connections. A FIN goes in a segment of its own.

// guard is a connection's cookies.
type guard struct {
	mine   uint64 // what the peer must show
	theirs uint64 // what we show
	on     bool   // agreed on
}

// halfGuard is the cookie of a client whose handshake is not over.
type halfGuard struct {
	theirs uint64
	until  mono.Time
}

const (
	maxHalfGuards = 1024             // half-open connections with cookies per shard; beyond, none are agreed on
	halfGuardLife = 90 * time.Second // longer than the SYN cache remembers
)

// offerGuard is what an active open begins with.
func (c *Conn) offerGuard() {
	if st := c.shard.stack; st.cfg.Cookies {
		c.guard = &guard{mine: st.isn.Guard(&c.flow, c.snd.iss)}
	}
}

// guardSyn puts our cookie into our SYN or SYN-ACK. A SYN that is repeated goes without, since something on the
// path may not like it; but the answer to the first one counts all the same.
func (c *Conn) guardSyn(o *wire.Options) {
	if g := c.guard; g != nil && (c.state == StateSynReceived || c.snd.synTries == 0) {
		o.HasGuard, o.Guard = true, g.mine
	}
}

// guardAgreed takes the peer's answer. SYNs that cross agree on nothing.
func (c *Conn) guardAgreed(seg *wire.Segment) {
	if c.guard == nil {
		return
	}
	if o := &seg.Options; seg.Flags&wire.ACK != 0 && o.HasGuard {
		c.guard.theirs, c.guard.on = o.Guard, true
		c.shard.stats.CookiesAgreed++
	} else {
		c.guard = nil
	}
}

// guardHeader adds the peer's cookie to a segment that needs it.
func (c *Conn) guardHeader(seg *wire.Segment) {
	if g := c.guard; g != nil && g.on && seg.Flags&(wire.RST|wire.FIN|wire.SYN) != 0 {
		seg.Options.HasGuard, seg.Options.Guard = true, g.theirs
	}
}

// guarded reports that FINs carry a cookie, so that they leave no room for a full segment.
func (c *Conn) guarded() bool { return c.guard != nil && c.guard.on }

// forged reports that a segment lacks the cookie that it must have.
func (c *Conn) forged(seg *wire.Segment) bool {
	if !c.guarded() || seg.Flags&(wire.RST|wire.FIN|wire.SYN) == 0 {
		return false
	}
	return !seg.Options.HasGuard || seg.Options.Guard != c.guard.mine
}

// rememberGuard keeps the cookie of a SYN until its handshake is over, if there is one, and room.
func (s *Shard) rememberGuard(now mono.Time, flow *wire.Flow, o *wire.Options) {
	m := s.opens.guards
	delete(m, *flow)
	if !s.stack.cfg.Cookies || !o.HasGuard {
		return
	}
	if len(m) >= maxHalfGuards && now.Sub(s.opens.swept) > time.Second {
		s.opens.swept = now
		for f, h := range m {
			if h.until <= now {
				delete(m, f)
			}
		}
	}
	if len(m) >= maxHalfGuards {
		return
	}
	if m == nil {
		s.opens.guards = make(map[wire.Flow]halfGuard)
	}
	s.opens.guards[*flow] = halfGuard{o.Guard, now.Add(halfGuardLife)}
}

// guardSynAck puts our cookie into the SYN-ACK of a half-open connection that has given its own.
func (s *Shard) guardSynAck(e *syn.Entry, o *wire.Options) {
	if _, ok := s.opens.guards[e.Flow]; ok {
		o.HasGuard, o.Guard = true, s.stack.isn.Guard(&e.Flow, e.ISS)
	}
}

// adoptGuard gives an accepted connection its cookies.
func (c *Conn) adoptGuard() {
	s := c.shard
	h, ok := s.opens.guards[c.flow]
	if !ok {
		return
	}
	delete(s.opens.guards, c.flow)
	c.guard = &guard{mine: s.stack.isn.Guard(&c.flow, c.snd.iss), theirs: h.theirs, on: true}
	s.stats.CookiesAgreed++
}
