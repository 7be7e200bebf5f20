package stream

import "ocaserve/internal/prefetch"

// A limbo holds spans that a send queue is done with while frames that refer to their memory are still on the
// way to the link: in the batch, or in the ring of a device that reads them later. An ACK may well come before
// a retransmission of the same bytes has left.
//
// Frames are counted as they are built and complete in that order, so that a number tells which spans are free:
// those let go after the n-th frame was built are free when n of them are done.
type limbo struct {
	built   uint64 // frames, since the start
	payload uint64 // of these, the number of the last one that refers to spans
	done    uint64 // frames
	ring    []captive
	head, n uint32 // the length of ring is a power of two
}

// What is asked for before spans are released: so many bytes of the first ones, and of the one that is so many behind.
const ahead, spanSize = uint32(2), 128

// A captive is a span in limbo.
type captive struct {
	span  Span
	n     int    // its length; what it is charged it tells when it is at hand again
	until uint64 // frames
}

// FrameBuilt counts a frame; with payload it may refer to spans of the pool's queues.
func (p *BlockPool) FrameBuilt(payload bool) {
	p.limbo.built++
	if payload {
		p.limbo.payload = p.limbo.built
	}
}

// Built is how many frames were built, since the start.
func (p *BlockPool) Built() uint64 { return p.limbo.built }

// FramesDone says that nobody reads the memory of the first n frames any more, and releases what waited for that.
func (p *BlockPool) FramesDone(n uint64) {
	l := &p.limbo
	l.done = n
	for l.n > 0 && l.at(0).until <= n {
		prefetch.Value(&l.at(ahead).span, spanSize) // out of cache since it was transmitted
		c := *l.at(0)
		*l.at(0) = captive{}
		l.head = (l.head + 1) & uint32(len(l.ring)-1)
		l.n--
		p.queued -= chargeOf(c.span, c.n)
		c.span.Release()
	}
}

// Captives is the number of spans that wait for frames to be done.
func (p *BlockPool) Captives() int { return int(p.limbo.n) }

// PrefetchCaptives asks for the spans that will be released first, and PrefetchMoreOfCaptives, when these have had time to
// come, for what they refer to.
func (p *BlockPool) PrefetchCaptives() {
	for i := range min(ahead, p.limbo.n) {
		prefetch.Value(&p.limbo.at(i).span, spanSize)
	}
}

// PrefetchMoreOfCaptives is the second step of PrefetchCaptives.
func (p *BlockPool) PrefetchMoreOfCaptives() {
	for i := range min(ahead, p.limbo.n) {
		if s, ok := p.limbo.at(i).span.(Prefetcher); ok {
			s.PrefetchMore()
		}
	}
}

// at is the i-th captive.
func (l *limbo) at(i uint32) *captive { return &l.ring[(l.head+i)&uint32(len(l.ring)-1)] }

// letGo releases s, of n bytes, now or when no frame refers to it.
func (p *BlockPool) letGo(s Span, n int) {
	l := &p.limbo
	if l.done >= l.payload {
		p.queued -= chargeOf(s, n)
		s.Release()
		return
	}
	if int(l.n) == len(l.ring) {
		l.grow()
	}
	*l.at(l.n) = captive{s, n, l.payload}
	l.n++
}

func (l *limbo) grow() {
	ring := make([]captive, max(64, 2*len(l.ring)))
	k := copy(ring, l.ring[l.head:])
	copy(ring[k:], l.ring[:l.head])
	l.ring, l.head = ring, 0
}
