package sendfile

import (
	"errors"
	"fmt"

	"ocaserve/cache"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/stream"
)

var (
	// ErrAgain: the queue is full; call Pump again when there is room (EAGAIN of sendfile(2)).
	ErrAgain = errors.New("sendfile: no room to queue more")
	// ErrShort: the file ended before the extent did.
	ErrShort = errors.New("sendfile: the file is shorter than the response")
)

// batch is the number of pieces in one Append: with 64 KiB pages more than any send queue has room for.
const batch = 8

// A Part is a run of the body: literal Bytes if File is nil, else Len bytes of File from Off.
type Part struct {
	Bytes []byte     // unchanged until released
	Ref   stream.Ref // hold on Bytes that the transfer takes over; nil: garbage-collected

	File     *cache.File // the caller's: it stays open until the transfer is done or closed
	Off, Len int64       // bytes
}

// size is the number of bytes of the part.
func (p *Part) size() int64 {
	if p.File == nil {
		return int64(len(p.Bytes))
	}
	return p.Len
}

// A Sink is where the pieces go: a framer in front of a connection's send queue.
type Sink interface {
	// Room is the number of bytes that may be appended now. It is a mark, not a wall: the page that
	// crosses it is appended too, or the next, up to where a record ends that crosses it.
	Room() int64
	// Whole is how many of n bytes, of which the last is not the body's, should be appended now so that no
	// record is cut short; 0: they are less than a record.
	Whole(n int64) int64
	// Append takes over one hold on each piece, also when it fails. The slice stays the caller's.
	Append(pieces []stream.Piece) error
	// Book is the ledger of the connection, where the transfer says where the bytes come from; nil: none.
	Book() *ledger.Book
}

// A Transfer is a response on its way. The zero value is empty; Add fills it, Pump empties it, and after
// Close it is the zero value again, keeping its memory for the next response.
type Transfer struct {
	parts     []Part
	at        int          // part being sent
	off       int64        // bytes of it already sent; 0 for a literal
	sent      int64        // bytes handed to the sink, in all
	length    int64        // bytes of all parts
	rest      stream.Piece // of the page that the last batch ended in, with a hold; or none
	restFresh bool         // it was read for us, or we are the first to use it
	pieces    [batch]stream.Piece
}

// New makes a transfer of parts, in order.
func New(parts ...Part) *Transfer {
	t := new(Transfer)
	for _, p := range parts {
		t.Add(p)
	}
	return t
}

// Add appends a part and takes over its hold. Empty parts are dropped.
func (t *Transfer) Add(p Part) {
	n := p.size()
	switch {
	case n < 0 || p.Off < 0:
		panic(fmt.Sprintf("sendfile: extent of %d bytes at %d", n, p.Off))
	case n == 0:
		if p.Ref != nil {
			p.Ref.Release()
		}
		return
	}
	t.parts = append(t.parts, p)
	t.length += n
}

// Len is the number of bytes of all parts, sent or not.
func (t *Transfer) Len() int64 { return t.length }

// Sent is the number of bytes handed to the sink so far.
func (t *Transfer) Sent() int64 { return t.sent }

// Done reports whether everything was handed over.
func (t *Transfer) Done() bool { return t.sent == t.length }

// Pump hands over as much as there is room and memory for. It returns nil when the transfer is done,
// [ErrAgain] when the sink is full, [cache.ErrBusy] when a page is being filled (w.Filled will be called,
// from another goroutine, once), or what went wrong: then the response cannot be completed and t must be
// closed. As long as Sent is 0 nothing has left, and another response may be given instead.
//
// Literal bytes are held back while the page behind them is being filled.
func (t *Transfer) Pump(out Sink, w cache.Waiter) error {
	for !t.Done() {
		room := out.Room()
		if room <= 0 {
			return ErrAgain
		}
		b := collector{t: t, room: room, part: t.at, off: t.off}
		stop := b.collect(w)
		whole := out.Whole(b.bytes)
		for stop == nil && whole < room && b.mayGrow() {
			b.room = b.bytes + 1 // one page more: what whole records leave of the room would be a batch of one
			stop = b.collect(w)
			whole = out.Whole(b.bytes)
		}
		if stop != nil && stop != cache.ErrBusy {
			b.drop()
			return stop
		}
		if stop != nil {
			b.holdBack()
		}
		b.trim(whole)
		if b.n > 0 {
			if err := b.commit(out); err != nil {
				return err
			}
		}
		if stop != nil {
			return stop
		}
	}
	return nil
}

// Close drops every hold that has not been handed over. It may be called at any time and more than once;
// a waiter that was registered may still be called later.
func (t *Transfer) Close() {
	for i := t.at; i < len(t.parts); i++ {
		if r := t.parts[i].Ref; r != nil {
			r.Release()
		}
	}
	t.rest.Release()
	t.rest = stream.Piece{}
	clear(t.parts)
	t.parts = t.parts[:0]
	t.at, t.off, t.sent, t.length = 0, 0, 0, 0
}
