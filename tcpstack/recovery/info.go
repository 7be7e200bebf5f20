package recovery

// Marks is what the scoreboard knows of the bytes in flight, for display.
type Marks struct {
	Sacked  int64 // arrived out of order; without SACK, what the duplicate ACKs stand for
	Lost    int64 // judged lost, retransmitted or not
	Resent  int64 // retransmitted and still in flight
	Backoff int   // doublings of the RTO
	Reorder int   // ACKs that told of reordering
}

// Marks returns the current marks.
func (s *Sender) Marks() Marks {
	return Marks{
		Sacked: s.sackedBytes + s.dupBytes, Lost: s.lostBytes, Resent: s.rexmitBytes, Backoff: int(s.backoff),
		Reorder: int(s.rack.times),
	}
}
