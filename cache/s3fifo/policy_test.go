package s3fifo

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func mix(x uint64) uint64 {
	x = (x + 1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func idle(uint32) bool { return false }

// model is the policy with slices and maps, and a ghost that forgets nothing early.
type model struct {
	small, main []uint32 // oldest first
	freq        map[uint32]int
	hash        map[uint32]uint64
	ghost       map[uint64]int
	clock       int
	target      int
	span        int
}

func newModel(capacity int) *model {
	target := max(1, capacity/10)
	return &model{freq: map[uint32]int{}, hash: map[uint32]uint64{}, ghost: map[uint64]int{}, target: target, span: max(1, capacity-target)}
}

func (m *model) insert(i uint32, hash uint64) {
	m.freq[i], m.hash[i] = 0, hash
	at, known := m.ghost[hash]
	delete(m.ghost, hash)
	if known && m.clock-at < m.span {
		m.main = append(m.main, i)
	} else {
		m.small = append(m.small, i)
	}
}

func (m *model) hit(i uint32) { m.freq[i] = min(3, m.freq[i]+1) }

func (m *model) remove(i uint32) {
	is := func(x uint32) bool { return x == i }
	m.small, m.main = slices.DeleteFunc(m.small, is), slices.DeleteFunc(m.main, is)
}

func (m *model) evict() (uint32, bool) {
	for len(m.small)+len(m.main) > 0 {
		if len(m.small) > m.target || len(m.main) == 0 {
			i := m.small[0]
			m.small = m.small[1:]
			if m.freq[i] > 1 {
				m.freq[i] = 0
				m.main = append(m.main, i)
				continue
			}
			m.clock++
			m.ghost[m.hash[i]] = m.clock
			return i, true
		}
		i := m.main[0]
		m.main = m.main[1:]
		if m.freq[i] == 0 {
			return i, true
		}
		m.freq[i]--
		m.main = append(m.main, i)
	}
	return 0, false
}

func order(p *Policy, q *queue) (slots []uint32) {
	for i := q.tail; i != none; i = p.nodes[i].prev {
		slots = append(slots, i)
	}
	return slots
}

// run plays a program of random accesses, two bytes each, on policy and model.
func run(t *testing.T, capacity int, program []byte) {
	t.Helper()
	p, m := New(capacity), newModel(capacity)
	where := map[uint64]uint32{} // key to slot
	var unused []uint32
	for i := range capacity {
		unused = append(unused, uint32(i))
	}
	for len(program) >= 2 {
		op, key := program[0], uint64(program[1])
		program = program[2:]
		slot, cached := where[key]
		switch {
		case cached && op < 20:
			p.Remove(slot)
			m.remove(slot)
			delete(where, key)
			unused = append(unused, slot)
		case cached:
			p.Hit(slot)
			m.hit(slot)
		default:
			if len(unused) == 0 {
				got, ok := p.Evict(idle)
				want, wok := m.evict()
				if got != want || ok != wok {
					t.Fatalf("evicted slot %d (%v), model %d (%v)", got, ok, want, wok)
				}
				for k, s := range where {
					if s == got {
						delete(where, k)
					}
				}
				unused = append(unused, got)
			}
			slot = unused[0]
			unused = unused[1:]
			where[key] = slot
			p.Insert(slot, mix(key))
			m.insert(slot, mix(key))
		}
		if got := order(p, &p.small); !slices.Equal(got, m.small) || p.small.len != len(got) {
			t.Fatalf("small queue %v (%d), model %v", got, p.small.len, m.small)
		}
		if got := order(p, &p.main); !slices.Equal(got, m.main) || p.main.len != len(got) {
			t.Fatalf("main queue %v (%d), model %v", got, p.main.len, m.main)
		}
	}
}

// Up to nine slots no bucket of the ghost table can overflow, so policy and model agree exactly.
func TestAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		program := make([]byte, 4000)
		for i := range program {
			program[i] = byte(r.IntN(256))
			if i%2 == 1 {
				program[i] = byte(r.IntN(1 + r.IntN(30))) // skewed: some keys are popular
			}
		}
		run(t, 1+round%9, program)
	}
}

func FuzzAgainstModel(f *testing.F) {
	f.Add(byte(3), []byte{50, 1, 50, 2, 50, 3, 50, 1, 50, 1, 50, 4, 50, 5, 0, 1, 50, 2})
	f.Fuzz(func(t *testing.T, capacity byte, program []byte) { run(t, 1+int(capacity)%9, program) })
}

func TestBusySlotsAreNeverEvicted(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		capacity := 1 + r.IntN(60)
		p := New(capacity)
		busy := make([]bool, capacity)
		left := 0
		for i := range capacity {
			p.Insert(uint32(i), mix(uint64(i)))
			for range r.IntN(4) {
				p.Hit(uint32(i))
			}
			if busy[i] = r.IntN(2) == 0; !busy[i] {
				left++
			}
		}
		for n := range left {
			i, ok := p.Evict(func(i uint32) bool { return busy[i] })
			if !ok {
				t.Fatalf("capacity %d: nothing to evict, but %d slots are idle", capacity, left-n)
			}
			if busy[i] {
				t.Fatalf("capacity %d: evicted a busy slot", capacity)
			}
		}
		if i, ok := p.Evict(func(i uint32) bool { return busy[i] }); ok {
			t.Fatalf("capacity %d: evicted %d, but all are busy", capacity, i)
		}
		if p.Len() != capacity-left {
			t.Fatalf("%d slots in, want %d", p.Len(), capacity-left)
		}
	}
}

