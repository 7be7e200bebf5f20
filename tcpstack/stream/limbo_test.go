package stream

import "testing"

// A span leaves limbo when the frames built before it was let go are done, in order, and is charged until then.
func TestLimbo(t *testing.T) {
	pool := NewBlockPool(PoolConfig{})
	var q SendQueue
	q.Init(pool)
	var order []int
	for i := range 100 {
		q.Append(&noted{n: 10, released: func() { order = append(order, i) }})
	}
	want := func(n int) {
		t.Helper()
		if len(order) != n || pool.Captives() != 100-n {
			t.Fatalf("%d released, %d in limbo; want %d released", len(order), pool.Captives(), n)
		}
	}
	for i := range 100 {
		pool.FrameBuilt(true)
		q.Ack(int64(10 * (i + 1)))
	}
	want(0)
	if pool.Queued() < 1000 {
		t.Errorf("%d bytes are charged, want those of all spans in limbo", pool.Queued())
	}
	pool.FramesDone(1)
	want(1)
	pool.FramesDone(70)
	want(70)
	pool.FramesDone(100)
	want(100)
	for i, n := range order {
		if n != i {
			t.Fatalf("span %d was released in place %d", n, i)
		}
	}
	if pool.Queued() != 0 {
		t.Errorf("%d bytes charged for nothing", pool.Queued())
	}
	q.Append(&noted{n: 10, released: func() { order = append(order, 100) }})
	pool.FrameBuilt(false)
	q.Drop() // no frame with payload is on its way: at once
	if len(order) != 101 {
		t.Error("a span waits for no frame")
	}
}

// noted is a span that tells when it is released.
type noted struct {
	n        int
	released func()
}

func (s *noted) Len() int                       { return s.n }
func (s *noted) Gather(g *Gather, from, to int) {}
func (s *noted) Release()                       { s.released() }

// unsealed is a span that the device seals as long as on is true.
type unsealed struct {
	noted
	on bool
}

func (s *unsealed) Offload() bool { return s.on }

func TestUniform(t *testing.T) {
	var q SendQueue
	q.Init(NewBlockPool(PoolConfig{}))
	span := func(n int, on bool) {
		q.Append(&unsealed{noted{n, func() {}}, on})
	}
	q.Append(&noted{100, func() {}}) // [0,100) plain
	span(50, true)                   // [100,250) for the device
	span(100, true)
	span(50, false) // [250,400) sealed
	q.Append(&noted{100, func() {}})
	for _, tt := range []struct{ from, to, want int64 }{
		{0, 100, 100}, {0, 101, 100}, {10, 400, 100}, {100, 400, 250}, {120, 130, 130}, {149, 151, 151},
		{249, 400, 250}, {250, 400, 400}, {399, 400, 400},
	} {
		if got := q.Uniform(tt.from, tt.to); got != tt.want {
			t.Errorf("Uniform(%d, %d) = %d, want %d", tt.from, tt.to, got, tt.want)
		}
	}
}
