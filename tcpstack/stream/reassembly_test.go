package stream

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// rig is a Reassembly beside its dumb twin: an array of bytes and one of bools.
type rig struct {
	t     *testing.T
	r     Reassembly
	pool  BlockPool
	data  []byte
	have  []bool
	read  int
	limit int
	holes int
}

func newRig(t *testing.T, size int, c ReassemblyConfig) *rig {
	m := &rig{t: t, data: make([]byte, size), have: make([]bool, size+1), limit: c.Limit, holes: c.MaxHoles}
	m.pool.Init(PoolConfig{})
	m.r.Init(&m.pool, c)
	return m
}

func (m *rig) next() int {
	return m.read + slices.Index(m.have[m.read:], false)
}

// ranges are the ranges beyond next.
func (m *rig) ranges() (out []Range) {
	for i := m.next(); i < min(m.read+m.limit, len(m.have)); i++ {
		if !m.have[i] {
			continue
		}
		if n := len(out); n > 0 && out[n-1].To == int64(i) {
			out[n-1].To++
		} else {
			out = append(out, Range{int64(i), int64(i) + 1})
		}
	}
	return out
}

// insert does to the model what Insert promises.
func (m *rig) insert(off int, p []byte) (int, Result) {
	next, res := m.next(), Stored
	to := min(off+len(p), m.read+m.limit)
	from := max(off, next)
	switch {
	case len(p) == 0:
		return 0, Stored
	case off+len(p) <= next:
		return 0, Duplicate
	case from >= to:
		return 0, Refused
	case to < off+len(p):
		res = Trimmed
	}
	if !slices.Contains(m.have[from:to], false) {
		return 0, Duplicate
	}
	if from > next && !m.roomFor(from, to) {
		return 0, Refused
	}
	for i := from; i < to; i++ {
		if !m.have[i] {
			m.have[i], m.data[i] = true, p[i-off]
		}
	}
	return m.next() - next, res
}

// roomFor applies the bound on holes: the furthest range makes room for a nearer one.
func (m *rig) roomFor(from, to int) bool {
	rs := m.ranges()
	if len(rs) < m.holes {
		return true
	}
	for _, r := range rs {
		if int64(from) <= r.To && r.From <= int64(to) {
			return true // joins
		}
	}
	last := rs[len(rs)-1]
	if last.From < int64(from) {
		return false
	}
	clear(m.have[last.From:last.To])
	return true
}

func (m *rig) doInsert(off int, p []byte) {
	m.t.Helper()
	wantN, wantRes := m.insert(off, p)
	n, res := m.r.Insert(int64(off), p)
	if n != wantN || res != wantRes {
		m.t.Fatalf("insert [%d,%d): %d %v, want %d %v", off, off+len(p), n, res, wantN, wantRes)
	}
}

func (m *rig) doRead(n int) {
	m.t.Helper()
	buf := make([]byte, n)
	got := buf[:m.r.Read(buf)]
	want := m.data[m.read:min(m.read+n, m.next())]
	if !bytes.Equal(got, want) {
		m.t.Fatalf("read %d at %d: %d wrong bytes, want %d", n, m.read, len(got), len(want))
	}
	m.read += len(want)
}

func (m *rig) doPeek(n int) {
	m.t.Helper()
	readable := m.next() - m.read
	got := m.r.PeekN(n, make([]byte, n))
	if (got != nil || n == 0) != (n <= readable) && n > 0 {
		m.t.Fatalf("peek %d of %d: %d bytes", n, readable, len(got))
	}
	if got != nil && !bytes.Equal(got, m.data[m.read:m.read+n]) {
		m.t.Fatalf("peek %d at %d: wrong bytes", n, m.read)
	}
}

// check compares all that can be asked, and walks the table.
func (m *rig) check() {
	m.t.Helper()
	next, want := m.next(), m.ranges()
	if m.r.Next() != int64(next) || m.r.Offset() != int64(m.read) || m.r.Readable() != next-m.read {
		m.t.Fatalf("at %d, next %d, want %d, %d", m.r.Offset(), m.r.Next(), m.read, next)
	}
	got := make([]Range, len(want)+8)
	got = got[:m.r.SACK(got)]
	slices.SortFunc(got, func(a, b Range) int { return int(a.From - b.From) })
	if !slices.Equal(got, want) || m.r.Holes() != len(want) {
		m.t.Fatalf("ranges %v, want %v", got, want)
	}
	buffered := next - m.read
	for _, r := range want {
		buffered += int(r.Len())
	}
	if m.r.Buffered() != buffered {
		m.t.Fatalf("%d bytes buffered, want %d", m.r.Buffered(), buffered)
	}
	m.checkMemory(buffered == 0)
}

