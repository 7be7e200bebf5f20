package stream

import "ocaserve/tcpstack/ledger"

// Owned is a span of bytes that belong to the garbage collector: response heads, handshake messages. They
// must not change after they were queued, since a retransmission reads them again.
type Owned []byte

// Bytes returns p as a span. The caller gives p away.
func Bytes(p []byte) Span { return Owned(p) }

// Len implements Span.
func (o Owned) Len() int { return len(o) }

// Gather implements Span.
func (o Owned) Gather(g *Gather, from, to int) {
	g.Add(o[from:to:to])
	g.Book.Add(ledger.GatheredPlain, to-from)
}

// Release implements Span; there is nothing to give back.
func (o Owned) Release() {}

// Len makes a piece a span: its hold passes to the queue.
func (p Piece) Len() int { return len(p.Data) }

// Gather implements Span.
func (p Piece) Gather(g *Gather, from, to int) {
	g.Add(p.Data[from:to:to])
	g.Book.Add(ledger.GatheredPlain, to-from)
}

// Charge implements Charger: what is not counted is the queue's own.
func (p Piece) Charge() int {
	if p.Ref == nil {
		return len(p.Data)
	}
	return PinCharge(len(p.Data))
}
