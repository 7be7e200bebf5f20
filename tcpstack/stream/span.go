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
