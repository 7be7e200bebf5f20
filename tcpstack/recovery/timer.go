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

// Deadline is when Timeout is due; mono.Never while nothing is in flight.
func (s *Sender) Deadline() mono.Time { return s.timer }

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
}

// restartTimer follows an ACK of new data, RFC 6298 (5.2) and (5.3).
func (s *Sender) restartTimer(now mono.Time) {
	if s.Flight() == 0 {
		s.timer = mono.Never
		return
	}
	s.timer = now.Add(s.RTO())
}

// Timeout is RFC 6298 (5.4)-(5.6): the timer has expired. All that is not SACKed is judged lost, in the
// order of the stream; the window is the caller's to reduce. Entered tells that this is the first time-out
// of the episode: RFC 5681 section 3.1 reduces ssthresh only then.
//
// Calling it early, or with nothing in flight, does nothing but give an empty Outcome.
func (s *Sender) Timeout(now mono.Time) Outcome {
	var o Outcome
	if s.Flight() == 0 || now.Before(s.timer) {
		return o
	}
	s.dropReneged(&o)
	o.Entered = s.state != Loss
	o.Lost = s.loseAll()
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
	s.loseAll()
	s.timer = now.Add(s.RTO())
}

// loseAll enters Loss and returns the bytes that had not been judged lost before.
func (s *Sender) loseAll() int64 {
	s.move(evExpired)
	s.recover = s.next // RFC 6582 section 3.2 step 4, RFC 6675 section 5.1
	s.dupAcks, s.dupBytes = 0, 0
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
