package ktls

import (
	"errors"

	"ocaserve/ktls/offload"
	"ocaserve/tcpstack/ledger"
)

// A Reason says why a connection's records are not left to the interface.
type Reason uint8

const (
	ReasonCommand     Reason = iota // SetMode
	ReasonRetransmits               // too many: each costs the interface a whole record
	ReasonTableFull
	ReasonUnsupported
	ReasonPending
	ReasonEvicted
	ReasonSaturated
	ReasonDisabled

	NumReasons
)

var reasonNames = [NumReasons]string{
	"command", "retransmits", "table_full", "unsupported", "pending", "evicted", "saturated", "disabled",
}

func (r Reason) String() string { return reasonNames[r] }

// reasonOf is why a context in that health is of no use now.
func reasonOf(h offload.Health) Reason {
	return [...]Reason{
		offload.Pending: ReasonPending, offload.Evicted: ReasonEvicted,
		offload.Saturated: ReasonSaturated, offload.Disabled: ReasonDisabled,
	}[h]
}

// Switches counts changes between the interface and the CPU, by FreeBSD's names.
type Switches struct {
	ToIfnet uint64             // switch_to_ifnet
	ToSW    [NumReasons]uint64 // switch_to_sw, by reason
	Failed  [NumReasons]uint64 // switch_failed: attempts to use the interface
}

const (
	// rexmitWindow is over how many transmitted bytes retransmissions are measured.
	rexmitWindow = 1 << 20
	// DefaultMaxRexmit is the share of bytes that may be retransmitted before records leave the interface. It is that
	// of FreeBSD's kern.ipc.tls.ifnet_max_rexmit_pct, from which there is no way back.
	DefaultMaxRexmit = 0.02
	// calmRexmit is the part of it below which they come back.
	calmRexmit = 1. / 4
	// minHold and maxHold bound how many records are framed before the interface is tried again. It doubles
	// with each failure; records that stayed there for maxHold have earned the shortest.
	minHold, maxHold = 64, 64 << 6
)

// A helm is what a framer needs to choose between the interface and the CPU.
type helm struct {
	sent, rexmit uint64 // the book's sums when the window began
	since        uint64 // records framed when the last switch was, or was tried
	turn         uint64 // the interface's when the context was last found to be good, plus 1; 0: not since the last try
	hold         uint32 // records to frame before the next try
	calm         bool   // the last whole window had few retransmissions
	pending      bool   // a context is being set up
	why          Reason // of the last move away from the interface, or failure to use it
}

func newHelm() helm { return helm{hold: minHold / 2, calm: true} }

// SetBook names the connection's ledger: what is framed is booked there, and what was sent and retransmitted is
// read. Bytes that were sent before belong to the handshake. To name the same book again does nothing.
func (f *Framer) SetBook(b *ledger.Book) {
	if f.book == b {
		return
	}
	f.book, f.before = b, b.Sum(ledger.Sent)-f.wire
}

// ModeNow is who seals what is framed now: in ModeNIC it is ModeInline while the interface is of no use.
func (f *Framer) ModeNow() Mode { return f.now }

// Why says why records are not left to the interface, where Mode is ModeNIC and ModeNow is not.
func (f *Framer) Why() Reason { return f.helm.why }

// TXTLS is the mode by its name in FreeBSD's TCP_TXTLS_MODE.
func (m Mode) TXTLS() string {
	switch m {
	case ModeInline:
		return "SW"
	case ModeNIC:
		return "IFNET"
	}
	return "NONE"
}

// ErrFixedMode is returned by SetMode for other modes than inline and nic.
var ErrFixedMode = errors.New("ktls: only modes inline and nic can be switched between")

// SetMode moves a live connection to ModeNIC or ModeInline, at a record boundary, and keeps it there. The
// interface may be of no use for now: that is counted, and tried again.
func (f *Framer) SetMode(m Mode) error {
	switchable := func(m Mode) bool { return m == ModeInline || m == ModeNIC }
	switch {
	case f.closed:
		return ErrClosed
	case !switchable(f.mode) || !switchable(m):
		return ErrFixedMode
	case m == ModeNIC && f.pool.nic == nil:
		return ErrNoNIC
	}
	if f.mode = m; m == ModeInline {
		f.toInline(ReasonCommand)
	} else if f.now != ModeNIC {
		f.helm = newHelm()
		f.toNIC()
	}
	return nil
}

