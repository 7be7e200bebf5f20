package syn

import (
	"crypto/subtle"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// CookieTick is the life of a cookie secret. A cookie made in one tick is accepted in that tick and the next:
// for at least 64 and at most 128 seconds.
const CookieTick = 64 * time.Second

// Cookies answer SYNs without remembering them. Our initial sequence number carries what the ACK does not
// repeat, and a MAC that nobody else can make:
//
//	 31                                    8 7      6      5..3      2..0
//	+---------------------------------------+------+------+---------+------+
//	| MAC(tick secret; flow, IRS, options)  | tick | SACK | scale   | MSS  |   low 8 bits masked by MAC bits
//	+---------------------------------------+------+------+---------+------+
//
// It is FreeBSD's layout rather than Linux's (which has the MSS alone in the number, and 2^-21 for a guess): an
// ACK made up from nothing is accepted once in 2^24 times, and window scale and SACK survive even without
// timestamps. Sizes are rounded down to those of a table, which costs speed, never correctness.
//
// If the peer uses timestamps, the low 6 bits of our TSVal carry the exact window scale, SACK and ECN as in Linux;
// they come back in TSEcr and are covered by the MAC. Without timestamps there is no place for ECN.
//
// We deviate from RFC 6528 for these connections, as everybody does: the number is no clock. And a cookie
// cannot be sent again: if the SYN-ACK is lost, the peer's SYN comes again.
type Cookies struct {
	master Key // the secrets of the ticks derive from it
	hide   Key // secret of the mask
	ts     *Generator
	secret [2]Key    // of the current tick and of the one before, by tick parity
	tick   int64     // of the newest secret; 0: none yet
	made   mono.Time // when the last cookie was made
	stats  CookieStats
}

// CookieStats count since the start, by their Linux names SyncookiesSent, -Recv and -Failed.
type CookieStats struct{ Sent, Received, Failed uint64 }

// NewCookies returns a maker and checker of cookies. All shards of a stack may hold the same key. The
// timestamps of cookies count from g's offsets.
func NewCookies(k Key, g *Generator) *Cookies {
	return &Cookies{master: k.derive('c', 0), hide: k.derive('m', 0), ts: g}
}

// Stats returns the counters.
func (c *Cookies) Stats() CookieStats { return c.stats }

var (
	// cookieMSS are the sizes a cookie can say, RFC 9293's and RFC 8200's defaults, common tunnels, Ethernet
	// and jumbo frames among them.
	cookieMSS = [8]uint16{216, 536, 1220, 1360, 1400, 1440, 1460, 8940}
	// cookieScale are the window scales a cookie can say without timestamps.
	cookieScale = [8]uint8{noScale, 0, 2, 4, 6, 7, 8, 10}
)

const (
	noScale = 15 // stands for "no window scaling": a shift is at most 14 (RFC 7323 section 2.3)

	cookieTickBit = 1 << 7
	cookieSACKBit = 1 << 6

	tsScaleMask = 15
	tsSACKBit   = 1 << 4
	tsECNBit    = 1 << 5
	tsBits      = tsScaleMask | tsSACKBit | tsECNBit
)

// options are what a cookie says about a connection.
type options struct {
	mss   uint8 // index into cookieMSS
	scale uint8 // shift, or noScale
	sack  bool
	ts    bool
	ecn   bool // only with ts
}

// Make returns the initial sequence number for the SYN-ACK that answers a SYN with sequence number irs and
// options o, and its TSVal, to be sent if o has timestamps. The SYN-ACK's other options are the usual ones. ecn says
// that ECN is to be agreed on; without timestamps it must be declined, since nobody would remember.
func (c *Cookies) Make(now mono.Time, f *wire.Flow, irs wire.Seq, o *wire.Options, ecn bool) (iss wire.Seq, tsval uint32) {
	c.made = now
	c.stats.Sent++
	w := options{mss: mssIndex(o.MSS, f.Remote.Is4()), scale: noScale, sack: o.SACKPermitted, ts: o.HasTS, ecn: ecn && o.HasTS}
	if o.HasWScale {
		w.scale = min(o.WScale, 14)
	}
	idx := scaleIndex(w.scale)
	if w.ts {
		tsval = c.tsVal(now, f, w)
	} else {
		w.scale = cookieScale[idx]
	}
	tick := c.rotate(now)
	data := w.mss | idx<<3 | flag(w.sack, cookieSACKBit) | uint8(tick&1)<<7
	return c.seal(tick, f, irs, w, data), tsval
}

// Check reports whether s, an ACK of flow f, answers a cookie of ours that is still valid, and returns the
// connection that it opens. s must not carry SYN or RST. The first RTT must not be taken from its TSEcr, whose
// low bits were not time.
func (c *Cookies) Check(now mono.Time, f *wire.Flow, s *wire.Segment) (Entry, bool) {
	if !c.expecting(now) || s.Flags&(wire.ACK|wire.SYN|wire.RST) != wire.ACK {
		return Entry{}, false
	}
	irs, iss := s.Seq-1, s.Ack-1
	tick, w, data := c.open(now, f, irs, iss, &s.Options)
	if subtle.ConstantTimeEq(int32(c.seal(tick, f, irs, w, data)), int32(iss)) != 1 {
		c.stats.Failed++
		return Entry{}, false
	}
	c.stats.Received++
	e := Entry{Flow: *f, IRS: irs, ISS: iss, MSS: cookieMSS[w.mss], SACK: w.sack, TS: w.ts, ECN: w.ecn}
	if w.ts {
		e.TSRecent = s.Options.TSVal
	}
	if w.scale != noScale {
		e.WScale, e.HasWScale = w.scale, true
	}
	return e, true
}
