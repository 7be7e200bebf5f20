package recovery

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// RTO is the retransmission time-out with its back-off, between MinRTO and 60 s.
func (s *Sender) RTO() time.Duration {
	if s.rto >= maxRTO>>min(s.backoff, 16) {
		return maxRTO
	}
	return s.rto << s.backoff
}

// A Timer says what Timeout was about.
type Timer uint8

const (
	TimerNone    Timer = iota // it was called too early
	TimerRTO                  // RFC 6298
	TimerReorder              // RACK's reordering timer (RFC 8985 section 6.2 step 5)
	TimerProbe                // TLP's PTO: Probe has what to send, if anything (section 7.3)
)

func (t Timer) String() string {
	return [...]string{"none", "rto", "reorder", "probe"}[t&3]
}

// Deadline is when Timeout is due; mono.Never while nothing is in flight.
func (s *Sender) Deadline() mono.Time { return min(s.timer, s.aux) }

// SampleRTT takes a round-trip time that the caller measured, such as the handshake's.
func (s *Sender) SampleRTT(now mono.Time, d time.Duration) {
	if d <= 0 || d > maxSample {
		return
	}
	s.rtt.observe(now, d)
	s.sampleRTO(d)
	s.rtt.taken = 0 // not one of the stream's
}

// sampleRTO is RFC 6298 (2.2)-(2.4). We deviate from (2.4) in two ways, as Linux does: the floor is 200
// ms, not 1 s, and it applies to the part above SRTT, because a receiver may delay an ACK by up to 200 ms
// however long the path is. So the RTO is never below what (2.3) asks for.
//
// A sample ends the back-off (section 5, last paragraph; Karn's algorithm).
func (s *Sender) sampleRTO(d time.Duration) {
	s.rtt.update(d)
	s.rto = min(s.rtt.srtt+max(s.minRTO, s.rtt.variance()), maxRTO)
	s.backoff = 0
	s.probe.sampled = true
}

// restartTimer follows an ACK of new data, RFC 6298 (5.2) and (5.3).
func (s *Sender) restartTimer(now mono.Time, unsent int64) {
	if s.Flight() == 0 {
		s.timer = mono.Never
		return
	}
	s.timer = now.Add(s.RTO())
	// RFC 7765 section 4: too little is left for a fast retransmit, so that the time-out counts from when
	// the earliest segment was sent, not from this ACK, unless that is past ("RTO - T_earliest > 0").
	if s.restart && s.segments(s.Flight())+s.segments(unsent) < rtoRestartThresh {
		if at := s.board.all()[0].sent.Add(s.RTO()); at > now {
			s.timer = min(s.timer, at)
		}
	}
}

// segments is how many segments n bytes take.
func (s *Sender) segments(n int64) int64 { return (n + int64(s.mss) - 1) / int64(s.mss) }

// Timeout does what a timer is due for; Outcome.Kind tells which one. More than one may be due: the caller
// goes on for as long as Deadline is not in the future.
//
// The retransmission timer is RFC 6298 (5.4)-(5.6). All that is not SACKed is judged lost, in the
// order of the stream; the window is the caller's to reduce. Entered tells that this is the first time-out
// of the episode: RFC 5681 section 3.1 reduces ssthresh only then.
//
// With RACK only what is older than a round trip is (RFC 8985 section 6.3).
//
// Calling it early, or with nothing in flight, does nothing but give an empty Outcome.
func (s *Sender) Timeout(now mono.Time) Outcome {
	var o Outcome
	if s.Flight() == 0 || now.Before(s.Deadline()) {
		return o
	}
	if s.aux <= s.timer { // RFC 8985 section 7.2: the PTO never comes after the time-out
		s.auxTimeout(now, &o)
		s.delivery.countLost(o.Lost)
		return o
	}
	o.Kind = TimerRTO
	s.dropReneged(&o)
	o.Entered = s.state != Loss
	s.undo.expired(s.una, s.state)
	if s.rack.on && o.Reneged == 0 {
		s.loseOld(now, &o)
	} else {
		o.Lost = s.loseAll()
	}
	s.delivery.countLost(o.Lost)
	s.backoff = min(s.backoff+1, 16)
	s.timer = now.Add(s.RTO())
	return o
}

// MarkAllLost judges all that is not SACKed lost without a time-out: the path turned out to drop segments of
// the size that was sent (RFC 8201 section 5.4). It is no sign of congestion, so the
// window and the back-off stay; the timer starts anew.
func (s *Sender) MarkAllLost(now mono.Time) {
	if s.Flight() == 0 {
		return
	}
	s.undo.from = -1
	s.loseAll()
	s.timer = now.Add(s.RTO())
}

// loseAll enters Loss and returns the bytes that had not been judged lost before.
func (s *Sender) loseAll() int64 {
	s.move(evExpired)
	s.recover = s.next // RFC 6582 section 3.2 step 4, RFC 6675 section 5.1
	s.rack.expired = s.next
	s.dupAcks, s.dupBytes = 0, 0
	s.resetProbe()
	s.resetAux()
	s.forgetRetransmissions()
	n := s.markLost(s.una, s.next)
	s.cursor, s.lostEdge, s.owed = s.una, s.next, true
	return n
}

// dropReneged clears the SACK marks if the receiver may have dropped what it had SACKed (RFC 2018 section
// 8). RFC 6675 section 5.1 keeps them across a time-out where robust tests for reneging exist. Ours: a
// receiver that holds the byte at una would have acknowledged it; and a second time-out in a row leaves
// the benefit of the doubt behind.
func (s *Sender) dropReneged(o *Outcome) {
	all := s.board.all()
	if s.sackedBytes == 0 || all[0].mark&sacked == 0 && s.backoff == 0 {
		return
	}
	o.Reneged = s.sackedBytes
	for i := range all {
		if all[i].mark&sacked != 0 {
			all[i].mark = 0
			all[i].xmit = max(all[i].xmit, 2) // it was delivered once: its next ACK times nothing
		}
	}
	s.sackedBytes, s.fack = 0, s.una
}

// forgetRetransmissions takes back the rexmit marks: after a time-out they count as lost too.
func (s *Sender) forgetRetransmissions() {
	if s.rexmitBytes == 0 {
		return
	}
	all := s.board.all()
	for i := range all {
		all[i].mark &^= rexmit
	}
	s.rexmitBytes = 0
}