// steer looks, before a record is framed, who should seal it.
func (f *Framer) steer() {
	if f.mode != ModeNIC {
		return
	}
	rexmit, h := f.measure(), &f.helm
	if f.now == ModeNIC {
		if health := f.healthNow(); health != offload.Good {
			f.toInline(reasonOf(health))
		} else if rexmit > f.pool.maxRexmit {
			f.toInline(ReasonRetransmits)
		}
		return
	}
	if h.pending && f.health() != offload.Pending || !h.pending && h.calm && f.data-h.since >= uint64(h.hold) {
		f.toNIC()
	}
}

// health is that of the current key's context.
func (f *Framer) health() offload.Health { return f.pool.nic.Health(f.keys.lease.id) }

// healthNow is health, asked only where it may have changed since it was good.
func (f *Framer) healthNow() offload.Health {
	turn := f.pool.nic.Turn() + 1
	if f.helm.turn == turn {
		return offload.Good
	}
	health := f.health()
	if f.helm.turn = 0; health == offload.Good {
		f.helm.turn = turn
	}
	return health
}

// measure returns the share of retransmissions since the window began, as if this had been a whole window at least, and
// begins another one.
func (f *Framer) measure() float64 {
	h := &f.helm
	rexmit := f.book.Sum(ledger.Retransmitted)
	sent := f.book.Sum(ledger.Sent) + rexmit
	n := sent - h.sent
	if rexmit == h.rexmit && n < rexmitWindow {
		return 0
	}
	rate := float64(rexmit-h.rexmit) / float64(max(n, rexmitWindow))
	if n >= rexmitWindow {
		h.calm = rate < f.pool.maxRexmit*calmRexmit
		h.sent, h.rexmit = sent, rexmit
	}
	return rate
}

// toInline gives framed records to the CPU from the next boundary on.
func (f *Framer) toInline(why Reason) {
	h := &f.helm
	f.keys.endLease()
	if f.old != nil {
		f.old.endLease()
		f.old = nil
	}
	h.pending = false
	if f.now != ModeNIC {
		return
	}
	f.now = ModeInline
	f.pool.stats.Switches.ToSW[why]++
	if f.data-h.since > maxHold {
		h.hold = minHold / 2
	}
	h.calm = why != ReasonRetransmits
	f.backOff(why)
}

// toNIC leaves what is framed from now on to the interface, if it can.
func (f *Framer) toNIC() {
	if ok, why := f.try(); ok {
		f.pool.stats.Switches.ToIfnet++
	} else {
		f.failed(why)
	}
}

// try is toNIC without a count. A context that is not ready yet stays, and pending says so.
func (f *Framer) try() (ok bool, why Reason) {
	k, h := f.keys, &f.helm
	h.pending, h.turn = false, 0
	if k.lease.id == 0 {
		if err := k.rent(f.seq); errors.Is(err, offload.ErrNoContext) {
			return false, ReasonTableFull
		} else if err != nil {
			return false, ReasonUnsupported
		}
	}
	health := f.health()
	switch health {
	case offload.Good:
		k.leaveFrom(f.seq)
		h.since, f.now = f.data, ModeNIC
		return true, 0
	case offload.Pending:
		h.pending = true
	default:
		k.endLease()
	}
	return false, reasonOf(health)
}

func (f *Framer) failed(why Reason) {
	f.pool.stats.Switches.Failed[why]++
	f.backOff(why)
}

// begun takes the interface for a new connection, if it can: that is no switch.
func (f *Framer) begun() {
	if ok, why := f.try(); !ok {
		f.failed(why)
	}
}

// rekeyed takes the interface for a new key. Records under the old one keep their context.
func (f *Framer) rekeyed() {
	f.helm.pending = false
	if f.now != ModeNIC {
		return
	}
	f.now = ModeInline
	if ok, why := f.try(); !ok {
		f.pool.stats.Switches.ToSW[why]++
		f.backOff(why)
	}
}

// backOff lets more records pass before the next try. That a context takes time is no reason to.
func (f *Framer) backOff(why Reason) {
	f.helm.since, f.helm.why = f.data, why
	if why != ReasonPending {
		f.helm.hold = min(2*f.helm.hold, maxHold)
	}
}
