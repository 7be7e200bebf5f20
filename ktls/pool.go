package ktls

import (
	"ocaserve/ktls/offload"
	"ocaserve/tcpstack/stream"
)

// bufferSizes are those of buffers: a record of one segment; as many segments of any usual length as are less than a
// full record, which is what flows; a full record. The first two are size classes of Go's allocator, so that a byte in
// flight costs little more than a byte.
var bufferSizes = [...]int{2 << 10, 16 << 10, largeBuf}

const largeBuf = maxPlaintext + maxOverhead

// A Pool recycles the records and ciphertext buffers of one shard: no locks, so every framer that uses it
// must live on that shard. It holds at most a given number of idle bytes; what is beyond goes to the
// garbage collector. A record and its buffer come back in Release, when the send queue is done with them.
type Pool struct {
	limit   int // idle buffer bytes kept
	idle    int // idle buffer bytes now
	buffers [len(bufferSizes)][][]byte
	records []*record
	trains  []*train
	car     car // the one that is looked at
	pages   []*pageSpan
	stats   Stats
	nic     offload.NIC // nil: none
	// maxRexmit is the share of retransmissions above which records leave nic.
	maxRexmit float64
	sink      [2 << 10]byte
}

// maxIdleSpans bounds the idle record and page structs of a pool (about 100 bytes each).
const maxIdleSpans = 4096

// Stats counts what the framers of a pool did since it was made.
type Stats struct {
	Records    uint64 // records sealed by the CPU first, of every type
	Sealed     uint64 // plaintext bytes in them
	Copied     uint64 // of these, bytes that were copied before they were sealed
	Offloaded  uint64 // records left to the interface first
	Plain      uint64 // bytes queued unsealed (ModeOff)
	KeyUpdates uint64 // KeyUpdate messages sent
	Switches   Switches
}

// NewPool makes a pool that keeps at most limit bytes of idle buffers; 0 means 4 MiB.
func NewPool(limit int) *Pool {
	if limit == 0 {
		limit = 4 << 20
	}
	return &Pool{limit: limit, maxRexmit: DefaultMaxRexmit}
}

// SetNIC names the interface queue that the shard drives, if it seals: what ModeNIC needs.
func (p *Pool) SetNIC(nic offload.NIC) { p.nic = nic }

// SetMaxRexmit sets the share of retransmissions above which a connection's records leave the interface, and below a
// quarter of which they come back; with 1 they never leave for that.
func (p *Pool) SetMaxRexmit(share float64) { p.maxRexmit = share }

// Stats returns a copy of the counters; call it on the shard.
func (p *Pool) Stats() Stats { return p.stats }

// Idle is the number of buffer bytes waiting for reuse.
func (p *Pool) Idle() int { return p.idle }

// bufferClass is the index of the smallest size that holds n <= largeBuf bytes.
func bufferClass(n int) (class int) {
	for n > bufferSizes[class] {
		class++
	}
	return class
}

// bufferSize is the capacity of the buffer that get returns for n bytes.
func bufferSize(n int) int { return bufferSizes[bufferClass(n)] }

// get returns a buffer of length n <= largeBuf with arbitrary content.
func (p *Pool) get(n int) []byte {
	class := bufferClass(n)
	size := bufferSizes[class]
	b, ok := pop(&p.buffers[class])
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
	list := &p.buffers[bufferClass(cap(b))]
	*list = append(*list, b)
}

func (p *Pool) record() *record {
	if r, ok := pop(&p.records); ok {
		return r
	}
	return new(record)
}

func (p *Pool) train() *train {
	if t, ok := pop(&p.trains); ok {
		return t
	}
	return new(train)
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
