package tcpstack

import (
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/stream"
)

// Book is the connection's ledger. Whoever does something to its bytes books it there, on the shard. A connection
// that never sends has none until somebody asks.
func (c *Conn) Book() *ledger.Book {
	if c.book == nil {
		c.book = &ledger.Book{Parent: &c.shard.book}
	}
	return c.book
}

// Book is the sum of the ledgers of all connections that the shard has, or had.
func (s *Shard) Book() *ledger.Book { return &s.book }

// Live is what the laws of c's book need beside it, now.
func (c *Conn) Live() ledger.Live {
	return ledger.Live{
		Held: c.queue.Len(), Unsent: min(c.neverSent(), c.queue.Len()), Waiting: c.shard.batch.waiting(c.book),
	}
}

// Live is what the laws of the shard's sums need beside them, now. It walks over all connections.
func (s *Shard) Live() (sum ledger.Live) {
	for _, c := range s.all {
		sum.Held += c.queue.Len()
		sum.Unsent += min(c.neverSent(), c.queue.Len())
	}
	for i := range s.batch.frames {
		if f := &s.batch.frames[i]; f.Book != nil {
			sum.Waiting += int64(f.Payload())
		}
	}
	return sum
}

// waiting is the payload in the batch that is booked in book.
func (b *batch) waiting(book *ledger.Book) (n int64) {
	for i := range b.frames {
		if f := &b.frames[i]; f.Book == book && book != nil {
			n += int64(f.Payload())
		}
	}
	return n
}

// MaxBurst is the most payload that leaves in one frame now, in bytes: a multiple of MSS.
func (c *Conn) MaxBurst() int { return int(c.burst()) }

// bookQueued books a span that is of no particular kind: its maker has booked others.
func (c *Conn) bookQueued(s stream.Span) {
	switch s.(type) {
	case stream.Owned, stream.Piece:
		b := c.Book()
		b.Add(ledger.OwnedBytes, s.Len())
		b.Add(ledger.PlainQueued, s.Len())
	}
}

// bookSent books the queued bytes [from, to) that a frame carries. The book knows what was sent before, also in a
// SYN, of which recovery takes note only when the peer does.
func (c *Conn) bookSent(from, to int64) {
	b := c.Book()
	again := max(0, min(to, int64(b.Sum(ledger.Sent)))-from)
	b.Add(ledger.Retransmitted, int(again))
	b.Add(ledger.Sent, int(to-from-again))
}

// dropQueue lets go of what is queued: the connection is over.
func (c *Conn) dropQueue() {
	c.checkBook()
	if n := c.queue.Len(); n > 0 {
		b := c.Book()
		b.Add(ledger.Abandoned, int(n))
		b.Add(ledger.NeverSent, int(c.neverSent()))
	}
	c.queue.Drop()
	c.checkBook()
}

// neverSent is the number of queued bytes that were never transmitted, not even in a SYN.
func (c *Conn) neverSent() int64 {
	return max(0, c.queue.End()-max(c.rec.Next(), int64(c.fast.sent)))
}

// uniform is where the queued bytes from `from` on, up to `to`, cease to be of one kind: sealed by the link's
// device, or before they come to it. They never share a segment, since a device's context knows its place by
// the segment's sequence number. A FIN goes with either.
func (c *Conn) uniform(from, to int64) int64 {
	if end := min(to, c.queue.End()); c.shard.batch.caps.TLS && from < end {
		if cut := c.queue.Uniform(from, end); cut < end {
			return cut
		}
	}
	return to
}
