package cache

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math/bits"
	"sync"
	"sync/atomic"
)

var (
	// ErrBusy means that the page is not in memory yet and the waiter will be called.
	ErrBusy = errors.New("cache: page is being read")
	// ErrChanged means that the source is no longer the generation it was opened as: what is missing of that
	// generation cannot be had any more. The response must end.
	ErrChanged = errors.New("cache: the file changed while it was read")
	// ErrClosed means that the cache is closed.
	ErrClosed = errors.New("cache: closed")
)

const (
	defaultPageSize  = 64 << 10
	defaultBytes     = 1 << 30
	defaultReaders   = 8
	defaultReadAhead = 8
	maxShards        = 64
	// minShardPages keeps shards large enough for the hash to spread load evenly over them: with fewer pages in
	// all, fewer shards.
	minShardPages = 128
	// maxShardFills bounds the fills queued or running per shard; beyond it, requests wait in line.
	maxShardFills = 64
)

// Config sizes a cache. Zero fields mean defaults.
type Config struct {
	Bytes     int64 // budget for page memory; default 1 GiB, at least one page
	PageSize  int   // bytes, a power of two, 4 KiB or more; default 64 KiB
	Readers   int   // fills that run at once; default 8
	ReadAhead int   // pages read ahead of a sequential reader at most; default 8, negative: none
	Verify    bool  // check at its last release that a page was not written to (debugging: hashes each page twice)
}

// A Source is what a file's pages are read from. Its methods are called by the cache's readers, several at once.
// If it also has Acquire and Release, the cache holds it with them for as long as it may read from it.
type Source interface {
	io.ReaderAt
	// Size is the number of bytes of this generation; it must not vary.
	Size() int64
	// Changed returns nil while the object still is the generation it was opened as. It is asked before and
	// after each fill, so that a page never holds bytes of two generations.
	Changed() error
}

// holder is the optional half of a Source that counts its users.
type holder interface {
	Acquire()
	Release()
}

// A Waiter is told when to call Pin again. Filled is called by a goroutine of the cache, must not block, and may
// still be called after the File was closed.
type Waiter interface{ Filled() }

// A Cache is safe for concurrent use.
type Cache struct {
	pageSize  int
	pageShift uint
	readAhead int
	verify    bool
	seed      maphash.Seed

	shards []shard
	arena  arena
	work   chan job // room for every fill and every kick there can be: sending never blocks
	done   sync.WaitGroup

	objectsMu sync.Mutex
	objects   map[Key]*object

	starved atomic.Int32 // shards whose line stands still
	closed  atomic.Bool
	pinned  atomic.Int64 // pages still pinned after Close: the last one unmaps the arenas
}

// New makes a cache and starts its readers.
func New(cfg Config) (*Cache, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	pages := cfg.Bytes / int64(cfg.PageSize)
	n := 1
	for n < maxShards && pages/int64(n*2) >= minShardPages {
		n *= 2
	}
	c := &Cache{
		pageSize:  cfg.PageSize,
		pageShift: uint(bits.TrailingZeros(uint(cfg.PageSize))),
		readAhead: min(cfg.ReadAhead, int(pages/8)), // a tiny cache has better uses for its pages
		verify:    cfg.Verify,
		seed:      maphash.MakeSeed(),
		shards:    make([]shard, n),
		objects:   make(map[Key]*object),
	}
	c.arena.init(cfg.PageSize, pages*int64(cfg.PageSize))
	perShard := pages / int64(n)
	for i := range c.shards {
		c.shards[i].init(c, int(perShard))
	}
	c.work = make(chan job, n*(c.shards[0].maxFills+1))
	for range cfg.Readers {
		c.done.Add(1)
		go c.reader()
	}
	return c, nil
}

// fill puts in the defaults and checks.
func (cfg *Config) fill() error {
	if cfg.PageSize == 0 {
		cfg.PageSize = defaultPageSize
	}
	if cfg.PageSize < 4096 || cfg.PageSize&(cfg.PageSize-1) != 0 || cfg.PageSize > 1<<24 {
		return fmt.Errorf("cache: page size %d: must be a power of two from 4096 to 16777216", cfg.PageSize)
	}
	if cfg.Bytes == 0 {
		cfg.Bytes = defaultBytes
	}
	if cfg.Bytes < int64(cfg.PageSize) {
		return fmt.Errorf("cache: a budget of %d bytes is less than one page of %d: raise it", cfg.Bytes, cfg.PageSize)
	}
	if cfg.Bytes/int64(cfg.PageSize) > 1<<31 {
		return fmt.Errorf("cache: a budget of %d bytes is more than 2^31 pages: use larger pages", cfg.Bytes)
	}
	if cfg.Readers <= 0 {
		cfg.Readers = defaultReaders
	}
	if cfg.ReadAhead == 0 {
		cfg.ReadAhead = defaultReadAhead
	}
	cfg.ReadAhead = max(0, cfg.ReadAhead)
	return nil
}

// PageSize is the size of a page in bytes. A piece never crosses a page boundary.
func (c *Cache) PageSize() int { return c.pageSize }

// Close stops the readers and answers every waiter; after it Pin returns ErrClosed. Pages that are still pinned
// stay valid; the memory is unmapped when the last of them is released.
func (c *Cache) Close() error {
	if !c.closed.CompareAndSwap(false, true) {
		return nil
	}
	var waiters []waiting
	for i := range c.shards {
		waiters = c.shards[i].shut(waiters)
	}
	close(c.work)
	c.done.Wait()
	notify(waiters)
	// One count stands for Close itself, so that no Release unmaps while we are still counting.
	c.pinned.Add(1)
	for i := range c.shards {
		c.pinned.Add(c.shards[i].countPinned())
	}
	c.unpinned()
	return nil
}

// unpinned takes one off the pages that outlive Close, and unmaps after the last.
func (c *Cache) unpinned() {
	if c.pinned.Add(-1) == 0 {
		c.arena.unmap()
	}
}
