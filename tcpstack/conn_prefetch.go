package tcpstack

import (
	"unsafe"

	"ocaserve/internal/prefetch"
)

// prefetchTurns asks for what the connections behind the first one in line take for a frame. A turn is long enough for lines
// to come, so that each step reads what was asked for one turn before; the ring in which the span stands was asked for when the
// connection got in line.
func (l *connList) prefetchTurns() {
	next := l.head.pendNext
	if next == nil {
		return
	}
	next.prefetchFrame()
	second := next.pendNext
	if second == nil {
		return
	}
	second.queue.Prefetch(second.rec.Next())
	if third := second.pendNext; third != nil {
		third.prefetch()
	}
}

// prefetchFirst is what prefetchTurns was too late for: of the first two in line, before the shard's handlers run.
func (l *connList) prefetchFirst() {
	for c, i := l.head, 0; c != nil && i < 2; c, i = c.pendNext, i+1 {
		c.queue.Prefetch(c.rec.Next())
	}
}

// prefetch asks for c itself.
func (c *Conn) prefetch() { prefetch.Range(unsafe.Pointer(c), unsafe.Sizeof(*c)) }

// prefetchFrame asks for what a frame of c takes beside c and its span.
func (c *Conn) prefetchFrame() {
	c.queue.PrefetchMore(c.rec.Next())
	prefetch.Range(unsafe.Pointer(c.book), unsafe.Sizeof(*c.book))
	prefetch.Value(&c.cc, 64)
}
