package stream

// A Span is a run of stream bytes that the send queue holds without copying.
//
// All of a span's methods are called by the shard that owns the connection.
type Span interface {
	// Len is the number of wire bytes; it is fixed once the span is queued.
	Len() int
	// Gather appends the pieces of [from, to) to g. It is called again to retransmit, with any
	// sub-range, and must then yield the same bytes.
	Gather(g *Gather, from, to int)
	// Release ends the queue's hold: the bytes are acknowledged or the connection is gone. It is
	// called exactly once.
	Release()
}

// A Charger is a span that holds other memory than its length says. What a span without it is charged for
// in the account of a shard's memory is its length: bytes that exist for this connection only, such as a
// response head, or a sealed record from its first transmission to its acknowledgment.
type Charger interface {
	// Charge is the most memory that the span holds while it is queued, in bytes. It is fixed.
	Charge() int
}

// A Prefetcher is a span that can ask for the memory that its other methods will read; see package prefetch. Neither method
// changes anything.
type Prefetcher interface {
	Prefetch()     // the span itself, of which nothing is read yet
	PrefetchMore() // what it refers to
}

// PinCharge is what a pin on n bytes of shared memory, such as a page of a cache, is charged: an eighth. The
// memory is bounded where it belongs and a popular page has many pins, so that full charge would count the
// same byte many times; for nothing at all, slow readers could pin a cache dry.
func PinCharge(n int) int { return (n + 7) / 8 }

// chargeOf is what s is charged.
func chargeOf(s Span, n int) int64 {
	if c, ok := s.(Charger); ok {
		return int64(c.Charge())
	}
	return int64(n)
}

// A Ref is a counted hold on memory that bytes live in, such as a pinned page.
type Ref interface {
	Retain()
	Release()
}

// A Piece is a run of immutable bytes and the hold that keeps them so. With a nil Ref the bytes belong to
// the garbage collector; they must not change after they were queued.
type Piece struct {
	Data []byte
	Ref  Ref
}

// Retain adds a hold, if the piece is counted.
func (p Piece) Retain() {
	if p.Ref != nil {
		p.Ref.Retain()
	}
}

// Release drops a hold, if the piece is counted.
func (p Piece) Release() {
	if p.Ref != nil {
		p.Ref.Release()
	}
}
