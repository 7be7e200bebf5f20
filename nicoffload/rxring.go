package nicoffload

import (
	"sync/atomic"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
)

// rxArena is the memory behind the receive ring's buffers, bytes per queue.
const rxArena = 1 << 20

// An rxSlot describes one received frame.
type rxSlot struct {
	start      uint64 // position of the first byte in the arena
	length     int
	time       mono.Time
	gso        uint16
	csum       link.Csum
	csumStart  uint16
	csumOffset uint16
}

// An rxRing carries received frames from the adapter to the driver: slots [head, tail) are the driver's, and the
// arena's bytes from the oldest of them up to pos. Positions only grow.
type rxRing struct {
	slots []rxSlot // a power of two
	arena []byte
	pos   uint64 // adapter: where the next frame may start

	_    [cacheLine]byte
	tail atomic.Uint64 // adapter
	_    [cacheLine]byte
	head atomic.Uint64 // driver
	_    [cacheLine]byte
}

func newRxRing(n, bytes int) *rxRing {
	return &rxRing{slots: make([]rxSlot, n), arena: make([]byte, bytes)}
}

func (r *rxRing) slot(i uint64) *rxSlot { return &r.slots[i&uint64(len(r.slots)-1)] }

// reserve returns n bytes of the arena for the next frame and their position; nil: there is no room, as far as
// depth slots go. A frame is never split.
func (r *rxRing) reserve(n, depth int) ([]byte, uint64) {
	head, tail := r.head.Load(), r.tail.Load()
	if tail-head >= uint64(depth) {
		return nil, 0
	}
	size, start := uint64(len(r.arena)), r.pos
	if in := start % size; in+uint64(n) > size {
		start += size - in
	}
	oldest := start // an empty ring has nothing to preserve
	if head != tail {
		oldest = r.slot(head).start
	}
	if start+uint64(n) > oldest+size {
		return nil, 0
	}
	at := start % size
	return r.arena[at : at+uint64(n) : at+uint64(n)], start
}

// push publishes the frame that reserve made room for.
func (r *rxRing) push(s *rxSlot) {
	tail := r.tail.Load()
	*r.slot(tail) = *s
	r.pos = s.start + uint64(s.length+cacheLine-1)&^(cacheLine-1)
	r.tail.Store(tail + 1)
}

// get points f at the frame in slot i.
func (r *rxRing) get(i uint64, f *link.Frame) {
	s := r.slot(i)
	at := s.start % uint64(len(r.arena))
	*f = link.Frame{
		Data: r.arena[at : at+uint64(s.length) : at+uint64(s.length)],
		Time: s.time, GSO: s.gso, Csum: s.csum, CsumStart: s.csumStart, CsumOffset: s.csumOffset,
	}
}
