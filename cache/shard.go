package cache

import (
	"sync"
	"sync/atomic"
	"time"

	"ocaserve/cache/s3fifo"
)

// A shard owns a part of the slots. Its mutex is held for tens of nanoseconds, never across a system call, but
// for the growth of the arena.
type shard struct {
	mu       sync.Mutex
	cache    *Cache
	capacity int // slots at most
	maxFills int // fills at most

	buckets []*page // by the low bits of the page hash; chained through page.next
	mask    uint64
	pages   []*page // by slot
	unused  *page   // free list
	fresh   []page  // slots mapped but never used yet
	policy  *s3fifo.Policy
	isBusy  func(slot uint32) bool // pages[slot].busy, made once

	fills  int       // pages in state filling
	line   []request // [head:] wait for a slot or for a fill to end, in order of arrival
	head   int
	hungry atomic.Bool // the line is not empty, or about to be: releases must kick
	kicked atomic.Bool // a kick is on its way
	timer  *time.Timer // lapses reservations while the line is not empty
	armed  bool
	stuck  int    // ticks since the line moved
	epoch  uint32 // of reservations
	since  int    // fills since the epoch began
	closed bool

	stats Stats
	_     [64]byte // keeps neighbours off this cache line
}

func (s *shard) init(c *Cache, capacity int) {
	n := 1
	for n < capacity {
		n *= 2
	}
	s.cache, s.capacity = c, capacity
	s.maxFills = min(max(1, capacity/2), maxShardFills)
	s.buckets, s.mask = make([]*page, n), uint64(n-1)
	s.policy = s3fifo.New(capacity)
	s.isBusy = func(slot uint32) bool { return s.pages[slot].busy() }
}

// shardOf uses the high bits of the hash; buckets use the low ones.
func (c *Cache) shardOf(h uint64) *shard {
	return &c.shards[(h>>40)&uint64(len(c.shards)-1)]
}

// find returns the page, or nil. Caller holds mu, as for everything below unless said otherwise.
func (s *shard) find(o *object, index int64, h uint64) *page {
	for p := s.buckets[h&s.mask]; p != nil; p = p.next {
		if p.index == index && p.obj == o {
			return p
		}
	}
	return nil
}

// pin is Pin for one page. It takes mu itself.
func (s *shard) pin(f *File, index int64, h uint64, w Waiter) (*page, error) {
	s.mu.Lock()
	p := s.find(f.obj, index, h)
	if p != nil && p.state == ready && !s.closed {
		p.refs.Add(1)
		f.fresh, p.fresh = p.fresh, false
		switch {
		case p.expected > 0: // the fill's own reader: not an access beyond the first
			p.expected--
		case f.last != index: // a page pinned in several parts by one reader was still used once
			s.policy.Hit(p.slot)
			s.stats.Hits++
		default:
			s.stats.Hits++
		}
		s.mu.Unlock()
		return p, nil
	}
	err := s.miss(f, p, index, h, w)
	s.mu.Unlock()
	return nil, err
}

// miss joins the fill in flight, or starts one, or puts the request in line.
func (s *shard) miss(f *File, p *page, index int64, h uint64, w Waiter) error {
	switch err := f.failed(); {
	case s.closed:
		return ErrClosed
	case err != nil:
		return err
	case f.obj.dead.Load():
		return ErrChanged
	}
	if p != nil {
		s.stats.Joined++
		p.waiters = append(p.waiters, waiting{f, w})
		return ErrBusy
	}
	// Those already in line go first.
	if s.inLine() == 0 {
		p, err := s.start(f, index, h)
		if err != nil {
			return err
		}
		if p != nil {
			s.stats.Misses++
			p.waiters = append(p.waiters, waiting{f, w})
			return ErrBusy
		}
	}
	s.stats.Starved++
	s.enqueue(request{waiting{f, w}, index, h})
	return ErrBusy
}

