package pacing

import (
	"math"
	"math/bits"

	"ocaserve/tcpstack/mono"
)

// A Range asks for the pace of a part of a stream: of one response. It is what FreeBSD's tcp_hybrid_req
// says (TCP_HYBRID_PACING): req.start and req.end, cspr, a deadline, TCP_HYBRID_PACING_CU.
type Range struct {
	From, To int64     // offsets of the stream: [From, To)
	Rate     Rate      // what the client suggests (cspr); 0: none
	Deadline mono.Time // when the last byte should have left; 0: no matter
	CatchUp  bool      // raise the rate to what the deadline needs
	Max      Rate      // and no further; 0: as far as it takes
}

// rate is what holds for the range when off is the next byte to leave; 0: no limit.
//
// Catching up is the rate that the rest needs to leave in the time that is left. It does not fall below what
// the client suggests. Where nothing was suggested the range leaves just in time.
func (r *Range) rate(now mono.Time, off int64) Rate {
	if !r.CatchUp || !r.Deadline.IsSet() {
		return r.Rate
	}
	need := needed(r.To-max(off, r.From), int64(r.Deadline-now))
	if r.Max > 0 && (need == 0 || need > r.Max) {
		need = r.Max
	}
	if need == 0 {
		return 0
	}
	return max(r.Rate, need)
}

// needed is the rate, rounded up, at which n bytes leave within ns; 0: no rate is high enough.
func needed(n, ns int64) Rate {
	if ns <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(max(n, 1)), second)
	lo, carry := bits.Add64(lo, uint64(ns)-1, 0)
	if hi += carry; hi >= uint64(ns) {
		return 0
	}
	q, _ := bits.Div64(hi, lo, uint64(ns))
	if q > uint64(MaxRate) {
		return 0
	}
	return Rate(q)
}

// MaxRanges is how many ranges a Schedule holds: the responses that one connection may have queued.
const MaxRanges = 8

// A Schedule is the ranges of one connection, in the order of the stream. A range, and its rate, ends with its
// last byte. The zero value is empty.
type Schedule struct {
	ranges [MaxRanges]Range
	n      int
}

// Len is the number of ranges not yet passed.
func (s *Schedule) Len() int { return s.n }

// Add appends a range. It refuses one that is empty or does not lie behind those before. A ninth joins the
// last, which takes over what the new one asks for: many short responses are no way out of a rate.
func (s *Schedule) Add(r Range) bool {
	if r.From < 0 || r.To <= r.From || s.n > 0 && r.From < s.ranges[s.n-1].To {
		return false
	}
	if s.n == MaxRanges {
		last := &s.ranges[s.n-1]
		r.From = last.From
		*last = r
		return true
	}
	s.ranges[s.n] = r
	s.n++
	return true
}

// End makes the last range end at off, if it goes beyond: how long a response is in the stream is often
// known only when it has been appended.
func (s *Schedule) End(off int64) {
	if s.n == 0 || s.ranges[s.n-1].To <= off {
		return
	}
	s.ranges[s.n-1].To = off
	if off <= s.ranges[s.n-1].From {
		s.n--
	}
}

// At is the rate in force for the byte at off, the next to leave, 0 for none, and the offset at which another
// may be. It is asked when a burst may depart, since the time that a burst has yet to pay for is not in what
// a deadline needs. Ranges that end at off or before are dropped: off must not go back.
func (s *Schedule) At(now mono.Time, off int64) (r Rate, until int64) {
	s.drop(off)
	if s.n == 0 {
		return 0, math.MaxInt64
	}
	first := &s.ranges[0]
	if off < first.From {
		return 0, first.From
	}
	return first.rate(now, off), first.To
}

// drop forgets the ranges that end at off or before.
func (s *Schedule) drop(off int64) {
	k := 0
	for k < s.n && s.ranges[k].To <= off {
		k++
	}
	if k > 0 {
		copy(s.ranges[:], s.ranges[k:s.n])
		s.n -= k
	}
}
