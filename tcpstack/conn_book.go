package tcpstack

import "ocaserve/tcpstack/ledger"

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

// MaxBurst is the most payload that leaves in one frame now, in bytes: a multiple of MSS.
func (c *Conn) MaxBurst() int { return int(c.burst()) }

// bookSent books the queued bytes [from, to) that a frame carries; it is called before recovery takes note.
func (c *Conn) bookSent(from, to int64) {
	again := max(0, min(to, c.rec.Next())-from)
	b := c.Book()
	b.Add(ledger.Retransmitted, int(again))
	b.Add(ledger.Sent, int(to-from-again))
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
