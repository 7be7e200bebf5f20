package stream

import "math/bits"

// BlockSize is the unit of receive memory, in bytes. A small request takes one block, a 64 KiB superframe
// sixteen; popping sixteen from the free list costs little beside copying 64 KiB.
const BlockSize = 4096

type block [BlockSize]byte

// PoolConfig bounds a BlockPool. The zero value takes the defaults.
type PoolConfig struct {
	// MaxBytes is the most receive memory that all streams of the pool may hold, in bytes; default
	// 256 MiB. Out-of-order data may take only 7/8 of it: the rest is kept for data in order, which is what
	// lets connections go on and free memory.
	MaxBytes int
	// KeepBytes is the most receive memory kept on the free list, in bytes; default 4 MiB. What is
	// returned beyond that goes to the garbage collector.
	KeepBytes int
}

// A BlockPool is the memory that the streams of one shard share: receive blocks and the arrays of send
// queues and reassemblies. It has no locks and belongs to its shard. Its free lists are last-in first-out,
// so that a busy shard works on memory that is still in its caches.
type BlockPool struct {
	free   []*block
	keep   int // most blocks on the free list
	inUse  int // blocks held by streams
	limit  int // most blocks held by streams
	strict int // most blocks held by streams when asking for out-of-order data

	rings   arrays[queued]
	tables  arrays[*block]
	strays  []*strays
	refused uint64
	queued  int64 // what send queues hold, in bytes, and what is in limbo
	limbo   limbo
}

// Init sets the bounds. It is called once, before the first use.
func (p *BlockPool) Init(c PoolConfig) {
	if c.MaxBytes <= 0 {
		c.MaxBytes = 256 << 20
	}
	if c.KeepBytes <= 0 {
		c.KeepBytes = 4 << 20
	}
	p.limit = max(1, c.MaxBytes/BlockSize)
	p.strict = p.limit - p.limit/8
	p.keep = min(p.limit, max(1, c.KeepBytes/BlockSize))
}

// NewBlockPool returns a pool with the given bounds.
func NewBlockPool(c PoolConfig) *BlockPool {
	p := new(BlockPool)
	p.Init(c)
	return p
}

// InUse is the receive memory held by streams, in bytes.
func (p *BlockPool) InUse() int { return p.inUse * BlockSize }

// Queued is the memory that the send queues hold, in bytes: the charges of their spans (see Charger), of those too
// that wait for the link to be done with them, and the rings that they stand in.
func (p *BlockPool) Queued() int64 { return p.queued }

// Idle is the receive memory on the free list, in bytes.
func (p *BlockPool) Idle() int { return len(p.free) * BlockSize }

// Refused counts the times a stream asked for a block and the bound said no.
func (p *BlockPool) Refused() uint64 { return p.refused }

// get returns a block, or nil at the bound. Its contents are whatever the last owner left: a stream hands
// out only bytes that it has stored itself.
func (p *BlockPool) get(inOrder bool) *block {
	limit := p.limit
	if !inOrder {
		limit = p.strict
	}
	if p.inUse >= limit {
		p.refused++
		return nil
	}
	p.inUse++
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free[n-1] = nil
		p.free = p.free[:n-1]
		return b
	}
	return new(block)
}

// put takes a block back.
func (p *BlockPool) put(b *block) {
	p.inUse--
	if len(p.free) < p.keep {
		p.free = append(p.free, b)
	}
}

// getStrays returns an empty record of out-of-order ranges, bounded to max of them.
func (p *BlockPool) getStrays(max int) *strays {
	n := len(p.strays)
	if n == 0 {
		s := new(strays)
		s.reset(max)
		return s
	}
	s := p.strays[n-1]
	p.strays = p.strays[:n-1]
	s.reset(max)
	return s
}

// putStrays takes a record back. A pool keeps a few: few streams have holes at the same time.
func (p *BlockPool) putStrays(s *strays) {
	if len(p.strays) < 64 {
		p.strays = append(p.strays, s)
	}
}

const (
	minArray   = 8  // entries in the smallest array
	numClasses = 16 // classes of 8, 12, 16, 24, ... 1024, 1536 entries; larger arrays are left to the collector
	keepArrays = 64 // arrays kept per class
)

// arrays are free lists of slices whose lengths are powers of two, or half as much again. Every free slice is all
// zero, so that it keeps nothing alive.
type arrays[T any] struct {
	free [numClasses][][]T
}

// class returns the index of the free list for n entries, a length that get or fit returns.
func class(n int) int {
	octave := bits.Len(uint(n)/minArray) - 1
	if n > minArray<<octave {
		return 2*octave + 1
	}
	return 2 * octave
}

// get returns a zeroed slice of at least n entries, its length a power of two.
func (a *arrays[T]) get(n int) []T { return a.take(powerFor(n)) }

// fit is get, less wasteful: the length may be one and a half times a power of two.
func (a *arrays[T]) fit(n int) []T {
	size := powerFor(n)
	if less := size / 4 * 3; less >= n && less > minArray {
		size = less
	}
	return a.take(size)
}

// powerFor is the least power of two that is at least n and minArray.
func powerFor(n int) int {
	size := minArray
	for size < n {
		size *= 2
	}
	return size
}

// take returns a zeroed slice of size entries.
func (a *arrays[T]) take(size int) []T {
	c := class(size)
	if c >= numClasses || len(a.free[c]) == 0 {
		return make([]T, size)
	}
	list := a.free[c]
	s := list[len(list)-1]
	list[len(list)-1] = nil
	a.free[c] = list[:len(list)-1]
	return s
}

// put takes back a slice that get or fit returned; its entries must be zero again.
func (a *arrays[T]) put(s []T) {
	if len(s) == 0 {
		return
	}
	if c := class(len(s)); c < numClasses && len(a.free[c]) < keepArrays {
		a.free[c] = append(a.free[c], s)
	}
}
