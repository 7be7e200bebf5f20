package cache

import (
	"io"
	"sync/atomic"

	"ocaserve/tcpstack/stream"
)

// A File is one reader's view of an object: where it is in its reading, and its source. It belongs to one caller
// at a time; any number of Files may be open on one key. Use one for each response.
type File struct {
	cache  *Cache
	obj    *object
	src    Source
	hold   holder // src if it counts its users, else nil
	closed atomic.Bool
	err    atomic.Pointer[error] // a fill for this File failed: the response cannot go on

	last  int64 // page pinned most recently; -1: none
	run   int   // pages pinned in sequence
	ahead int64 // pages below this were asked for by read-ahead
	fresh bool  // see Fresh
}

// Open returns a file over the object that key names. Pages that are not in memory are read from src, which must
// stay usable until Close (and, if it has no Acquire and Release, until the fills in flight are done: ReadAt may
// fail then, but must not panic).
func (c *Cache) Open(key Key, src Source) *File {
	f := &File{cache: c, obj: c.acquire(key, src.Size()), src: src, last: -1}
	if h, ok := src.(holder); ok {
		f.hold = h
		h.Acquire()
	}
	return f
}

// Size is the number of bytes of the file.
func (f *File) Size() int64 { return f.obj.size }

// Close ends the use of f. Pieces pinned through it stay valid. A second Close does nothing.
func (f *File) Close() {
	if !f.closed.CompareAndSwap(false, true) {
		return
	}
	f.letGo()
}

// keep and letGo hold object and source for a fill or a waiting request, which may outlive the handle.
func (f *File) keep() {
	f.cache.retain(f.obj)
	if f.hold != nil {
		f.hold.Acquire()
	}
}

func (f *File) letGo() {
	f.cache.release(f.obj)
	if f.hold != nil {
		f.hold.Release()
	}
}

// Pin returns the bytes from off to the end of the page they are in, or of the file, with one hold for the
// caller: it calls Release on the piece, or passes it on to who will. The bytes are read-only.
//
// The error ErrBusy means that they are not in memory: w.Filled is called once, from another goroutine, when it
// is worth calling Pin again, and Pin may then be busy again. Other errors are final for this File: io.EOF at or
// after the end, ErrChanged, ErrClosed, or the error of the source.
func (f *File) Pin(off int64, w Waiter) (stream.Piece, error) {
	if uint64(off) >= uint64(f.obj.size) { // negative too
		return stream.Piece{}, io.EOF
	}
	c := f.cache
	index := off >> c.pageShift
	h := f.obj.pageHash(index)
	p, err := c.shardOf(h).pin(f, index, h, w)
	if err != nil {
		return stream.Piece{}, err
	}
	if index != f.last {
		f.advance(index)
	}
	return stream.Piece{Data: p.data[off&int64(c.pageSize-1) : p.length : p.length], Ref: p}, nil
}

// Fresh reports whether nobody had used the page of the last piece that Pin returned since it was read from the
// source. So each fill counts once, for its first user, whether that waited for it or it was read ahead.
func (f *File) Fresh() bool { return f.fresh }

// advance notes that the reader came to another page, and reads ahead if it reads in sequence. The window doubles
// from one page up to the maximum, so that a short range does not drag in what nobody wants.
func (f *File) advance(index int64) {
	if index != f.last+1 {
		f.run, f.ahead = 0, 0
	}
	f.last = index
	f.run++
	c := f.cache
	if c.readAhead == 0 {
		return
	}
	window := c.readAhead
	if f.run < 8 {
		window = min(window, 1<<(f.run-1))
	}
	pages := (f.obj.size + int64(c.pageSize) - 1) >> c.pageShift
	if f.obj.pages.Load() == pages {
		return // a popular object: all of it is here
	}
	end := min(index+1+int64(window), pages)
	for i := max(f.ahead, index+1); i < end; i++ {
		h := f.obj.pageHash(i)
		if !c.shardOf(h).prefetch(f, i, h) {
			return // no room now: try again from here with the next page
		}
		f.ahead = i + 1
	}
}

// fail makes an error final for f.
func (f *File) fail(err error) { f.err.CompareAndSwap(nil, &err) }

// failed returns the final error, if there is one.
func (f *File) failed() error {
	if e := f.err.Load(); e != nil {
		return *e
	}
	return nil
}