// checkMemory holds the formula of Reassembly's comment, and that no block is held without a byte in it.
func (m *rig) checkMemory(empty bool) {
	m.t.Helper()
	blocks := 0
	for i := range m.r.n {
		if m.r.entry(i) == nil {
			continue
		}
		blocks++
		from := int(m.r.origin) + int(i)*BlockSize
		if m.have != nil && !slices.Contains(m.have[from:min(from+BlockSize, len(m.have))], true) {
			m.t.Fatalf("block at %d holds nothing", from)
		}
	}
	if blocks != int(m.r.blocks) || blocks*BlockSize != m.pool.InUse() {
		m.t.Fatalf("%d blocks, counted %d, pool %d", blocks, m.r.blocks, m.pool.InUse()/BlockSize)
	}
	if bound := m.limit + 2*BlockSize; blocks*BlockSize > bound {
		m.t.Fatalf("%d bytes of blocks for a limit of %d", blocks*BlockSize, m.limit)
	}
	for _, list := range m.pool.tables.free {
		for _, table := range list {
			if slices.ContainsFunc(table, func(b *block) bool { return b != nil }) {
				m.t.Fatal("a free table holds a block")
			}
		}
	}
	if empty && (m.r.Charged() != 0 || m.r.table != nil || m.r.strays != nil) {
		m.t.Fatalf("empty, but %d bytes charged", m.r.Charged())
	}
}

// step plays one operation.
func (m *rig) step(op byte, at, n int, rng *rand.Rand) {
	m.t.Helper()
	switch op % 8 {
	case 0, 1, 2: // anywhere near next
		off := min(max(0, m.next()-500+at), len(m.data))
		p := make([]byte, min(n, len(m.data)-off))
		for i := range p {
			p[i] = byte(rng.Uint32()) // never the same bytes twice: the first copy must win
		}
		m.doInsert(off, p)
	case 3, 4: // in order
		off := m.next()
		m.doInsert(off, bytes.Repeat([]byte{byte(at)}, min(n, len(m.data)-off)))
	case 5:
		m.doPeek(n)
	default:
		m.doRead(n)
	}
	m.check()
}

const rigSize = 80_000

// FuzzReassembly plays five bytes per step against the model.
func FuzzReassembly(f *testing.F) {
	f.Add([]byte{0, 8, 0, 1, 0, 3, 0, 0, 4, 0, 7, 0, 0, 255, 255}, uint8(3), uint16(20000))
	f.Add([]byte{0, 255, 0, 16, 1, 0, 20, 0, 255, 255, 3, 0, 0, 9, 9, 5, 0, 0, 1, 1}, uint8(1), uint16(4096))
	f.Fuzz(func(t *testing.T, ops []byte, holes uint8, limit uint16) {
		m := newRig(t, rigSize, ReassemblyConfig{Limit: int(limit) + 1, MaxHoles: int(holes%8) + 1})
		rng := rand.New(rand.NewPCG(5, 6))
		for ; len(ops) >= 5 && m.next() < rigSize; ops = ops[5:] {
			m.step(ops[0], int(ops[1])<<8|int(ops[2]), (int(ops[3])<<8|int(ops[4]))%10000, rng)
		}
		m.r.Drop()
		m.checkDropped()
	})
}

func (m *rig) checkDropped() {
	m.t.Helper()
	if m.r.Charged() != 0 || m.pool.InUse() != 0 || m.r.Readable() != 0 {
		m.t.Fatalf("dropped, but %d bytes charged and %d in use", m.r.Charged(), m.pool.InUse())
	}
}

func TestReassemblyRandom(t *testing.T) {
	for seed := range uint64(16) {
		rng := rand.New(rand.NewPCG(seed, 7))
		m := newRig(t, rigSize, ReassemblyConfig{Limit: 1 + rng.IntN(40_000), MaxHoles: 1 + rng.IntN(12)})
		for range 200 {
			if m.next() == rigSize {
				break
			}
			m.step(byte(rng.Uint32()), rng.IntN(1+rng.IntN(30_000)), rng.IntN(1+rng.IntN(12_000)), rng)
		}
		m.r.Drop()
		m.checkDropped()
	}
}
