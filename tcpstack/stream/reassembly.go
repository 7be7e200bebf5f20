package stream

import "fmt"

// A Result says what became of the bytes of an Insert.
type Result uint8

const (
	Stored    Result = iota // every byte that was missing is stored now
	Trimmed                 // the end was cut off: beyond the limit, or no memory for it
	Duplicate               // nothing was missing: every byte had been received before
	Refused                 // nothing was stored: beyond the limit, no memory, or too many holes
)

// String names the result.
func (r Result) String() string {
	return [...]string{"stored", "trimmed", "duplicate", "refused"}[min(r, Refused)]
}

// DefaultMaxHoles is the bound on out-of-order ranges when the configuration names none. A queue that overflows in
// front of a window of many megabytes loses hundreds of packets at once, and a range that is refused, or dropped after
// it was reported, has to be sent again for nothing. A range costs 16 bytes, and finding its place a binary search
// and a move of 16 KiB at worst.
const DefaultMaxHoles = 1024

// ReassemblyConfig bounds a Reassembly. The zero value takes the defaults.
type ReassemblyConfig struct {
	Limit    int // stream bytes after the first unread one that are accepted: the receive buffer; default 64 KiB
	MaxHoles int // out-of-order ranges kept; default DefaultMaxHoles
}

// A Reassembly is the receive side of a stream: bytes that arrive in any order are read in order.
//
//	         read          next                                 read+limit
//	  consumed | in order    | hole | range | hole | range | ...    |  refused
//	   |       |             |
//	origin = byte 0 of table entry 0; entry i holds [origin + i*BlockSize, ...)
//
// Bytes are stored at fixed places: a table of blocks, allocated when the first byte in them arrives. So
// the memory held never exceeds limit + 2*BlockSize and the table (1/512 of that), whatever the peer
// sends and in whatever portions; storing is O(1) in the number of segments; and the block holding the
// bytes of an unread request is contiguous, since an empty stream begins a new block at its next byte.
//
// The first copy of a byte wins: a later segment with other bytes for the same place changes nothing, so
// that what was looked at once (by a filter, by SACK) stays true.
//
// An empty Reassembly holds no memory beside the struct.
type Reassembly struct {
	pool   *BlockPool
	strays *strays  // what was received beyond next; nil: nothing
	table  []*block // ring; length zero or a power of two
	head   uint32   // index in table of entry 0
	n      uint32   // table entries in use: those up to the highest byte stored
	blocks uint32   // entries that are not nil
	holes  uint32   // bound on out-of-order ranges
	limit  int      // bytes accepted after read
	origin int64    // offset of the first byte of entry 0; origin <= read < origin+BlockSize
	read   int64    // first byte not yet read by the application
	next   int64    // first byte not yet received
}

// Init empties r at offset 0 and names the pool its memory comes from.
func (r *Reassembly) Init(pool *BlockPool, c ReassemblyConfig) {
	if c.MaxHoles <= 0 {
		c.MaxHoles = DefaultMaxHoles
	}
	if c.Limit <= 0 {
		c.Limit = 64 << 10
	}
	*r = Reassembly{pool: pool, holes: uint32(c.MaxHoles), limit: c.Limit}
}

// Next is the offset of the first byte not yet received: what an ACK acknowledges.
func (r *Reassembly) Next() int64 { return r.next }

// Offset is the offset of the first byte not yet read.
func (r *Reassembly) Offset() int64 { return r.read }

// Readable is the number of bytes that can be read now.
func (r *Reassembly) Readable() int { return int(r.next - r.read) }

// Limit is the size of the receive buffer, in bytes.
func (r *Reassembly) Limit() int { return r.limit }

// SetLimit changes the size of the receive buffer. What is stored stays, even beyond a smaller limit; the
// connection must not take back window that it has advertised (RFC 9293 section 3.8.6, "shrinking the
// window" is discouraged).
func (r *Reassembly) SetLimit(n int) { r.limit = n }

