package pacing

import "ocaserve/tcpstack/mono"

// HeldBack notes, when the sender may send again, that since then it did not lack data but was held back by something
// other than the schedule, such as a congestion window that was full. Departures that it could not use are no idle
// time: like a loop that woke late it makes up for them, for no more than SetCatchUp allows.
func (p *Pacer) HeldBack(now, since mono.Time) {
	if p.rate == 0 || p.next > now {
		return
	}
	p.next, p.rem, p.late = since, 0, true
	p.forget(now)
}
