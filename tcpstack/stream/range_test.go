package stream

import (
	"math/rand/v2"
	"testing"
)

// rangeModel is a set of small offsets, a bool for each.
type rangeModel [128]bool

func (m *rangeModel) set(r Range, v bool) {
	for i := r.From; i < r.To; i++ {
		m[i] = v
	}
}

func (m *rangeModel) ranges() (out []Range) {
	for i := range int64(len(m)) {
		if !m[i] {
			continue
		}
		if n := len(out); n > 0 && out[n-1].To == i {
			out[n-1].To = i + 1
		} else {
			out = append(out, Range{i, i + 1})
		}
	}
	return out
}

// first returns the first run of r whose bytes are in the set, or not.
func (m *rangeModel) first(r Range, v bool) (Range, bool) {
	for i := r.From; i < r.To; i++ {
		if m[i] == v {
			j := i
			for j < r.To && m[j] == v {
				j++
			}
			return Range{i, j}, true
		}
	}
	return Range{}, false
}

func checkSet(t *testing.T, s *RangeSet, m *rangeModel) {
	t.Helper()
	want := m.ranges()
	var size int64
	if s.Len() != len(want) {
		t.Fatalf("%v, want %v", s.r, want)
	}
	for i, w := range want {
		if s.At(i) != w {
			t.Fatalf("%v, want %v", s.r, want)
		}
		size += w.Len()
	}
	if s.Size() != size {
		t.Fatalf("size %d, want %d", s.Size(), size)
	}
	for i := range int64(len(m)) {
		if s.Contains(i) != m[i] {
			t.Fatalf("contains(%d) = %v; set %v", i, !m[i], s.r)
		}
	}
}

// checkQueries compares the questions about r.
func checkQueries(t *testing.T, s *RangeSet, m *rangeModel, r Range) {
	t.Helper()
	gap, ok := s.Gap(r)
	wantGap, wantOK := m.first(r, false)
	if ok != wantOK || ok && gap != wantGap {
		t.Fatalf("gap(%v) = %v %v, want %v %v; set %v", r, gap, ok, wantGap, wantOK, s.r)
	}
	if s.Covers(r) != !wantOK {
		t.Fatalf("covers(%v) = %v; set %v", r, wantOK, s.r)
	}
	over, ok := s.Overlap(r)
	wantOver, wantOK := m.first(r, true)
	if ok != wantOK || ok && over != wantOver {
		t.Fatalf("overlap(%v) = %v %v, want %v %v; set %v", r, over, ok, wantOver, wantOK, s.r)
	}
}

// FuzzRangeSet plays three bytes per step against the model, with a bound on the number of ranges.
func FuzzRangeSet(f *testing.F) {
	f.Add([]byte{0, 1, 5, 0, 10, 5, 0, 6, 4, 1, 3, 2, 2, 7, 0}, uint8(0))
	f.Add([]byte{0, 1, 1, 0, 3, 1, 0, 5, 1, 0, 7, 1, 1, 0, 100}, uint8(3))
	f.Fuzz(func(t *testing.T, ops []byte, bound uint8) {
		var s RangeSet
		var m rangeModel
		s.Init(int(bound % 8))
		for ; len(ops) >= 3; ops = ops[3:] {
			from := int64(ops[1]) % int64(len(m))
			r := Range{from, min(from+int64(ops[2])%24, int64(len(m)))}
			next, ok := m, true
			switch ops[0] % 3 {
			case 0:
				next.set(r, true)
				ok = s.Add(r)
			case 1:
				next.set(r, false)
				ok = s.Subtract(r)
			case 2:
				next.set(Range{0, from}, false)
				s.TrimBelow(from)
			}
			over := s.max > 0 && len(next.ranges()) > s.max
			if ok == over {
				t.Fatalf("%d %v: %v, but %d ranges with a bound of %d", ops[0]%3, r, ok, len(next.ranges()), s.max)
			}
			if ok {
				m = next
			}
			checkSet(t, &s, &m)
			checkQueries(t, &s, &m, r)
		}
	})
}

// TestRangeSetRandom runs the fuzz body's operations at length, for those who run no fuzzer.
func TestRangeSetRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s RangeSet
	var m rangeModel
	for range 5_000 {
		from := rng.Int64N(int64(len(m)))
		r := Range{from, min(from+rng.Int64N(20), int64(len(m)))}
		if rng.IntN(2) == 0 {
			s.Add(r)
			m.set(r, true)
		} else {
			s.Subtract(r)
			m.set(r, false)
		}
		checkSet(t, &s, &m)
		checkQueries(t, &s, &m, r)
	}
}

func TestRange(t *testing.T) {
	for _, c := range []struct {
		a, b    Range
		overlap bool
		inter   int64
	}{
		{Range{0, 10}, Range{10, 20}, false, 0},
		{Range{0, 10}, Range{9, 20}, true, 1},
		{Range{5, 6}, Range{0, 20}, true, 1},
		{Range{7, 7}, Range{0, 20}, false, 0}, // empty ranges overlap nothing
		{Range{8, 3}, Range{0, 20}, false, 0},
	} {
		if c.a.Overlaps(c.b) != c.overlap || c.b.Overlaps(c.a) != c.overlap {
			t.Errorf("%v overlaps %v: want %v", c.a, c.b, c.overlap)
		}
		if n := c.a.Intersect(c.b).Len(); n != c.inter {
			t.Errorf("%v and %v: %d bytes in common, want %d", c.a, c.b, n, c.inter)
		}
	}
}

// BenchmarkRangeSet adds and removes a range in the middle of a full set.
func BenchmarkRangeSet(b *testing.B) {
	var s RangeSet
	s.Init(64)
	for i := range int64(63) {
		s.Add(Range{i * 100, i*100 + 10})
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Add(Range{3050, 3060})
		s.Subtract(Range{3050, 3060})
	}
}
