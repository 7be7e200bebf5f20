package stream

// strays are the ranges a stream has received beyond its next byte.
type strays struct {
	set    RangeSet
	recent [8]int64 // a byte of each range changed most recently, latest first; may be stale or double
	n      int      // entries of recent in use
}

// reset empties s and bounds it to max ranges.
func (s *strays) reset(max int) {
	s.set.Init(max)
	s.n = 0
}

// charged is the memory that s takes, in bytes.
func (s *strays) charged() int { return 16*cap(s.set.r) + 8*len(s.recent) + 40 }

// touch notes that the range holding off has changed.
func (s *strays) touch(off int64) {
	// Of the earlier notes for the same range keep none: eight places are then eight ranges.
	f, _ := s.set.Find(off)
	k := 0
	for _, o := range s.recent[:s.n] {
		if !f.Contains(o) {
			s.recent[k] = o
			k++
		}
	}
	s.n = min(k+1, len(s.recent))
	copy(s.recent[1:s.n], s.recent[:])
	s.recent[0] = off
}

// report fills dst with the ranges, the most recently changed first, and returns how many.
func (s *strays) report(dst []Range) int {
	n := 0
	for _, off := range s.recent[:s.n] {
		if f, ok := s.set.Find(off); ok {
			n = appendOnce(dst, n, f)
		}
	}
	// Ranges whose note was pushed out fill up the rest: RFC 2018 section 4 wants as many distinct blocks
	// as there is room for.
	for i := 0; i < s.set.Len() && n < len(dst); i++ {
		n = appendOnce(dst, n, s.set.At(i))
	}
	return n
}

// appendOnce puts f at dst[n] unless dst is full or holds it, and returns the new n.
func appendOnce(dst []Range, n int, f Range) int {
	if n == len(dst) {
		return n
	}
	for _, d := range dst[:n] {
		if d == f {
			return n
		}
	}
	dst[n] = f
	return n + 1
}
