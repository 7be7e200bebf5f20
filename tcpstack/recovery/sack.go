package recovery

import "ocaserve/tcpstack/stream"

// takeSACK marks what the blocks report. Only a block above Una and not above Next can be news:
//   - one that ends at or below Una is a D-SACK (RFC 2883): bytes arrived twice;
//   - one that begins at or below Una and ends above it contradicts the ACK: a receiver that holds the byte
//     at Una acknowledges it. An old ACK from before a receiver reneged looks like this;
//   - one that ends above Next reports bytes that were never sent.
func (s *Sender) takeSACK(blocks []stream.Range, o *Outcome, rtt *sample) {
	before := o.Sacked
	for i, r := range blocks {
		switch {
		case r.From >= r.To || r.To > s.next:
			o.Invalid++
		case r.To <= s.una:
			o.Duplicate++
		case r.From <= s.una:
			o.Invalid++
		case i == 0 && len(blocks) > 1 && blocks[1].From <= r.From && r.To <= blocks[1].To:
			o.Duplicate++ // RFC 2883 section 4: the first block lies within the second
		default:
			s.sackRange(r.From, r.To, o, rtt)
		}
	}
	if o.Sacked > before {
		// RFC 6675 section 2: a duplicate ACK is one that reports bytes not SACKed before.
		s.dupAcks = min(s.dupAcks+1, 1<<15)
	}
	o.Delivered += o.Sacked - before
}

// sackRange marks [from, to), una < from < to <= next, as received: the entries it touches become one,
// with their SACKed neighbours, and what it leaves of the first and the last stays.
func (s *Sender) sackRange(from, to int64, o *Outcome, rtt *sample) {
	all := s.board.all()
	p, q := s.board.find(from), s.board.find(to-1)
	from, to, p, q = s.coarsen(all, from, to, p, q)
	if from >= to || p == q && all[p].mark&sacked != 0 {
		return
	}
	s.countSacked(all[p:q+1], from, to, o, rtt)
	first, last := all[p], all[q]
	merged := burst{end: to, mark: sacked}
	for _, e := range all[p : q+1] { // should the receiver renege: no part is taken for older than it is
		merged.sent, merged.xmit = max(merged.sent, e.sent), max(merged.xmit, e.xmit)
	}

	with := make([]burst, 0, 3) // stays on the stack
	switch {
	case first.mark&sacked != 0: // joins it
	case from > s.start(all, p):
		first.end = from
		with = append(with, first)
	case p > 0 && all[p-1].mark&sacked != 0:
		p--
	}
	switch {
	case last.mark&sacked != 0:
		merged.end = last.end
		with = append(with, merged)
	case to < last.end:
		with = append(with, merged, last)
	case q+1 < len(all) && all[q+1].mark&sacked != 0:
		q++
		merged.end = all[q].end
		with = append(with, merged)
	default:
		with = append(with, merged)
	}
	s.board.splice(p, q+1, with...)
	s.fack = max(s.fack, to)
}

// countSacked moves the unSACKed bytes of [from, to), which touches exactly the entries given, from the
// other sums into sackedBytes.
func (s *Sender) countSacked(touched []burst, from, to int64, o *Outcome, rtt *sample) {
	for i := range touched {
		e := &touched[i]
		end := min(e.end, to)
		if e.mark&sacked == 0 {
			n := end - from
			s.unmark(e, n)
			s.sackedBytes += n
			o.Sacked += n
			rtt.selective(e)
			rtt.selected(e, end)
			rtt.newest.reported(e, end)
		}
		from = end
	}
}

// coarsen narrows the block to whole entries when cutting entries would make more of them than segments
// can be in flight (see maxEntries). It returns an empty range if nothing whole is left.
func (s *Sender) coarsen(all []burst, from, to int64, p, q int) (int64, int64, int, int) {
	if len(all)+2 <= s.maxEntries() {
		return from, to, p, q
	}
	if all[p].mark&sacked == 0 && from > s.start(all, p) {
		from = all[p].end
		p++
	}
	if from < to && all[q].mark&sacked == 0 && to < all[q].end {
		to = s.start(all, q)
		q--
	}
	return from, to, p, q
}

// maxEntries bounds the scoreboard against a receiver that SACKs every second byte (CVE-2019-11477): an
// honest one cuts at segments, and cannot have more blocks than segments are in flight. Memory is then at
// most 24 bytes per segment in flight, and a splice moves at most 100 KB.
func (s *Sender) maxEntries() int {
	return int(min(2*maxBursts, 64+s.Flight()/int64(s.mss)))
}