// Room is how many bytes after Next are accepted: the window that may be advertised.
func (r *Reassembly) Room() int { return max(0, r.limit-r.Readable()) }

// Buffered is the number of bytes stored and not yet read, out-of-order ones included.
func (r *Reassembly) Buffered() int {
	n := r.Readable()
	if r.strays != nil {
		n += int(r.strays.set.Size())
	}
	return n
}

// Charged is the memory held, in bytes: whole blocks, however few bytes are in them, and the tables.
func (r *Reassembly) Charged() int {
	n := int(r.blocks)*BlockSize + 8*len(r.table)
	if r.strays != nil {
		n += r.strays.charged()
	}
	return n
}

// Holes is the number of ranges received out of order; zero means that nothing is missing below the
// highest byte received.
func (r *Reassembly) Holes() int {
	if r.strays == nil {
		return 0
	}
	return r.strays.set.Len()
}

// Insert stores the bytes of p that belong at off and are missing. It returns by how many bytes Next
// advanced. p stays the caller's.
func (r *Reassembly) Insert(off int64, p []byte) (advanced int, res Result) {
	seg := Range{off, off + int64(len(p))}
	if seg.Empty() {
		return 0, Stored
	}
	if seg.To <= r.next {
		return 0, Duplicate
	}
	if edge := r.read + int64(r.limit); seg.To > edge {
		seg.To, res = max(seg.From, edge), Trimmed
	}
	seg.From = max(seg.From, r.next)
	if seg.Empty() {
		return 0, Refused
	}
	p = p[seg.From-off : seg.To-off]
	if seg.From > r.next {
		return 0, max(res, r.insertStray(seg, p))
	}
	return r.insertNext(seg, p, res)
}

// insertNext stores a segment that begins at next.
func (r *Reassembly) insertNext(seg Range, p []byte, res Result) (int, Result) {
	to := r.reserve(seg, true)
	for to < seg.To && r.dropFurthest() {
		// Out-of-order data is a favour to the sender; data in order is what we promised to take.
		to = r.reserve(seg, true)
	}
	if to < seg.To {
		if to == seg.From {
			r.tidy()
			return 0, Refused
		}
		seg.To, res = to, Trimmed
	}
	from := r.next
	r.next = seg.To
	if r.strays == nil {
		r.store(seg.From, p[:seg.Len()])
	} else {
		r.storeMissing(seg, p)
		r.absorb()
	}
	return int(r.next - from), res
}

// absorb moves next over the ranges that it has reached.
func (r *Reassembly) absorb() {
	set := &r.strays.set
	for {
		f, ok := set.First()
		if !ok || f.From > r.next {
			break
		}
		r.next = max(r.next, f.To)
		set.TrimBelow(f.To)
	}
	if set.Len() == 0 {
		r.pool.putStrays(r.strays)
		r.strays = nil
	}
}

// insertStray stores a segment that begins beyond next.
func (r *Reassembly) insertStray(seg Range, p []byte) Result {
	if r.strays == nil {
		r.strays = r.pool.getStrays(int(r.holes))
	}
	s := r.strays
	if s.set.Covers(seg) {
		s.touch(seg.From) // RFC 2018 section 4: the first block is the one that holds this segment
		return Duplicate
	}
	if s.set.Len() >= int(r.holes) && !s.set.touches(seg) {
		// At the bound the lowest ranges are worth most: they are the next to be joined. RFC 2018 section 8
		// allows us to discard data that was reported but not acknowledged.
		if last, _ := s.set.Last(); last.From < seg.From {
			return Refused
		}
		r.dropFurthest()
	}
	want := seg
	seg.To = r.reserve(seg, false)
	if seg.Empty() || s.set.Len() >= int(r.holes) && !s.set.touches(seg) {
		// Nothing fits, or what fits no longer reaches the range it was to join.
		r.freeUnused(seg)
		r.tidy()
		return Refused
	}
	r.storeMissing(seg, p)
	s.set.Add(seg)
	s.touch(seg.From)
	if seg != want {
		return Trimmed
	}
	return Stored
}

