package tcpstack

import (
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/stream"
)

func newCounted(b []byte, released *int) *counted {
	return &counted{n: len(b), b: b, released: released}
}

func (s *counted) Len() int { return s.n }

func (s *counted) Gather(g *stream.Gather, from, to int) {
	g.Add(s.b[from:to])
	g.Book.Add(ledger.GatheredPlain, to-from)
}

// appendOwn appends a span of a test's own kind, and books it as whoever makes spans must.
func appendOwn(c *Conn, s stream.Span) {
	c.Book().Add(ledger.OwnedBytes, s.Len())
	c.Book().Add(ledger.PlainQueued, s.Len())
	c.Append(s)
}

func (s *counted) Release() {
	*s.released++
	for i := range s.b {
		s.b[i] = 0xEE
	}
}
