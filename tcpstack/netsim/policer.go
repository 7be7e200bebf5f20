package netsim

import (
	"encoding/binary"
	"math/bits"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/mono"
)

// PolicerConfig describes a token bucket that drops what exceeds it, and delays nothing.
type PolicerConfig struct {
	Name  string
	Rate  pacing.Rate // must be above 0
	Burst int64       // bytes the bucket holds; it is full at first
}

// A Policer lets pass at most Burst + Rate*t bytes within any time t, exactly.
type Policer struct {
	base
	cfg  PolicerConfig
	last mono.Time
	have int64 // whole bytes in the bucket
	part int64 // and billionths of one
}

// NewPolicer makes a policer.
func (n *Network) NewPolicer(cfg PolicerConfig) *Policer {
	if cfg.Rate <= 0 {
		panic("netsim: a policer needs a rate")
	}
	return &Policer{base: base{net: n, label: n.name(cfg.Name, "policer")}, cfg: cfg, last: n.now, have: cfg.Burst}
}

// Put hands p on if there are tokens for it.
func (o *Policer) Put(now mono.Time, p *Packet) {
	o.enter(p)
	o.refill(now)
	if int64(len(p.Data)) > o.have {
		o.drop(p)
		return
	}
	o.have -= int64(len(p.Data))
	o.leave(now, p)
}

func (o *Policer) refill(now mono.Time) {
	hi, lo := bits.Mul64(uint64(o.cfg.Rate), uint64(now.Sub(o.last)))
	lo, carry := bits.Add64(lo, uint64(o.part), 0)
	hi += carry
	o.last = now
	if hi < uint64(time.Second) {
		whole, part := bits.Div64(hi, lo, uint64(time.Second))
		if room := o.cfg.Burst - o.have; whole < uint64(room) {
			o.have += int64(whole)
			o.part = int64(part)
			return
		}
	}
	o.have, o.part = o.cfg.Burst, 0
}

// NarrowConfig describes a link with a smaller MTU than the hosts'.
type NarrowConfig struct {
	Name string
	MTU  int
}

// Narrow drops packets above its MTU. It says nothing about it: a path MTU black hole, unless Report is
// set.
type Narrow struct {
	base
	mtu int
	// Report is called with each packet that is too large, before it is dropped; it may send an ICMP
	// message back with Network.Inject.
	Report func(now mono.Time, p *Packet, mtu int)
}

// NewNarrow makes a narrow place of the path.
func (n *Network) NewNarrow(cfg NarrowConfig) *Narrow {
	return &Narrow{base: base{net: n, label: n.name(cfg.Name, "narrow")}, mtu: cfg.MTU}
}

// Put hands p on if it fits.
func (o *Narrow) Put(now mono.Time, p *Packet) {
	o.enter(p)
	if len(p.Data) <= o.mtu {
		o.leave(now, p)
		return
	}
	if o.Report != nil {
		o.Report(now, p, o.mtu)
	}
	o.drop(p)
}

// Inject puts a copy of a packet into the network at a sink.
func (n *Network) Inject(to Sink, data []byte) { to.Put(n.now, n.newPacket(data)) }

// markCE sets Congestion Experienced on a packet of an ECN-capable transport and reports whether it was
// one (RFC 3168 section 5). The IPv4 checksum follows.
func markCE(b []byte) bool {
	const ce = 3
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		if b[1]&ce == 0 {
			return false
		}
		b[1] |= ce
		sum4(b)
		return true
	case len(b) >= 40 && b[0]>>4 == 6:
		word := binary.BigEndian.Uint16(b)
		if word>>4&ce == 0 {
			return false
		}
		binary.BigEndian.PutUint16(b, word|ce<<4)
		return true
	}
	return false
}
