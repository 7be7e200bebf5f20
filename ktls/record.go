package ktls

import (
	"encoding/binary"
	"unsafe"

	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/stream"
)

// A record is one framed TLS record in the send queue. Framing settles everything that decides its wire bytes:
// key, number, type, plaintext. What is kept until the acknowledgment is this struct, 96 bytes, and the holds
// on its pieces; only a record that is sealed whole has a buffer instead.
type record struct {
	digest digest // with -tags ocaserve_debug only

	keys *sealKeys
	more *manyParts      // all of the plaintext, if it is more than two parts
	data [2]*byte        // otherwise: the parts; data[0] is the sealed record once that is stored
	ref  [2]stream.Ref   // their holds
	head [maxPrefix]byte // the record header, then the number: on the wire in TLS 1.2 GCM, ours alone elsewhere
	bits uint8           // content type less typeCCS in the lowest two, then flags
	len0 uint16          // of the first part; the second is the rest
	tag  [tagLen]byte    // once it is known
}

const (
	flagClaimed = 4 << iota // the guard has let it pass: some of it was sealed, or left to a device
	flagSealed              // its tag is known
	flagStored              // sealed whole: data[0] is a pooled buffer
	flagMany                // the plaintext is in more
	flagLeft                // a device may still look at the plaintext
)

// recordSize is what a record costs beside its pieces.
const recordSize = int(unsafe.Sizeof(record{}))

// init makes r record number seq of n plaintext bytes; the parts are added next.
func (r *record) init(k *sealKeys, seq uint64, typ contentType, n int) {
	r.keys, r.bits = k, uint8(typ-typeCCS)
	k.putPrefix(r.head[:], typ, seq, n)
	binary.BigEndian.PutUint64(r.head[headerLen:], seq)
	k.records++
}

func (r *record) has(flag uint8) bool { return r.bits&flag != 0 }

func (r *record) seq() uint64 { return binary.BigEndian.Uint64(r.head[headerLen:]) }

func (r *record) typ() contentType { return typeCCS + contentType(r.bits&3) }

// Len implements stream.Span: bytes on the wire.
func (r *record) Len() int { return headerLen + int(r.head[3])<<8 + int(r.head[4]) }

// body is the number of bytes that are enciphered: plaintext and inner content type.
func (r *record) body() int { return r.Len() - r.keys.prefixLen() - tagLen }

// plain is the number of plaintext bytes.
func (r *record) plain() int { return r.body() - int(r.keys.inner) }

// Charge implements stream.Charger: pins on pages, unless the record is, or will be, sealed whole.
func (r *record) Charge() int {
	if r.has(flagStored) || r.keys.gcm == nil {
		return bufferSize(r.Len()) + recordSize
	}
	return r.chargeParts() + recordSize
}

// Gather implements stream.Span.
func (r *record) Gather(g *stream.Gather, from, to int) {
	if !r.has(flagStored) && r.Offload() {
		r.leave(g, from, to)
	} else {
		r.gatherSealed(g, from, to)
	}
}

// gatherSealed gathers [from, to) as the CPU seals it.
func (r *record) gatherSealed(g *stream.Gather, from, to int) {
	if !r.has(flagStored) {
		if r.keys.gcm != nil {
			r.keys.gather(r, g, from, to)
			return
		}
		r.store(g.Book)
	}
	g.Add(r.stored()[from:to])
	g.Book.Add(ledger.SealedStored, to-from)
	r.keys.advance(r.seq(), to)
}

// Release implements stream.Span. It is where a record, its buffer and its holds go back.
func (r *record) Release() {
	k := r.keys
	if k == nil {
		panic("ktls: invariant broken: a record is released twice")
	}
	if r.has(flagStored) {
		k.pool.put(r.stored())
		r.data[0] = nil
	}
	r.dropParts()
	seq := r.seq()
	r.keys, r.bits, r.digest = nil, 0, digest{}
	push(&k.pool.records, r)
	k.gone(seq)
}

// claim lets r pass the guard before any of it is sealed for the first time, by us or by a device: that a
// number seals one plaintext. The parts of a record never change.
func (r *record) claim() (first bool) {
	if r.has(flagClaimed) {
		if !r.has(flagStored) {
			r.digest.check(r, r.seq())
		}
		return false
	}
	r.keys.guard.claim(r.seq())
	r.bits |= flagClaimed
	r.digest.take(r)
	return true
}

// claimHost is claim for sealing by the CPU.
func (r *record) claimHost() {
	if r.claim() {
		s := &r.keys.pool.stats
		s.Records++
		s.Sealed += uint64(r.plain())
	}
}

// store seals the whole record into a pooled buffer that lives until Release, and lets the plaintext go.
func (r *record) store(book *ledger.Book) {
	r.claimHost()
	k := r.keys
	buf := k.pool.get(r.Len())
	at := copy(buf, r.head[:k.prefixLen()])
	for off, end := 0, r.body(); off < end; {
		n := copy(buf[at+off:], r.run(off, end))
		off += n
	}
	k.protect(buf, r.seq())
	k.pool.stats.Copied += uint64(r.plain())
	book.Add(ledger.CopiedFrame, r.plain())
	if r.has(flagLeft) {
		r.spill() // a frame with a part of it may be in the device still
	} else {
		r.dropParts()
	}
	r.data[0] = unsafe.SliceData(buf)
	r.bits |= flagStored
}

// stored is the sealed record.
func (r *record) stored() []byte { return unsafe.Slice(r.data[0], bufferSize(r.Len()))[:r.Len()] }

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
func (s *pageSpan) Gather(g *stream.Gather, from, to int) {
	g.Add(s.piece.Data[from:to])
	g.Book.Add(ledger.GatheredPlain, to-from)
}

// Release implements stream.Span. It is where a page span goes back.
func (s *pageSpan) Release() {
	if s.piece.Data == nil {
		panic("ktls: invariant broken: a page span is released twice")
	}
	s.piece.Release()
	s.piece = stream.Piece{}
	push(&s.pool.pages, s)
}
