package nicoffload

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// Wait sleeps until something has arrived, a short Transmit could go on, Wake, the end of the adapter, or the
// deadline. It may return early without reason.
func (d *Device) Wait(until mono.Time) error {
	d.alarm.Quiet() // what an old signal told is visible below
	why := uint32(asleep)
	if d.want > 0 {
		why = asleepForRoom
	}
	d.sleep.Store(why)
	defer d.sleep.Store(awake)
	// Order matters: sleep is published before the conditions are read, and whoever changes a condition does so
	// before it reads sleep. One of the two sees the other.
	if d.woken.Swap(false) || d.canGoOn() {
		return nil
	}
	if err := d.drained(); err != nil {
		return err
	}
	if left, ok := d.patience(until); ok {
		d.alarm.Sleep(left)
	}
	d.woken.Store(false)
	return d.drained()
}

// canGoOn reports whether Receive or Transmit can make progress.
func (d *Device) canGoOn() bool {
	if d.rx.tail.Load() != d.rx.head.Load()+d.lent {
		return true
	}
	if d.want == 0 {
		return false
	}
	d.poll()
	return d.room(d.want)
}

// patience is how long to sleep, negative for ever, and whether to sleep at all: until the deadline, or until the
// watchdog has to look at descriptors that do not complete.
func (d *Device) patience(until mono.Time) (time.Duration, bool) {
	if d.posted != d.done {
		until = min(until, d.moved.Add(d.nif.cfg.Watchdog))
	}
	if until == mono.Never {
		return -1, true
	}
	now := d.clock()
	if until <= now {
		d.watch(now)
		return 0, false
	}
	return until.Sub(now), true
}

// Wake makes the current or the next Wait return. It is cheap while the owner is awake.
func (d *Device) Wake() {
	d.woken.Store(true)
	d.rouse(asleep)
}

// rouse ends the owner's sleep, if it sleeps for at least this reason.
func (d *Device) rouse(why uint32) {
	if d.sleep.Load() >= why {
		d.alarm.Ring()
	}
}
