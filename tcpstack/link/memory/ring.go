package memory

import (
	"sync"
	"sync/atomic"

	"ocaserve/tcpstack/link"
)

// align is the granularity of frames in a ring's arena: one cache line, so that the writer of a frame and
// the reader of its neighbour never share one.
const align = 64

// A slot describes one frame of a ring.
type slot struct {
	start      uint64 // position of the first byte; positions only grow, the arena holds them modulo its size
	length     int
	gso        uint16
	csum       link.Csum
	csumStart  uint16
	csumOffset uint16
}

// A ring carries frames one way: written by the devices of one side, read by one device of the other.
//
// The slots from head to tail are the reader's, all others the writer's; likewise the arena's bytes
// from slots[head].start up to pos. Each side publishes by moving its own index, so that one writer and
// one reader need no lock. Only a configured Steer makes several writers, and only then mu is taken.
type ring struct {
	slots []slot // a power of two
	arena []byte // a multiple of align

	mu     sync.Mutex // held by writers if shared
	shared bool
	pos    uint64 // writer: where the next frame may start

	_    [align]byte // keeps the indices, each written by another core, on cache lines of their own
	tail atomic.Uint64
	_    [align]byte
	head atomic.Uint64
	_    [align]byte

	reader  *Device   // woken when frames have come
	writers []*Device // woken when room has come
}

func newRing(frames, bytes int, shared bool) *ring {
	n := 1
	for n < frames {
		n *= 2
	}
	return &ring{
		slots:  make([]slot, n),
		arena:  make([]byte, (bytes+align-1)/align*align),
		shared: shared,
	}
}

func (r *ring) slot(i uint64) *slot { return &r.slots[i&uint64(len(r.slots)-1)] }

// place finds where a frame of n bytes goes: its start, and whether there is room for it now. A frame is
// never split, so one that does not fit before the arena's end starts over at its beginning.
func (r *ring) place(n int) (start uint64, ok bool) {
	head, tail := r.head.Load(), r.tail.Load()
	if tail-head == uint64(len(r.slots)) {
		return 0, false
	}
	size := uint64(len(r.arena))
	start = r.pos
	if in := start % size; in+uint64(n) > size {
		start += size - in
	}
	oldest := start // an empty ring has nothing to preserve
	if head != tail {
		oldest = r.slot(head).start
	}
	return start, start+uint64(n) <= oldest+size
}

// room reports whether a frame of n bytes would be taken now.
func (r *ring) room(n int) bool {
	if r.shared {
		r.mu.Lock()
		defer r.mu.Unlock()
	}
	_, ok := r.place(n)
	return ok
}

// put copies f, which is n bytes long, into the ring; it returns false when there is no room.
func (r *ring) put(f *link.Frame, n int) bool {
	if r.shared {
		r.mu.Lock()
		defer r.mu.Unlock()
	}
	start, ok := r.place(n)
	if !ok {
		return false
	}
	at := start % uint64(len(r.arena))
	dst := r.arena[at : at+uint64(n)]
	m := copy(dst, f.Data)
	for _, p := range f.Pieces {
		m += copy(dst[m:], p)
	}
	tail := r.tail.Load()
	*r.slot(tail) = slot{
		start: start, length: n,
		gso: f.GSO, csum: f.Csum, csumStart: f.CsumStart, csumOffset: f.CsumOffset,
	}
	r.pos = start + (uint64(n)+align-1)/align*align
	r.tail.Store(tail + 1)
	return true
}

// get points f at the frame in slot i.
func (r *ring) get(i uint64, f *link.Frame) {
	s := r.slot(i)
	at := s.start % uint64(len(r.arena))
	f.Data = r.arena[at : at+uint64(s.length) : at+uint64(s.length)]
	f.Pieces = nil
	f.GSO, f.Csum, f.CsumStart, f.CsumOffset = s.gso, s.csum, s.csumStart, s.csumOffset
}
