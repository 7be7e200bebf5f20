package stream

import (
	"fmt"
	"unsafe"

	"ocaserve/internal/prefetch"
)

// queued is a span and the stream offset of its first byte.
type queued struct {
	span Span
	from int64
}

// queuedSize is the size of a queued, in bytes.
const queuedSize = 24

// A SendQueue is the stream bytes from the first unacknowledged one to the last one appended. It is a ring
// of spans, found by binary search on the stream offset; it copies nothing and never asks a span twice for
// its length. An empty queue holds no memory beside the struct.
type SendQueue struct {
	pool  *BlockPool
	ring  []queued // as long as arrays.fit makes it, or empty
	head  uint32   // index in ring of the first span
	n     uint32   // spans in the ring
	start int64    // first byte not yet acknowledged
	end   int64    // one past the last byte appended
}

// Init empties the queue at offset 0 and names the pool its arrays come from.
func (q *SendQueue) Init(pool *BlockPool) { *q = SendQueue{pool: pool} }

// Start is the offset of the first byte that is not acknowledged.
func (q *SendQueue) Start() int64 { return q.start }

// End is the offset after the last byte appended.
func (q *SendQueue) End() int64 { return q.end }

// Len is the number of bytes appended and not acknowledged.
func (q *SendQueue) Len() int64 { return q.end - q.start }

// Spans is the number of spans held.
func (q *SendQueue) Spans() int { return int(q.n) }

// at returns the i-th span of the queue.
func (q *SendQueue) at(i uint32) *queued {
	return &q.ring[q.wrap(q.head+i)]
}

// wrap takes an index past the end of the ring, by less than its length, to its beginning.
func (q *SendQueue) wrap(i uint32) uint32 {
	if n := uint32(len(q.ring)); i >= n {
		return i - n
	}
	return i
}

// Append takes over s as the next bytes of the stream. An empty span is released at once.
func (q *SendQueue) Append(s Span) {
	n := s.Len()
	if n == 0 {
		s.Release()
		return
	}
	if int(q.n) == len(q.ring) {
		q.grow()
	}
	q.pool.queued += chargeOf(s, n)
	q.n++
	*q.at(q.n - 1) = queued{s, q.end}
	q.end += int64(n)
}

// grow moves the spans to the next larger ring. It is tight: rings are most of what a queue of references holds.
func (q *SendQueue) grow() {
	ring := q.pool.rings.fit(len(q.ring) + 1)
	k := copy(ring, q.ring[q.head:])
	copy(ring[k:], q.ring[:q.head])
	clear(q.ring) // freeRing wants it zeroed; everywhere else pop has done that
	q.freeRing()
	q.pool.queued += int64(len(ring)) * queuedSize
	q.ring, q.head = ring, 0
}

// freeRing gives the ring's array back; all its entries are zero.
func (q *SendQueue) freeRing() {
	q.pool.queued -= int64(len(q.ring)) * queuedSize
	q.pool.rings.put(q.ring)
	q.ring, q.head = nil, 0
}

// find returns the index of the span that holds off, Start <= off < End.
func (q *SendQueue) find(off int64) uint32 {
	lo, hi := uint32(0), q.n // at(lo).from <= off < at(hi).from
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; q.at(mid).from <= off {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// Gather appends the pieces of [from, to) to g. The range must lie within [Start, End): bytes that were
// acknowledged are gone, and asking for them is a broken sender.
func (q *SendQueue) Gather(g *Gather, from, to int64) {
	if from < q.start || to > q.end {
		panic(fmt.Sprintf("stream: gather [%d,%d) outside the send queue [%d,%d)", from, to, q.start, q.end))
	}
	if from >= to {
		return
	}
	for i := q.find(from); from < to; i++ {
		e := q.at(i)
		next := q.end
		if i+1 < q.n {
			next = q.at(i + 1).from
		}
		stop := min(to, next)
		e.span.Gather(g, int(from-e.from), int(stop-e.from))
		from = stop
	}
}

// Prefetch asks for the span that holds off, and PrefetchMore, when that has had time to come, for what the span refers to.
// Neither does anything if no span holds off.
func (q *SendQueue) Prefetch(off int64) {
	if p := q.prefetcher(off); p != nil {
		p.Prefetch()
	}
}

// PrefetchRing asks for the entries of a queue of usual length.
func (q *SendQueue) PrefetchRing() {
	const usual = 8
	prefetch.Range(unsafe.Pointer(unsafe.SliceData(q.ring)), usual*queuedSize)
}

// PrefetchMore is the second step of Prefetch.
func (q *SendQueue) PrefetchMore(off int64) {
	if p := q.prefetcher(off); p != nil {
		p.PrefetchMore()
	}
}

func (q *SendQueue) prefetcher(off int64) Prefetcher {
	if off < q.start || off >= q.end {
		return nil
	}
	p, _ := q.at(q.find(off)).span.(Prefetcher)
	return p
}

// Ack moves Start up to `to` and releases the spans that lie wholly below it. It returns how many bytes
// that acknowledged. An offset beyond End counts as End, so that the ACK of a FIN may be passed as it is.
func (q *SendQueue) Ack(to int64) int64 {
	to = min(to, q.end)
	if to <= q.start {
		return 0
	}
	acked := to - q.start
	q.start = to
	for q.n > 0 {
		next := q.end
		if q.n > 1 {
			next = q.at(1).from
		}
		if next > to {
			break
		}
		q.pop()
	}
	if q.n == 0 {
		q.freeRing()
	}
	return acked
}

// Uniform is where the bytes from `from` on, up to `to`, cease to be of one kind: left to a sealing device, or
// not. The range must lie within [Start, End).
func (q *SendQueue) Uniform(from, to int64) int64 {
	i := q.find(from)
	if i+1 == q.n || q.at(i+1).from >= to { // one span
		return to
	}
	first := offloads(q.at(i).span)
	for i++; i < q.n && q.at(i).from < to; i++ {
		if e := q.at(i); offloads(e.span) != first {
			return e.from
		}
	}
	return to
}

func offloads(s Span) bool {
	o, ok := s.(Offloader)
	return ok && o.Offload()
}

// pop takes the first span out and releases it. The span goes last: the queue is consistent by then, should
// the span's owner look at it.
func (q *SendQueue) pop() {
	e := q.at(0)
	s, n := e.span, q.end-e.from
	if q.n > 1 {
		n = q.at(1).from - e.from
	}
	*e = queued{}
	q.head = q.wrap(q.head + 1)
	q.n--
	q.pool.letGo(s, int(n))
}

// Drop releases every span: the connection is gone. Start and End become equal and nothing can be gathered
// any more.
func (q *SendQueue) Drop() {
	q.start = q.end
	for q.n > 0 {
		q.pop()
	}
	q.freeRing()
}
