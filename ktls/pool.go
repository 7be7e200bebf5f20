package ktls

import "ocaserve/tcpstack/stream"

// Buffers come in two sizes: a small record (one segment) and a full one.
const (
	smallBuf = 2 << 10
	largeBuf = maxPlaintext + maxOverhead
)

// A Pool recycles the records and ciphertext buffers of one shard: no locks, so every framer that uses it
// must live on that shard. It holds at most a given number of idle bytes; what is beyond goes to the
// garbage collector. A record and its buffer come back in Release, when the send queue is done with them.
type Pool struct {
	limit   int // idle buffer bytes kept
	idle    int // idle buffer bytes now
	small   [][]byte
	large   [][]byte
	records []*record
	pages   []*pageSpan
	stats   Stats
}

// maxIdleSpans bounds the idle record and page structs of a pool (about 200 bytes each).
const maxIdleSpans = 4096

// Stats counts what the framers of a pool did since it was made.
type Stats struct {
	Records    uint64 // records sealed, of every type
	Sealed     uint64 // plaintext bytes sealed
	Copied     uint64 // of these, bytes that were copied before they were sealed
	Plain      uint64 // bytes queued unsealed (ModeOff)
	KeyUpdates uint64 // KeyUpdate messages sent
}

// NewPool makes a pool that keeps at most limit bytes of idle buffers; 0 means 4 MiB.
func NewPool(limit int) *Pool {
	if limit == 0 {
		limit = 4 << 20
	}
	return &Pool{limit: limit}
}

// Stats returns a copy of the counters; call it on the shard.
func (p *Pool) Stats() Stats { return p.stats }

// Idle is the number of buffer bytes waiting for reuse.
func (p *Pool) Idle() int { return p.idle }

// get returns a buffer of length n <= largeBuf with arbitrary content.
func (p *Pool) get(n int) []byte {
	list, size := &p.large, largeBuf
	if n <= smallBuf {
		list, size = &p.small, smallBuf
	}
	b, ok := pop(list)
	if !ok {
		return make([]byte, n, size)
	}
	p.idle -= size
	return b[:n]
}

// put takes back a buffer that came from get.
func (p *Pool) put(b []byte) {
	if p.idle+cap(b) > p.limit {
		return
	}
	p.idle += cap(b)
	if cap(b) == smallBuf {
		p.small = append(p.small, b)
	} else {
		p.large = append(p.large, b)
	}
}

func (p *Pool) record() *record {
	if r, ok := pop(&p.records); ok {
		return r
	}
	return &record{pool: p}
}

func (p *Pool) page(piece stream.Piece) *pageSpan {
	s, ok := pop(&p.pages)
	if !ok {
		s = &pageSpan{pool: p}
	}
	s.piece = piece
	return s
}

// pop takes the last element of a free list, which is the one most likely to be in the cache still.
func pop[T any](list *[]T) (v T, ok bool) {
	l := *list
	if len(l) == 0 {
		return v, false
	}
	last := len(l) - 1
	v = l[last]
	var zero T
	l[last] = zero
	*list = l[:last]
	return v, true
}

// push keeps v unless the list is full.
func push[T any](list *[]T, v T) {
	if len(*list) < maxIdleSpans {
		*list = append(*list, v)
	}
}
