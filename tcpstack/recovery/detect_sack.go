package recovery

// detectSACK is the loss detector of RFC 6675. IsLost(SeqNum), section 4: "DupThresh discontiguous SACKed
// sequences have arrived above SeqNum or more than (DupThresh - 1) * SMSS bytes with sequence numbers
// greater than SeqNum have been SACKed". What is true of a byte is true of all below, so that one edge
// moves up the stream, and finding its new place takes a look at the topmost SACKed entries only. (With NCR
// DupThresh is high, and it may be a third of them.)
func (s *Sender) detectSACK(o *Outcome) {
	s.raiseDupThresh(o)
	if o.Sacked > 0 || o.Exited {
		if edge := s.findLostEdge(); edge > s.lostEdge {
			o.Lost += s.markLost(s.lostEdge, edge)
		}
	}
	// Section 5 step (1): "If DupAcks >= DupThresh, go to step (4)", whose (4.3) sends the segment at
	// HighACK + 1. This is for segments smaller than SMSS.
	if s.state < Recovery && int(s.dupAcks) >= s.threshold() && s.sackedBytes > 0 && s.lostBytes == 0 {
		o.Lost += s.markSegmentLost()
	}
}

// findLostEdge returns the offset below which IsLost holds, or 0 if that is not above lostEdge.
func (s *Sender) findLostEdge() int64 {
	if s.fack <= s.lostEdge {
		return 0
	}
	all := s.board.all()
	thresh := s.threshold()
	if s.ncr.on && s.sackedBytes <= int64(thresh-1)*int64(s.mss) && s.board.len() < 2*thresh {
		return 0 // neither rule can hold: the usual case, and the threshold is high
	}
	var bytes int64
	blocks := 0
	for i := s.board.find(s.fack - 1); i >= 0 && all[i].end > s.lostEdge; i-- {
		if all[i].mark&sacked == 0 {
			continue
		}
		r := s.span(all, i)
		bytes += r.To - r.From
		blocks++
		if blocks >= thresh || bytes > int64(thresh-1)*int64(s.mss) {
			return r.From
		}
	}
	return 0
}
