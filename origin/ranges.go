package origin

import (
	"bytes"
	"math"
)

// maxRanges is how many ranges one request may ask for. A request with more is answered with the whole
// representation, as RFC 9110 section 14.2 allows, so that no head can multiply work (CVE-2011-3192).
const maxRanges = 16

// A byteRange is part of a representation: length bytes from off.
type byteRange struct{ off, length int64 }

// A rangeSet is what a Range field asks for, in the order of the request, overlaps and neighbours joined.
type rangeSet struct {
	n int
	r [maxRanges]byteRange
}

// rangeResult is the verdict on a Range field.
type rangeResult uint8

const (
	rangeIgnore   rangeResult = iota // not ours, malformed or too many: answer 200
	rangePartial                     // answer 206 with the set
	rangeNoneThat                    // well-formed, but nothing of it exists: answer 416
)

// parse reads a Range field value for a representation of size bytes (RFC 9110 section 14.1.2). A field
// that does not follow the grammar is ignored as a whole (section 14.2).
func (s *rangeSet) parse(field []byte, size int64) rangeResult {
	s.n = 0
	unit, set, ok := bytes.Cut(field, []byte{'='})
	if !ok || !equalFold(trimOWS(unit), "bytes") {
		return rangeIgnore
	}
	count, emptySuffix := 0, false
	for {
		spec, rest, ok := nextElement(set)
		if !ok {
			break
		}
		if set, count = rest, count+1; count > maxRanges {
			return rangeIgnore
		}
		r, verdict := parseSpec(spec, size)
		switch {
		case verdict == rangeIgnore:
			return rangeIgnore
		case verdict == rangePartial && r.length == 0:
			emptySuffix = true
		case verdict == rangePartial:
			s.add(r)
		}
	}
	switch {
	case s.n > 0:
		return rangePartial
	case count == 0 || emptySuffix:
		// A suffix of an empty file is satisfiable, yet Content-Range cannot say so: the whole of it.
		return rangeIgnore
	}
	return rangeNoneThat
}

// parseSpec reads `first-`, `first-last` or `-suffix`.
func parseSpec(spec []byte, size int64) (byteRange, rangeResult) {
	a, b, ok := bytes.Cut(spec, []byte{'-'})
	if !ok {
		return byteRange{}, rangeIgnore
	}
	first, okA := parsePos(a)
	last, okB := parsePos(b)
	switch {
	case len(a) == 0 && okB: // the last bytes; 0 of them is unsatisfiable
		n := min(last, size)
		if last == 0 {
			return byteRange{}, rangeNoneThat
		}
		return byteRange{size - n, n}, rangePartial
	case !okA || (len(b) > 0 && !okB) || (okB && last < first):
		return byteRange{}, rangeIgnore
	case first >= size:
		return byteRange{}, rangeNoneThat
	case len(b) == 0 || last >= size-1:
		return byteRange{first, size - first}, rangePartial
	}
	return byteRange{first, last - first + 1}, rangePartial
}

// parsePos reads 1*DIGIT. A number beyond int64 is as good as the largest one: no file is that long.
func parsePos(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		if d := int64(c - '0'); n > (math.MaxInt64-d)/10 {
			n = math.MaxInt64
		} else {
			n = n*10 + d
		}
	}
	return n, len(b) > 0
}

// add joins r with every range it overlaps or touches; the union takes the place of the first of them.
func (s *rangeSet) add(r byteRange) {
	at := -1
	for i := 0; i < s.n; {
		q := s.r[i]
		if r.off > q.off+q.length || q.off > r.off+r.length {
			i++
			continue
		}
		end := max(r.off+r.length, q.off+q.length)
		r.off = min(r.off, q.off)
		r.length = end - r.off
		if at < 0 {
			at = i
			i++
		} else {
			copy(s.r[i:], s.r[i+1:s.n])
			s.n--
		}
		// The union touches no range passed before: it would have touched r or q, and q is apart from all.
		s.r[at] = r
	}
	if at < 0 {
		s.r[s.n] = r
		s.n++
	}
}

// list returns the ranges. It is valid until the next parse.
func (s *rangeSet) list() []byteRange { return s.r[:s.n] }