// storeMissing copies the parts of seg that are not there yet; p[0] belongs at seg.From.
func (r *Reassembly) storeMissing(seg Range, p []byte) {
	rest := seg
	for {
		gap, ok := r.strays.set.Gap(rest)
		if !ok {
			return
		}
		r.store(gap.From, p[gap.From-seg.From:gap.To-seg.From])
		rest.From = gap.To
	}
}

// dropFurthest forgets the highest out-of-order range and frees the blocks that held nothing else. It
// reports false if there is none.
func (r *Reassembly) dropFurthest() bool {
	if r.strays == nil {
		return false
	}
	set := &r.strays.set
	last, ok := set.Last()
	if !ok {
		return false
	}
	set.Subtract(last)
	keep := r.next // end of the data below that stays
	if f, ok := set.Last(); ok {
		keep = f.To
	}
	r.freeAbove(keep)
	return true
}

// tidy frees what an insert that stored nothing may have left behind.
func (r *Reassembly) tidy() {
	if r.strays != nil && r.strays.set.Len() == 0 {
		r.pool.putStrays(r.strays)
		r.strays = nil
	}
	if r.strays == nil && r.read == r.next {
		r.freeAll()
	}
}

// SACK fills dst with the ranges received beyond Next, the most recently changed first, each once, and
// returns how many. RFC 2018 section 4: "The first SACK block MUST specify the contiguous block of data
// containing the segment which triggered this ACK", and the others repeat what was reported most recently.
func (r *Reassembly) SACK(dst []Range) int {
	if r.strays == nil {
		return 0
	}
	return r.strays.report(dst)
}

// Received returns the first run of bytes of seg that had been received before: what a D-SACK reports
// (RFC 2883 section 4). Ask before the Insert.
func (r *Reassembly) Received(seg Range) (Range, bool) {
	if seg.From < r.next {
		seg.To = min(seg.To, r.next)
		return seg, !seg.Empty()
	}
	if r.strays == nil {
		return Range{}, false
	}
	return r.strays.set.Overlap(seg)
}

// Read copies the next bytes into p, returns how many, and frees what it has emptied.
func (r *Reassembly) Read(p []byte) int {
	total := 0
	for total < len(p) && r.read < r.next {
		n := copy(p[total:], r.Peek())
		r.Discard(n)
		total += n
	}
	return total
}

// Peek returns the first run of readable bytes that lie together in memory, nil if none are readable. They
// are the caller's to look at and even to change (a record may be opened in place), until they are
// discarded.
func (r *Reassembly) Peek() []byte {
	if r.read == r.next {
		return nil
	}
	at := int(r.read - r.origin)
	end := int(min(r.next-r.origin, BlockSize))
	return r.entry(0)[at:end:end]
}

// PeekN returns the first n readable bytes as one run: in place if they lie together, else copied into
// buf, which must hold n bytes. It returns nil if fewer than n are readable.
func (r *Reassembly) PeekN(n int, buf []byte) []byte {
	if n > r.Readable() {
		return nil
	}
	if p := r.Peek(); len(p) >= n {
		return p[:n:n]
	}
	for done := 0; done < n; {
		i, at := r.place(r.read + int64(done))
		done += copy(buf[done:n], r.entry(i)[at:])
	}
	return buf[:n:n]
}

// Discard consumes n bytes, n <= Readable, and frees the blocks it has emptied.
func (r *Reassembly) Discard(n int) {
	if n < 0 || n > r.Readable() {
		panic(fmt.Sprintf("stream: discard %d of %d readable bytes", n, r.Readable()))
	}
	r.read += int64(n)
	if r.read == r.next && r.strays == nil {
		r.freeAll()
		return
	}
	r.freeBelow(r.read)
}

// Drop forgets all that is stored: the connection is gone, or nobody will read. Next stays.
func (r *Reassembly) Drop() {
	if r.strays != nil {
		r.pool.putStrays(r.strays)
		r.strays = nil
	}
	r.read = r.next
	r.freeAll()
}
