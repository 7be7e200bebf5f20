package recovery

import (
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// Retransmit returns the first bytes that were judged lost and have not been sent again since, at most max
// of them and never across bytes that are not lost: rule 1 of NextSeg (RFC 6675 section 4). The caller
// sends what it can of the range's front and says so with Sent; until then the answer stays the same.
func (s *Sender) Retransmit(max int64) (stream.Range, bool) {
	if max <= 0 || s.cursor >= s.lostEdge || s.undo.frto == frtoSecond {
		return stream.Range{}, false
	}
	all := s.board.all()
	i := s.board.find(s.cursor)
	for i < len(all) && !all[i].waits() {
		i++
	}
	if i == len(all) {
		s.cursor = s.lostEdge
		return stream.Range{}, false
	}
	r := s.span(all, i)
	s.cursor = r.From
	for i++; i < len(all) && r.To-r.From < max && all[i].waits(); i++ {
		r.To = all[i].end
	}
	r.To = min(r.To, r.From+max)
	return r, true
}

// MustRetransmit reports that a retransmission is due now, whatever the window says: the first of an
// episode (RFC 6675 section 5 step (4.3); RFC 5681 section 3.2 step 3), and, without SACK, the one that a
// partial ACK asks for (RFC 6582 section 3.2 step 3). The caller then takes one segment from Retransmit even
// if Pipe is not below the congestion window.
func (s *Sender) MustRetransmit() bool {
	return s.owed && s.cursor < s.lostEdge && s.undo.frto != frtoSecond
}

// waits reports whether e is lost and not under way again.
func (e *burst) waits() bool { return e.mark&(lost|rexmit) == lost }

// Rescue returns a segment, at most max bytes, that is worth sending when nothing is judged lost and no new
// data can be sent, so that the ACK clock goes on: rules 3 and 4 of NextSeg. It has something only in
// Recovery and with SACK.
//
// Rule 3 offers the first hole below the highest SACKed byte. Rule 4 offers the last hole once per recovery.
// We deviate: a last hole that has been retransmitted already is not sent a third time.
//
// With RACK there is no rule 3, since time decides about holes. Rule 4 stays, for a tail of which nothing was
// heard yet: it is the loss probe that RFC 8985 section 7.2 has only outside of recovery. We deviate: it waits
// until the segment's own ACK can have come, the least round trip. Else that ACK would be taken for the
// probe's, and what was retransmitted between the two for lost once more.
func (s *Sender) Rescue(max int64) (stream.Range, bool) {
	if s.state != Recovery || !s.sack || max <= 0 {
		return stream.Range{}, false
	}
	n := min(max, int64(s.mss))
	all := s.board.all()
	for i := s.board.find(s.lostEdge); !s.rack.on && i < len(all) && all[i].end <= s.fack; i++ {
		if all[i].mark == 0 {
			r := s.span(all, i)
			return stream.Range{From: r.From, To: min(r.To, r.From+n)}, true
		}
	}
	return s.rescueLast(all, n)
}

// rescueLast is rule 4: "one segment of up to SMSS octets that MUST include the highest outstanding
// unSACKed sequence number SHOULD be returned, and RescueRxt set to RecoveryPoint".
func (s *Sender) rescueLast(all []burst, n int64) (stream.Range, bool) {
	if s.rescued >= s.una {
		return stream.Range{}, false
	}
	i := len(all) - 1
	if i >= 0 && all[i].mark&sacked != 0 && !s.rack.on {
		i--
	}
	early := i >= 0 && s.rack.on && s.rack.now.Sub(all[i].sent) < s.rtt.MinRTT()
	if i < 0 || all[i].mark&(rexmit|sacked) != 0 || early {
		return stream.Range{}, false
	}
	s.rescued = s.recover
	r := s.span(all, i)
	return stream.Range{From: max(r.From, r.To-n), To: r.To}, true
}

// resent notes the retransmission of [from, to), una <= from, to <= next. The entries in it that are alike
// become one: they have been sent together now.
func (s *Sender) resent(now mono.Time, from, to int64) {
	if from >= to {
		return
	}
	s.owed = false
	now = s.rack.stamp(now, true)
	s.split(from)
	s.split(to)
	all := s.board.all()
	lo, hi := s.board.find(from), s.board.find(to-1)+1
	alike := true
	id := s.newStamp()
	for i := lo; i < hi; i++ {
		s.resentOne(now, all, i, id)
		alike = alike && all[i].mark == all[lo].mark
	}
	if alike && hi-lo > 1 {
		one := all[lo]
		for _, e := range all[lo+1 : hi] {
			one.end, one.xmit = e.end, max(one.xmit, e.xmit)
		}
		s.board.splice(lo, hi, one)
	}
	s.fillStamp(id, to)
	if from <= s.cursor {
		s.cursor = max(s.cursor, to)
	}
	if s.rack.on && from == s.una {
		// RFC 8985 section 8 has one timer for all, which begins anew after each use. Otherwise a wide
		// reordering window would let the time-out come before the retransmission's ACK can.
		s.timer = now.Add(s.RTO())
	}
}

func (s *Sender) resentOne(now mono.Time, all []burst, i int, id uint32) {
	e := &all[i]
	if e.mark&sacked != 0 {
		return // what the receiver has needs no accounting, as little as a keep-alive probe does
	}
	if e.mark&rexmit == 0 {
		r := s.span(all, i)
		if s.rexmitBytes == 0 {
			s.rack.oldest = now
		}
		s.rexmitBytes += r.To - r.From
		e.mark |= rexmit
	}
	s.undo.resent(now, s.state, s.span(all, i))
	e.sent, e.stamp = now, id
	e.xmit = max(e.xmit, e.xmit+1) // saturates
}