func TestEvictGivesUpAfterMaxPassed(t *testing.T) {
	p := New(100000)
	for i := range 100000 {
		p.Insert(uint32(i), mix(uint64(i)))
	}
	asked := 0
	if _, ok := p.Evict(func(uint32) bool { asked++; return true }); ok || asked > maxPassed {
		t.Errorf("asked %d times, ok %v", asked, ok)
	}
}

// cacheOf counts the hits of a trace with S3-FIFO.
func hitsOf(capacity int, trace []uint64) (hits int) {
	p := New(capacity)
	where, key := map[uint64]uint32{}, make([]uint64, capacity)
	for _, k := range trace {
		if slot, ok := where[k]; ok {
			p.Hit(slot)
			hits++
			continue
		}
		slot := uint32(len(where))
		if len(where) == capacity {
			slot, _ = p.Evict(idle)
			delete(where, key[slot])
		}
		where[k], key[slot] = slot, k
		p.Insert(slot, mix(k))
	}
	return hits
}

// lruHitsOf counts those with LRU, naively.
func lruHitsOf(capacity int, trace []uint64) (hits int) {
	last := map[uint64]int{}
	for now, k := range trace {
		if _, ok := last[k]; ok {
			hits++
		} else if len(last) == capacity {
			oldest, at := uint64(0), now
			for k, t := range last {
				if t < at {
					oldest, at = k, t
				}
			}
			delete(last, oldest)
		}
		last[k] = now
	}
	return hits
}

func TestScanDoesNotDisplaceThePopular(t *testing.T) {
	const capacity = 100
	var trace []uint64
	for range 10 { // a popular half
		for k := range uint64(50) {
			trace = append(trace, k)
		}
	}
	for k := range uint64(2000) { // everybody's archive, read once
		trace = append(trace, 1000+k)
	}
	warm := hitsOf(capacity, trace)
	for k := range uint64(50) {
		trace = append(trace, k)
	}
	if got := hitsOf(capacity, trace) - warm; got < 50 {
		t.Errorf("%d of 50 popular keys survived a scan of 20 times the capacity, want all", got)
	}
	if got := lruHitsOf(capacity, trace) - warm; got > 0 {
		t.Errorf("the trace does not tell: LRU keeps %d", got)
	}
}

func TestZipfBeatsLRU(t *testing.T) {
	const capacity, objects, accesses = 100, 2000, 40000
	r := rand.New(rand.NewPCG(5, 6))
	z := rand.NewZipf(r, 1.1, 1, objects-1)
	trace := make([]uint64, accesses)
	for i := range trace {
		trace[i] = z.Uint64()
		if i%3 == 0 { // one-hit wonders
			trace[i] = uint64(1<<20 + i)
		}
	}
	s3, lru := hitsOf(capacity, trace), lruHitsOf(capacity, trace)
	t.Logf("hits of %d: S3-FIFO %d, LRU %d", accesses, s3, lru)
	if s3 < lru*110/100 {
		t.Errorf("S3-FIFO %d hits, LRU %d: want at least a tenth more", s3, lru)
	}
}

func TestGhostRemembersItsSpan(t *testing.T) {
	var g ghost
	const span = 10000
	g.init(span)
	for i := range uint64(3 * span) {
		g.add(mix(i))
	}
	recent, old, never := 0, 0, 0
	for i := range uint64(span) {
		if g.take(mix(2*span + i)) {
			recent++
		}
		if g.take(mix(i)) {
			old++
		}
		if g.take(mix(1<<40 + i)) {
			never++
		}
	}
	if recent < span*98/100 || old > 0 || never > 1 {
		t.Errorf("remembers %d of the last %d, %d of the older, %d never added", recent, span, old, never)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	const capacity = 1000
	p := New(capacity)
	for i := range capacity {
		p.Insert(uint32(i), mix(uint64(i)))
	}
	k := uint64(capacity)
	if n := testing.AllocsPerRun(5000, func() {
		i, _ := p.Evict(idle)
		p.Insert(i, mix(k))
		p.Hit(i)
		k++
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestInsertTwicePanics(t *testing.T) {
	p := New(2)
	p.Insert(1, 1)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	p.Insert(1, 1)
}

func BenchmarkEvictInsert(b *testing.B) {
	const capacity = 1 << 16
	p := New(capacity)
	for i := range capacity {
		p.Insert(uint32(i), mix(uint64(i)))
	}
	b.ReportAllocs()
	for k := uint64(capacity); b.Loop(); k++ {
		i, _ := p.Evict(idle)
		p.Insert(i, mix(k))
	}
}
