package memory

import (
	"net"

	"ocaserve/tcpstack/mono"
)

// Wait sleeps until something has arrived, a short Transmit could go on, Wake, Close (net.ErrClosed) or
// the deadline. It may return early without reason. The frames of the last Receive stay valid, and with
// them the ring's room stays taken: receive until nothing is left before waiting.
func (d *Device) Wait(until mono.Time) error {
	d.rest.Quiet() // a ring left over from a Wait that returned for another reason: what it told is visible below
	why := uint32(asleep)
	if d.wantRing != nil {
		why = asleepForRoom
	}
	d.sleep.Store(why)
	defer d.sleep.Store(awake)
	// Order matters: sleep is published before the conditions are read, and whoever changes a
	// condition does so before it reads sleep. One of the two sees the other.
	if d.woken.Swap(false) || d.ready() {
		return nil
	}
	if d.cable.closed.Load() {
		return net.ErrClosed
	}
	d.rest.SleepUntil(until, d.cable.cfg.Clock)
	d.woken.Swap(false)
	return d.closedErr()
}

// ready reports whether Receive or Transmit can make progress.
func (d *Device) ready() bool {
	if d.in.tail.Load() != d.in.head.Load()+d.lent {
		return true
	}
	return d.wantRing != nil && d.wantRing.room(d.wantLen)
}

// closedErr lets frames that crossed before the cut be received first.
func (d *Device) closedErr() error {
	if d.cable.closed.Load() && !d.ready() {
		return net.ErrClosed
	}
	return nil
}

// Wake makes the current or the next Wait return. It is cheap while the owner is awake.
func (d *Device) Wake() {
	d.woken.Store(true)
	d.wakeIfAsleep()
}

// wakeIfAsleep ends the owner's sleep, if it sleeps.
func (d *Device) wakeIfAsleep() {
	if d.sleep.Load() != awake {
		d.rest.Ring()
	}
}
