package netsim

import (
	"math/rand/v2"
	"time"

	"ocaserve/tcpstack/mono"
)

// WireConfig describes a wire and what goes wrong on it. Shares are from 0 to 1. The zero value delivers
// everything at once.
type WireConfig struct {
	Name  string
	Delay time.Duration // propagation, one way

	// Jitter adds to the delay of each packet, evenly distributed in [0, Jitter). Packets stay in order, later
	// ones being held up, unless JitterReorders is set.
	Jitter         time.Duration
	JitterReorders bool

	Loss      Loss    // which packets vanish; nil: none
	Duplicate float64 // share that arrive twice, the second time right behind
	Corrupt   float64 // share that arrive with one bit flipped that a checksum covers

	// Reorder is the share of packets that are held back for a time evenly distributed in (0, ReorderBy],
	// while others pass. Hold does the same to packets by their number on this wire, from 1.
	Reorder   float64
	ReorderBy time.Duration
	Hold      map[uint64]time.Duration
}

// A Wire delays packets, and loses, reorders, duplicates and damages some.
type Wire struct {
	base
	cfg  WireConfig
	last mono.Time // the latest arrival in order: jitter does not undercut it

	loss, jitter, reorder, duplicate, corrupt *rand.Rand
}

// NewWire makes a wire.
func (n *Network) NewWire(cfg WireConfig) *Wire {
	w := &Wire{base: base{net: n, label: n.name(cfg.Name, "wire")}, cfg: cfg}
	w.loss = n.random(w.label, "loss")
	w.jitter = n.random(w.label, "jitter")
	w.reorder = n.random(w.label, "reorder")
	w.duplicate = n.random(w.label, "duplicate")
	w.corrupt = n.random(w.label, "corrupt")
	return w
}

// SetDelay changes the propagation delay, as a route change does. Packets under way keep theirs, and
// overtake or are overtaken.
func (w *Wire) SetDelay(d time.Duration) { w.cfg.Delay, w.last = d, 0 }

// SetLoss changes the loss model; nil ends it.
func (w *Wire) SetLoss(l Loss) { w.cfg.Loss = l }

// Put decides p's fate.
func (w *Wire) Put(now mono.Time, p *Packet) {
	w.enter(p)
	if w.cfg.Loss != nil && w.cfg.Loss.Lost(now, w.loss, w.count.Packets, p) {
		w.count.Lost++
		w.count.Held--
		w.net.release(p)
		return
	}
	at := w.arrival(now)
	duplicate := w.cfg.Duplicate > 0 && w.duplicate.Float64() < w.cfg.Duplicate
	var twin *Packet
	if duplicate {
		twin = w.net.clone(p)
	}
	if w.cfg.Corrupt > 0 && w.corrupt.Float64() < w.cfg.Corrupt && flip(w.corrupt, p.Data) {
		w.count.Corrupted++
	}
	w.net.schedule(at, w, p)
	if duplicate {
		w.count.Duplicated++
		w.count.Held++
		w.net.schedule(at, w, twin)
	}
}

// arrival is when the packet that has just come in gets to the end.
func (w *Wire) arrival(now mono.Time) mono.Time {
	at := now.Add(w.cfg.Delay)
	if w.cfg.Jitter > 0 {
		at = at.Add(time.Duration(w.jitter.Int64N(int64(w.cfg.Jitter))))
	}
	if !w.cfg.JitterReorders {
		at = max(at, w.last)
		w.last = at
	}
	hold := w.cfg.Hold[w.count.Packets]
	if w.cfg.Reorder > 0 && w.reorder.Float64() < w.cfg.Reorder && w.cfg.ReorderBy > 0 {
		hold += 1 + time.Duration(w.reorder.Int64N(int64(w.cfg.ReorderBy)))
	}
	if hold > 0 {
		w.count.Reordered++
	}
	return at.Add(hold)
}

// fire is an arrival.
func (w *Wire) fire(now mono.Time, p *Packet) { w.leave(now, p) }

// flip inverts one random bit that a checksum covers. Another one would not test the receiver: it could
// not know.
func flip(r *rand.Rand, b []byte) bool {
	from := 0
	if len(b) > 8 && b[0]>>4 == 6 {
		from = 8 // the IPv6 header has no checksum; the pseudo-header covers the addresses (RFC 8200 section 8.1)
	}
	if len(b) <= from {
		return false
	}
	bit := r.IntN((len(b) - from) * 8)
	b[from+bit/8] ^= 1 << (bit % 8)
	return true
}
