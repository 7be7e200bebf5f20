package cache

import "sync/atomic"

// state is what a slot holds. Under the shard's mutex.
type state uint8

const (
	free    state = iota // nothing: in the free list
	filling              // a reader owns data; waiters are queued
	ready                // published: data is immutable
)

// A page is a slot of the cache and what it holds now. It is a stream.Ref: a hold on its bytes.
type page struct {
	shard *shard
	slot  uint32 // its index in the shard and in the policy
	data  []byte // the slot's memory: PageSize bytes

	// refs counts the holds. It leaves zero only under the shard's mutex, or before publication, so under that
	// mutex a zero stays zero.
	refs atomic.Int32
	// dead: the generation is over; the last Release drops the page. Atomic because Release looks without lock.
	dead atomic.Bool

	// All below under the shard's mutex.
	state    state
	obj      *object
	index    int64     // page number within the object
	length   int       // valid bytes of data, PageSize except at the end of the object
	next     *page     // in the bucket's chain, or in the free list
	waiters  []waiting // while filling
	expected int       // waiters told to come, but not come yet
	epoch    uint32    // of the shard when they were told
	counted  bool      // Close counted it as pinned
	fresh    bool      // nobody has pinned it since it was filled
	sum      uint64    // of data, with Config.Verify
}

// Retain adds a hold. The caller must have one already.
func (p *page) Retain() {
	if p.refs.Add(1) <= 1 {
		panic("cache: Retain needs a page that is held already")
	}
}

// Release drops a hold. The bytes must not be touched after it.
func (p *page) Release() {
	if p.shard.cache.verify {
		p.checkSum()
	}
	n := p.refs.Add(-1)
	if n > 0 {
		return
	}
	if n < 0 {
		panic("cache: a page was released more often than it was pinned")
	}
	// From here on the page may be evicted and hold something else: only the atomics may be read. Whoever sets
	// hungry or dead looks at refs afterwards, so one of us sees the other.
	s := p.shard
	if p.dead.Load() {
		s.dropDead(p)
	}
	if s.hungry.Load() {
		s.kick()
	}
	if s.cache.closed.Load() {
		s.afterClose(p)
	}
}

// busy reports whether the slot must not be evicted now.
func (p *page) busy() bool {
	return p.state != ready || p.refs.Load() != 0 || p.reserved()
}

// reserved reports whether a waiter that was called is about to pin the page. Without this, in a cache with
// fewer pages than transfers, a page would be taken for the next request before the one it was read for comes,
// for ever. It lapses with the epoch, because the waiter's connection may be gone.
func (p *page) reserved() bool {
	return p.expected > 0 && p.shard.epoch-p.epoch < 2
}

func (p *page) checkSum() {
	p.shard.mu.Lock()
	sum := p.sum
	p.shard.mu.Unlock()
	if p.shard.cache.hash(p.data[:p.length]) != sum {
		panic("cache: a published page is immutable, but its bytes changed")
	}
}
