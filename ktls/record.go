package ktls

import "ocaserve/tcpstack/stream"

// A record is one framed TLS record in the send queue. Framing settles everything that decides its wire
// bytes: key, number, type, plaintext. Sealing is the sealer's business.
type record struct {
	pool   *Pool
	sealer sealer
	keys   *keyset
	seq    uint64
	typ    contentType
	plain  int            // plaintext bytes
	wire   int            // record bytes
	pieces []stream.Piece // the plaintext, one hold each; empty once nothing needs it
	buf    []byte         // the sealed record, where the sealer keeps it
	ctrl   [8]byte        // plaintext of alerts and KeyUpdates
}

// A sealer turns framed records into wire bytes. It is the seam between framing and encryption: a sealer
// that streams into the Gather's scratch and keeps pages and a tag takes the place of inlineSealer without
// any change above.
type sealer interface {
	// framed is called once, when the record is appended to the send queue.
	framed(r *record)
	// gather appends bytes [from, to) of the sealed record to g: the same bytes every time.
	gather(r *record, g *stream.Gather, from, to int)
}

// Len implements stream.Span.
func (r *record) Len() int { return r.wire }

// Gather implements stream.Span.
func (r *record) Gather(g *stream.Gather, from, to int) { r.sealer.gather(r, g, from, to) }

// Release implements stream.Span. It is where a record, its buffer and its holds go back.
func (r *record) Release() {
	if r.keys == nil {
		panic("ktls: invariant broken: a record is released twice")
	}
	r.dropPieces()
	if r.buf != nil {
		r.pool.put(r.buf)
	}
	p := r.pool
	r.sealer, r.keys, r.buf = nil, nil, nil
	push(&p.records, r)
}

func (r *record) dropPieces() {
	for i := range r.pieces {
		r.pieces[i].Release()
		r.pieces[i] = stream.Piece{}
	}
	r.pieces = r.pieces[:0]
}

// seal seals the whole record into a pooled buffer that lives until Release, and lets the plaintext go.
func (r *record) seal() {
	buf := r.pool.get(r.wire)
	s := &r.pool.stats
	s.Copied += uint64(r.keys.seal(buf, r.seq, r.typ, r.pieces, r.plain))
	s.Sealed += uint64(r.plain)
	s.Records++
	r.buf = buf
	r.dropPieces()
}

// A userSealer seals at once, on behalf of the application (ModeUser).
type userSealer struct{}

func (userSealer) framed(r *record) { r.seal() }

func (userSealer) gather(r *record, g *stream.Gather, from, to int) { g.Add(r.buf[from:to]) }

// An inlineSealer seals a whole record when its first byte is wanted (ModeInline).
type inlineSealer struct{}

func (inlineSealer) framed(*record) {}

func (inlineSealer) gather(r *record, g *stream.Gather, from, to int) {
	if r.buf == nil {
		r.seal()
	}
	g.Add(r.buf[from:to])
}

// A pageSpan is a piece queued as it is (ModeOff).
type pageSpan struct {
	pool  *Pool
	piece stream.Piece
}

// Len implements stream.Span.
func (s *pageSpan) Len() int { return len(s.piece.Data) }

// Charge implements stream.Charger: the page is the cache's.
func (s *pageSpan) Charge() int { return s.piece.Charge() }

// Gather implements stream.Span.
func (s *pageSpan) Gather(g *stream.Gather, from, to int) { g.Add(s.piece.Data[from:to]) }

// Release implements stream.Span. It is where a page span goes back.
func (s *pageSpan) Release() {
	if s.piece.Data == nil {
		panic("ktls: invariant broken: a page span is released twice")
	}
	s.piece.Release()
	s.piece = stream.Piece{}
	push(&s.pool.pages, s)
}
