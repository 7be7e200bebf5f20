package stream

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// counted is a span that insists on being used as the interface says.
type counted struct {
	t        *testing.T
	data     []byte
	released int
}

func (c *counted) Len() int { return len(c.data) }

func (c *counted) Gather(g *Gather, from, to int) {
	if c.released > 0 || from < 0 || from >= to || to > len(c.data) {
		c.t.Fatalf("gather [%d,%d) of %d bytes, released %d times", from, to, len(c.data), c.released)
	}
	// In two pieces, one of them scratch, as a record would.
	g.Add(c.data[from : to-1])
	copy(g.Reserve(1), c.data[to-1:])
}

func (c *counted) Release() {
	if c.released++; c.released > 1 {
		c.t.Fatalf("released %d times", c.released)
	}
}

// sendModel is a send queue beside its dumb twin: all bytes ever appended, in one slice.
type sendModel struct {
	t     *testing.T
	q     SendQueue
	pool  BlockPool
	g     Gather
	all   []byte
	start int
	spans []*counted
}

func newSendModel(t *testing.T) *sendModel {
	m := &sendModel{t: t}
	m.pool.Init(PoolConfig{})
	m.q.Init(&m.pool)
	m.g.Init(make([]byte, 4096), 16)
	return m
}

func (m *sendModel) append(n int) {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(len(m.all) + i + (len(m.all)+i)>>8)
	}
	m.all = append(m.all, data...)
	m.spans = append(m.spans, &counted{t: m.t, data: data})
	m.q.Append(m.spans[len(m.spans)-1])
}

func (m *sendModel) gather(from, to int) {
	m.g.Reset()
	m.q.Gather(&m.g, int64(from), int64(to))
	if got := bytes.Join(m.g.Pieces(), nil); !bytes.Equal(got, m.all[from:to]) || m.g.Len() != to-from {
		m.t.Fatalf("gather [%d,%d): %d wrong bytes", from, to, len(got))
	}
}

func (m *sendModel) ack(to int) {
	acked := m.q.Ack(int64(to))
	want := max(0, min(to, len(m.all))-m.start)
	if acked != int64(want) {
		m.t.Fatalf("ack(%d): %d bytes, want %d", to, acked, want)
	}
	m.start += want
}

// check compares positions, and that exactly the spans below start have been released.
func (m *sendModel) check() {
	m.t.Helper()
	if m.q.Start() != int64(m.start) || m.q.End() != int64(len(m.all)) {
		m.t.Fatalf("[%d,%d), want [%d,%d)", m.q.Start(), m.q.End(), m.start, len(m.all))
	}
	end, held := 0, 0
	for i, s := range m.spans {
		end += len(s.data)
		want := 0
		if end <= m.start || len(s.data) == 0 { // an empty span is not even queued
			want = 1
		}
		if s.released != want {
			m.t.Fatalf("span %d ending at %d released %d times; start %d", i, end, s.released, m.start)
		}
		held += 1 - want
	}
	m.checkStale()
	if m.q.Spans() != held || (held == 0) != (m.q.ring == nil) {
		m.t.Fatalf("%d spans in a ring of %d, want %d spans", m.q.Spans(), len(m.q.ring), held)
	}
}

// checkStale makes sure that what was released is not kept alive by a ring or by a free one.
func (m *sendModel) checkStale() {
	m.t.Helper()
	live := 0
	for _, e := range m.q.ring {
		if e.span != nil {
			live++
		}
	}
	if live != m.q.Spans() {
		m.t.Fatalf("%d spans in the ring, %d in the queue", live, m.q.Spans())
	}
	for _, list := range m.pool.rings.free {
		for _, ring := range list {
			for _, e := range ring {
				if e != (queued{}) {
					m.t.Fatal("a free ring holds a span")
				}
			}
		}
	}
}

// FuzzSendQueue plays three bytes per step: append, gather, ack.
func FuzzSendQueue(f *testing.F) {
	f.Add([]byte{0, 0, 10, 0, 0, 0, 0, 0, 200, 1, 3, 40, 2, 0, 11, 1, 0, 255, 2, 255, 255})
	f.Fuzz(func(t *testing.T, ops []byte) {
		m := newSendModel(t)
		for ; len(ops) >= 3; ops = ops[3:] {
			a, b := int(ops[1]), int(ops[2])
			switch ops[0] % 3 {
			case 0:
				m.append(a%4*b + b%7)
			case 1:
				from := min(m.start+a*3, len(m.all))
				m.gather(from, min(from+a*b%3000, len(m.all)))
			case 2:
				m.ack(m.start + a%8*b - 20)
			}
			m.check()
		}
		m.q.Drop()
		m.start = len(m.all)
		m.check()
	})
}

