package stream

import "testing"

// asked is a span that counts what is asked of it.
type asked struct {
	Piece
	self, more int
}

func (a *asked) Prefetch()     { a.self++ }
func (a *asked) PrefetchMore() { a.more++ }

func TestPrefetchAsksTheSpan(t *testing.T) {
	var q SendQueue
	q.Init(NewBlockPool(PoolConfig{}))
	a, b := &asked{Piece: Piece{Data: make([]byte, 10)}}, &asked{Piece: Piece{Data: make([]byte, 10)}}
	q.Append(a)
	q.Append(Piece{Data: make([]byte, 10)})
	q.Append(b)
	q.Ack(5)
	for _, off := range []int64{-1, 4, 15, 30, 31} { // below the queue, of a span that has nothing to ask for, beyond
		q.Prefetch(off)
		q.PrefetchMore(off)
	}
	if a.self+a.more+b.self+b.more != 0 {
		t.Fatalf("asked %+v, %+v", a, b)
	}
	q.Prefetch(5)
	q.PrefetchMore(29)
	if a.self != 1 || a.more != 0 || b.self != 0 || b.more != 1 {
		t.Errorf("asked %d, %d and %d, %d times", a.self, a.more, b.self, b.more)
	}
	q.Drop()
}
