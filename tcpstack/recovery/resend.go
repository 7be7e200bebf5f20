package recovery

import "ocaserve/tcpstack/mono"

// MarkAllLost judges everything that is not SACKed as lost without a time-out: the path was found to drop
// segments of the size that was sent (RFC 8201 section 5.4). The window is not the caller's to reduce: it
// is no sign of congestion. The timer starts anew, without back-off.
func (s *Sender) MarkAllLost(now mono.Time) {
	if s.Flight() == 0 {
		return
	}
	s.move(evExpired)
	s.recover = s.next
	s.dupAcks, s.dupBytes = 0, 0
	s.forgetRetransmissions()
	s.markLost(s.una, s.next)
	s.cursor, s.lostEdge = s.una, s.next
	s.timer = now.Add(s.RTO())
}