// TestSendQueueRandom runs a long queue through growth, wrap-around and emptiness.
func TestSendQueueRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	m := newSendModel(t)
	for range 200 {
		for range rng.IntN(12) {
			m.append(rng.IntN(300))
		}
		from := m.start + rng.IntN(len(m.all)-m.start+1)
		m.gather(from, min(len(m.all), from+rng.IntN(2000)))
		switch rng.IntN(20) {
		case 0:
			m.ack(len(m.all) + 1) // the ACK of a FIN counts one more
		default:
			m.ack(m.start + rng.IntN(2000))
		}
		m.check()
	}
}

func TestSendQueueOutside(t *testing.T) {
	m := newSendModel(t)
	m.append(100)
	m.ack(10)
	for _, r := range []Range{{9, 20}, {50, 101}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("gather %v of [10,100) did not panic", r)
				}
			}()
			m.q.Gather(&m.g, r.From, r.To)
		}()
	}
	m.q.Gather(&m.g, 20, 20) // nothing of nothing
}

// TestPieceSpan holds that a piece passes its hold on.
func TestPieceSpan(t *testing.T) {
	m := newSendModel(t)
	ref := &testRef{n: 1}
	m.q.Append(&Piece{Data: []byte("page"), Ref: ref})
	m.q.Append(Bytes([]byte("head")))
	m.g.Reset()
	m.q.Gather(&m.g, 2, 6)
	if got := string(bytes.Join(m.g.Pieces(), nil)); got != "gehe" {
		t.Fatalf("gathered %q", got)
	}
	if m.q.Ack(4); ref.n != 0 {
		t.Fatalf("%d holds after the ACK", ref.n)
	}
}

type testRef struct{ n int }

func (r *testRef) Retain()  { r.n++ }
func (r *testRef) Release() { r.n-- }

// TestIdleSize pins what ten thousand idle connections pay ten thousand times.
func TestIdleSize(t *testing.T) {
	if n := unsafe.Sizeof(SendQueue{}); n > 64 {
		t.Errorf("SendQueue: %d bytes", n)
	}
	if n := unsafe.Sizeof(Reassembly{}); n >= 100 {
		t.Errorf("Reassembly: %d bytes", n)
	}
}

func TestSendQueueAllocs(t *testing.T) {
	var pool BlockPool
	pool.Init(PoolConfig{})
	var q SendQueue
	q.Init(&pool)
	var g Gather
	g.Init(nil, 64)
	span := Bytes(make([]byte, 16<<10))
	round := func() {
		for range 20 { // to a ring of 32 and back to nothing
			q.Append(span)
		}
		for q.Len() > 0 {
			g.Reset()
			q.Gather(&g, q.Start(), min(q.End(), q.Start()+64<<10))
			q.Ack(q.Start() + 48<<10)
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("append, gather, ack: %v allocations", n)
	}
}

// BenchmarkSendQueue sends 64 KiB bursts from a queue of 2 MB in 16 KiB spans.
func BenchmarkSendQueue(b *testing.B) {
	var pool BlockPool
	pool.Init(PoolConfig{})
	var q SendQueue
	q.Init(&pool)
	var g Gather
	g.Init(nil, 64)
	span := Bytes(make([]byte, 16<<10))
	for range 128 {
		q.Append(span)
	}
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	for b.Loop() {
		for range 4 {
			q.Append(span)
		}
		g.Reset()
		q.Gather(&g, q.End()-64<<10, q.End())
		q.Ack(q.Start() + 64<<10)
	}
}

// pinned is a span that says what it is charged.
type pinned struct{ counted }

func (p *pinned) Charge() int { return PinCharge(len(p.data)) }

// The account of a pool is the sum of what its queues' spans are charged and of their rings, at any time, and
// nothing when they are empty.
func TestQueuedAccount(t *testing.T) {
	pool := NewBlockPool(PoolConfig{})
	r := rand.New(rand.NewPCG(1, 2))
	var queues [3]SendQueue
	for i := range queues {
		queues[i].Init(pool)
	}
	for range 20_000 {
		q := &queues[r.IntN(len(queues))]
		switch r.IntN(8) {
		case 0:
			q.Ack(q.Start() + r.Int64N(q.Len()+1))
		case 1:
			if r.IntN(50) == 0 {
				q.Drop()
				q.Init(pool)
			}
		case 2:
			q.Append(Owned(make([]byte, r.IntN(50))))
		case 3:
			q.Append(Piece{Data: make([]byte, 40), Ref: nil})
		default:
			q.Append(&pinned{counted{t: t, data: make([]byte, r.IntN(100))}})
		}
		want := int64(0)
		for i := range queues {
			q := &queues[i]
			for j := range q.n {
				s := q.at(j).span
				if c, ok := s.(Charger); ok {
					want += int64(c.Charge())
				} else {
					want += int64(s.Len())
				}
			}
			want += int64(len(q.ring)) * int64(unsafe.Sizeof(queued{}))
		}
		if pool.Queued() != want {
			t.Fatalf("account %d, want %d", pool.Queued(), want)
		}
	}
	for i := range queues {
		queues[i].Drop()
	}
	if pool.Queued() != 0 {
		t.Errorf("%d bytes are charged to nobody", pool.Queued())
	}
}
