package nicoffload

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// clock is the default of Config.Clock.
func clock() mono.Time { return mono.Now() }

// An alarm is a sleep that a signal ends.
type alarm struct {
	signal chan struct{} // holds one
	timer  *time.Timer   // made by the first sleep with a deadline
}

func newAlarm() alarm { return alarm{signal: make(chan struct{}, 1)} }

// ring ends the current or the next sleep.
func (a *alarm) ring() {
	select {
	case a.signal <- struct{}{}:
	default: // one is on its way
	}
}

// quiet forgets a signal that nobody slept for.
func (a *alarm) quiet() {
	select {
	case <-a.signal:
	default:
	}
}

// sleepUntil ends at the next signal or at the deadline.
func (a *alarm) sleepUntil(until mono.Time, now func() mono.Time) {
	if until == mono.Never {
		a.sleep(-1)
		return
	}
	if left := until.Sub(now()); left > 0 {
		a.sleep(left)
	}
}

// sleep ends at the next signal or after d; negative: only at a signal.
func (a *alarm) sleep(d time.Duration) {
	if d < 0 {
		<-a.signal
		return
	}
	if a.timer == nil {
		a.timer = time.NewTimer(d)
	} else {
		a.timer.Reset(d)
	}
	select {
	case <-a.signal:
		a.timer.Stop() // since Go 1.23 no stale value can be left in the channel
	case <-a.timer.C:
	}
}
