package recovery

// Without SACK a duplicate ACK says that one segment, no matter which, has arrived. dupBytes keeps those
// until the cumulative ACK covers them; it takes the place of SACKed bytes in Pipe, and so does what RFC
// 5681 section 3.2 does by inflating and deflating the congestion window.

// countDup takes one duplicate ACK. More of them than segments were in flight are not believed, since a receiver
// can forge them: RFC 5681 section 3.2, "a TCP MAY limit the number of times cwnd is artificially inflated during
// loss recovery to the number of outstanding segments". What is sent in a recovery does not count to those: the ACK
// of the retransmission comes back before its duplicates. dupBytes leaves room for the hole.
func (s *Sender) countDup(o *Outcome) {
	if s.state == Loss {
		return // likely from our own needless retransmissions
	}
	s.dupAcks = min(s.dupAcks+1, 1<<15)
	edge := s.next
	switch {
	case s.state == Recovery:
		edge = s.dupEdge
	case s.dupAcks > dupThresh:
		return // they did not lead into a recovery: RFC 3042 section 2 lets new data out for the first two
	}
	n := min(int64(s.mss), edge-s.una-max(s.lostBytes, int64(s.mss))-s.dupBytes)
	if n > 0 {
		s.dupBytes += n
		o.Delivered += n
	}
}

// settleDups returns how many of the acked bytes had been counted when their duplicate ACKs came, and
// takes them out of dupBytes. A partial ACK covers the hole, a segment for which there was no duplicate
// ACK, and what had arrived after it (RFC 6582 section 3.2 step 3, "deflate the congestion window by the
// amount of new data acknowledged", then "add back SMSS bytes").
func (s *Sender) settleDups(acked int64) int64 {
	n := s.dupBytes
	if s.state == Recovery && s.una < s.recover {
		n = min(n, max(0, acked-int64(s.mss)))
		n = max(n, s.dupBytes-max(0, s.Flight()-int64(s.mss))) // small segments: count no more than there is
	}
	s.dupBytes -= n
	s.dupEdge = s.next
	return n
}

// detectNewReno is the loss detector of RFC 6582: the segment at Una, when the third duplicate ACK or a
// partial ACK points at it.
func (s *Sender) detectNewReno(o *Outcome) {
	switch {
	case s.Flight() == 0:
	case s.state == Recovery && o.Acked > 0: // section 3.2 step 3, partial acknowledgment
		o.Lost += s.markSegmentLost()
		s.owed = true
	case s.state < Recovery && s.dupAcks == dupThresh && (s.una > s.recover || s.state == CWR):
		// Section 3.2 step 2: "the Cumulative Acknowledgment field covers more than 'recover'". Without
		// this, duplicate ACKs for what a time-out sent needlessly would reduce the window again. In CWR they do
		// not, and recover is where that ends.
		o.Lost += s.markSegmentLost()
	}
}