// prefetch starts a fill that nobody waits for, if that takes nothing away from others. It reports false if there
// is no room for it now. It takes mu itself.
func (s *shard) prefetch(f *File, index int64, h uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(f.obj, index, h) != nil {
		return true
	}
	if s.closed || s.fills >= (s.maxFills+1)/2 || s.inLine() > 0 || f.obj.dead.Load() {
		return false
	}
	p, err := s.start(f, index, h)
	if p == nil || err != nil {
		return false
	}
	s.stats.ReadAhead++
	return true
}

// start takes a slot for the page and hands it to the readers. It returns nil if there is no slot, or if the
// readers have enough to do.
func (s *shard) start(f *File, index int64, h uint64) (*page, error) {
	if s.fills >= s.maxFills {
		return nil, nil
	}
	p, err := s.slot()
	if p == nil || err != nil {
		return nil, err
	}
	p.state, p.obj, p.index = filling, f.obj, index
	p.length = int(min(int64(s.cache.pageSize), f.obj.size-index<<s.cache.pageShift))
	p.expected = 0
	p.dead.Store(false)
	b := &s.buckets[h&s.mask]
	p.next, *b = *b, p
	f.obj.pages.Add(1)
	f.keep()
	s.fills++
	if s.since++; s.since > max(s.capacity, minShardPages) {
		s.epoch, s.since = s.epoch+1, 0
	}
	s.cache.work <- job{page: p, file: f, hash: h}
	return p, nil
}

// slot returns a slot that holds nothing: a free one, a new one, or one that is evicted. Nil: all are busy.
func (s *shard) slot() (*page, error) {
	if p := s.unused; p != nil {
		s.unused = p.next
		return p, nil
	}
	if len(s.pages) < s.capacity {
		return s.grow()
	}
	i, ok := s.policy.Evict(s.isBusy)
	if !ok {
		return nil, nil
	}
	p := s.pages[i]
	s.unlink(p)
	s.stats.Evictions++
	return p, nil
}

// grow returns a slot that was never used, mapping memory for a chunk of them when needed.
func (s *shard) grow() (*page, error) {
	if len(s.fresh) == 0 {
		size := s.cache.pageSize
		mem, err := s.cache.arena.take(s.capacity-len(s.pages), size)
		if err != nil {
			return nil, err
		}
		s.fresh = make([]page, len(mem)/size)
		for i := range s.fresh {
			s.fresh[i].data = mem[i*size : (i+1)*size : (i+1)*size]
		}
	}
	p := &s.fresh[0]
	s.fresh = s.fresh[1:]
	p.shard, p.slot = s, uint32(len(s.pages))
	s.pages = append(s.pages, p)
	return p, nil
}

// unlink takes a page out of the table and ends its tie to the object.
func (s *shard) unlink(p *page) {
	at := &s.buckets[p.obj.pageHash(p.index)&s.mask]
	for *at != p {
		at = &(*at).next
	}
	*at = p.next
	if p.expected > 0 {
		s.stats.Lapsed++
	}
	o := p.obj
	p.state, p.obj, p.next, p.expected = free, nil, nil, 0
	s.cache.pageGone(o)
}

// discard makes a page's slot free at once.
func (s *shard) discard(p *page) {
	s.policy.Remove(p.slot)
	s.unlink(p)
	p.next, s.unused = s.unused, p
}

// dropPage throws a page of a dead object away, or marks it for its last Release. It takes mu itself.
func (s *shard) dropPage(o *object, index int64, h uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(o, index, h)
	if p == nil || p.state != ready {
		return // absent, or in flight: the reader will see that the object is dead
	}
	p.dead.Store(true)
	if p.refs.Load() == 0 {
		s.discard(p)
		s.stats.Dropped++
		s.kickLocked()
	}
}

// dropDead is dropPage for the Release that let go of p. It takes mu itself.
func (s *shard) dropDead(p *page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The slot may hold something else by now, or be held again.
	if p.state == ready && p.refs.Load() == 0 && p.dead.Load() {
		s.discard(p)
		s.stats.Dropped++
		s.kickLocked()
	}
}
