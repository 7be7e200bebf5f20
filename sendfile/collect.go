package sendfile

import (
	"io"

	"ocaserve/cache"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/stream"
)

// A collector gathers one batch of pieces ahead of the transfer's position, which moves only on commit.
// The pieces of pages carry holds of their own; those of literals borrow the hold of their part.
type collector struct {
	t     *Transfer
	room  int64 // bytes until the batch is large enough
	part  int   // position: part, and offset in it
	off   int64
	n     int   // pieces
	bytes int64 // in them
	tail  int   // literal pieces at the end of the batch

	literals uint8 // bit i: piece i is a literal
	fresh    uint8 // bit i: piece i is of a page that was read for us, or that we are the first to use

	tailPart  int   // where they begin
	tailBytes int64 // how long they are
}

// collect fills the batch up to its end, the room, or the end of the transfer.
func (b *collector) collect(w cache.Waiter) error {
	t := b.t
	for b.n < batch && b.bytes < b.room && b.part < len(t.parts) {
		p := &t.parts[b.part]
		if p.File == nil {
			b.literal(p)
			continue
		}
		piece, fresh, err := b.pin(p, w)
		if err != nil {
			return err
		}
		if fresh {
			b.fresh |= 1 << b.n
		}
		b.page(p, piece)
	}
	return nil
}

// pin returns what the page at the position holds, from there on: of the page that the last batch ended in without
// asking for it again.
func (b *collector) pin(p *Part, w cache.Waiter) (piece stream.Piece, fresh bool, err error) {
	if rest := &b.t.rest; rest.Ref != nil {
		piece, fresh = *rest, b.t.restFresh
		*rest = stream.Piece{}
		return piece, fresh, nil
	}
	piece, err = p.File.Pin(p.Off+b.off, w)
	if err == io.EOF {
		err = ErrShort // the extent was made for a longer generation
	}
	return piece, err == nil && p.File.Fresh(), err
}

func (b *collector) literal(p *Part) {
	if b.tail == 0 {
		b.tailPart, b.tailBytes = b.part, 0
	}
	b.tail++
	b.literals |= 1 << b.n
	b.tailBytes += int64(len(p.Bytes))
	b.push(stream.Piece{Data: p.Bytes, Ref: p.Ref})
	b.part++
}

// page takes a pinned page, cut to the extent.
func (b *collector) page(p *Part, piece stream.Piece) {
	b.tail = 0
	if left := p.Len - b.off; int64(len(piece.Data)) > left {
		piece.Data = piece.Data[:left]
	}
	b.push(piece)
	if b.off += int64(len(piece.Data)); b.off == p.Len {
		b.part, b.off = b.part+1, 0
	}
}

func (b *collector) push(p stream.Piece) {
	b.t.pieces[b.n] = p
	b.n++
	b.bytes += int64(len(p.Data))
}

// holdBack takes the literals at the end off the batch again: their page is not there yet.
func (b *collector) holdBack() {
	if b.tail == 0 {
		return
	}
	clear(b.t.pieces[b.n-b.tail : b.n])
	b.n -= b.tail
	b.bytes -= b.tailBytes
	b.part, b.off = b.tailPart, 0
}

// mayGrow reports whether there is more to collect.
func (b *collector) mayGrow() bool { return b.part < len(b.t.parts) && b.n < batch }

// trim takes what is less than a record off the end of the batch, of which so many bytes are whole ones, for the next one, if
// it lies in the page that the batch ends in.
func (b *collector) trim(whole int64) {
	if b.n == 0 || b.tail > 0 || b.off == 0 {
		return
	}
	last := &b.t.pieces[b.n-1]
	rest := b.bytes - whole
	left := int64(len(last.Data)) - rest
	switch {
	case rest == 0:
		return
	case left > 0:
		b.keep(stream.Piece{Data: last.Data[left:], Ref: last.Ref})
		last.Data = last.Data[:left]
	case left == 0: // nothing of the page: its hold moves
		b.t.rest, b.t.restFresh = *last, b.fresh&(1<<(b.n-1)) != 0
		*last = stream.Piece{}
		b.n--
	default:
		return
	}
	b.off -= rest
	b.bytes -= rest
}

// keep holds what a batch leaves of its last page.
func (b *collector) keep(rest stream.Piece) {
	rest.Retain()
	b.t.rest, b.t.restFresh = rest, b.fresh&(1<<(b.n-1)) != 0
}

// commit hands the batch over. The holds of its literals go with it, so their parts give them up first.
func (b *collector) commit(out Sink) error {
	t := b.t
	for i := t.at; i < b.part; i++ {
		t.parts[i].Ref = nil
	}
	t.at, t.off, t.sent = b.part, b.off, t.sent+b.bytes
	b.book(out.Book())
	err := out.Append(t.pieces[:b.n])
	clear(t.pieces[:b.n])
	return err
}

// book says where the bytes of the batch come from.
func (b *collector) book(to *ledger.Book) {
	if to == nil {
		return
	}
	for i, p := range b.t.pieces[:b.n] {
		e := ledger.CacheHit
		switch bit := uint8(1) << i; {
		case b.literals&bit != 0:
			e = ledger.OwnedBytes
		case b.fresh&bit != 0:
			e = ledger.CacheFill
		}
		to.Add(e, len(p.Data))
	}
}

// drop releases the pages of a batch that will not be handed over; literals stay with their parts.
func (b *collector) drop() {
	for i, p := range b.t.pieces[:b.n] {
		if b.literals&(1<<i) == 0 {
			p.Release()
		}
	}
	clear(b.t.pieces[:b.n])
}
