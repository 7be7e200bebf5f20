package stream

// A Range is the stream bytes [From, To). It is empty if To <= From.
type Range struct{ From, To int64 }

// Len is the number of bytes in r, never negative.
func (r Range) Len() int64 { return max(0, r.To-r.From) }

// Empty reports whether r holds no byte.
func (r Range) Empty() bool { return r.To <= r.From }

// Contains reports whether the byte at off is in r.
func (r Range) Contains(off int64) bool { return r.From <= off && off < r.To }

// Overlaps reports whether r and s have a byte in common.
func (r Range) Overlaps(s Range) bool { return max(r.From, s.From) < min(r.To, s.To) }

// Intersect returns the bytes in both r and s; the result may be empty.
func (r Range) Intersect(s Range) Range {
	return Range{max(r.From, s.From), min(r.To, s.To)}
}

// A RangeSet is a set of bytes, kept as sorted ranges that neither overlap nor touch. The zero value is an
// empty set without a bound. Finding a range takes O(log n) steps; changing the set moves at most n ranges
// of 16 bytes, so that a bound of some dozens keeps the cost of every operation constant whatever a peer
// sends (CVE-2018-5390 was a receiver whose cost per segment grew with what the peer had sent before).
type RangeSet struct {
	r   []Range
	max int // largest number of ranges; 0: no bound
}

// Init empties the set, keeping its memory, and bounds it to max ranges; 0 means no bound.
func (s *RangeSet) Init(max int) {
	s.r, s.max = s.r[:0], max
}

// Clear empties the set and keeps its memory and bound.
func (s *RangeSet) Clear() { s.r = s.r[:0] }

// Len is the number of ranges.
func (s *RangeSet) Len() int { return len(s.r) }

// At returns the i-th range in ascending order.
func (s *RangeSet) At(i int) Range { return s.r[i] }

// First returns the lowest range, or an empty one and false.
func (s *RangeSet) First() (Range, bool) {
	if len(s.r) == 0 {
		return Range{}, false
	}
	return s.r[0], true
}

// Last returns the highest range, or an empty one and false.
func (s *RangeSet) Last() (Range, bool) {
	if len(s.r) == 0 {
		return Range{}, false
	}
	return s.r[len(s.r)-1], true
}

// Size is the number of bytes in the set. It adds up the ranges: O(n).
func (s *RangeSet) Size() int64 {
	var n int64
	for _, r := range s.r {
		n += r.To - r.From
	}
	return n
}

// search returns the index of the first range that ends after off: the one that contains off, or else
// the next one above it.
func (s *RangeSet) search(off int64) int {
	lo, hi := 0, len(s.r)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if s.r[mid].To > off {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// Find returns the range that contains off.
func (s *RangeSet) Find(off int64) (Range, bool) {
	if i := s.search(off); i < len(s.r) && s.r[i].From <= off {
		return s.r[i], true
	}
	return Range{}, false
}

// Contains reports whether the byte at off is in the set.
func (s *RangeSet) Contains(off int64) bool {
	_, ok := s.Find(off)
	return ok
}

// Covers reports whether every byte of r is in the set.
func (s *RangeSet) Covers(r Range) bool {
	if r.Empty() {
		return true
	}
	// Ranges never touch, so that one range must hold all of r.
	f, ok := s.Find(r.From)
	return ok && r.To <= f.To
}

// Gap returns the first run of bytes of r that is not in the set.
func (s *RangeSet) Gap(r Range) (Range, bool) {
	i := s.search(r.From)
	if i < len(s.r) && s.r[i].From <= r.From {
		r.From = s.r[i].To
		i++
	}
	if i < len(s.r) {
		r.To = min(r.To, s.r[i].From)
	}
	return r, !r.Empty()
}

// Overlap returns the first run of bytes of r that is in the set.
func (s *RangeSet) Overlap(r Range) (Range, bool) {
	i := s.search(r.From)
	if i == len(s.r) {
		return Range{}, false
	}
	r = r.Intersect(s.r[i])
	return r, !r.Empty()
}

// Add puts the bytes of r into the set. It reports false, and changes nothing, if that would take more
// ranges than the bound; growing or joining existing ranges always succeeds.
func (s *RangeSet) Add(r Range) bool {
	if r.Empty() {
		return true
	}
	// Ranges [i,j) overlap r or touch it; they become one. search(From-1) also finds a range ending at From.
	i := s.search(r.From - 1)
	j := i
	for j < len(s.r) && s.r[j].From <= r.To {
		j++
	}
	if i == j {
		return s.insert(i, r)
	}
	r.From = min(r.From, s.r[i].From)
	r.To = max(r.To, s.r[j-1].To)
	s.r[i] = r
	s.cut(i+1, j)
	return true
}

// Subtract takes the bytes of r out of the set. It reports false, and changes nothing, if it would have
// to split a range and the set is at its bound.
func (s *RangeSet) Subtract(r Range) bool {
	if r.Empty() {
		return true
	}
	i := s.search(r.From)
	if i < len(s.r) && s.r[i].From < r.From {
		if tail := (Range{r.To, s.r[i].To}); !tail.Empty() {
			if !s.insert(i+1, tail) {
				return false
			}
		}
		s.r[i].To = r.From
		i++
	}
	j := i
	for j < len(s.r) && s.r[j].To <= r.To {
		j++
	}
	s.cut(i, j)
	if i < len(s.r) {
		s.r[i].From = max(s.r[i].From, r.To)
	}
	return true
}

// TrimBelow takes every byte before off out of the set.
func (s *RangeSet) TrimBelow(off int64) {
	i := s.search(off)
	s.cut(0, i)
	if len(s.r) > 0 {
		s.r[0].From = max(s.r[0].From, off)
	}
}

// insert makes r the i-th range, unless the set is at its bound.
func (s *RangeSet) insert(i int, r Range) bool {
	if s.max > 0 && len(s.r) >= s.max {
		return false
	}
	s.r = append(s.r, Range{})
	copy(s.r[i+1:], s.r[i:])
	s.r[i] = r
	return true
}

// cut removes the ranges [i,j).
func (s *RangeSet) cut(i, j int) {
	if i < j {
		s.r = s.r[:i+copy(s.r[i:], s.r[j:])]
	}
}

// touches reports whether adding r would grow or join ranges rather than take a new one.
func (s *RangeSet) touches(r Range) bool {
	i := s.search(r.From - 1)
	return i < len(s.r) && s.r[i].From <= r.To
}
