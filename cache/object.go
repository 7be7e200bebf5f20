package cache

import (
	"hash/maphash"
	"sync/atomic"
)

// A Key names an object in one generation of its content: device, inode, size and times of modification for a
// file. Two sources with the same key must have the same bytes.
type Key [5]uint64

// An object is a key that has files open or pages resident.
type object struct {
	key  Key
	hash uint64 // seeds the hashes of its pages
	size int64
	dead atomic.Bool // the generation is over: nothing of it is published any more

	files int          // open handles, fills and waiting requests; under Cache.objectsMu
	pages atomic.Int64 // slots in use; grows only while files > 0
}

// pageHash mixes object and page number into 64 good bits (the finalizer of SplitMix64).
func (o *object) pageHash(index int64) uint64 {
	x := o.hash + uint64(index)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// acquire finds or makes the object of a key and counts a user of it.
func (c *Cache) acquire(key Key, size int64) *object {
	c.objectsMu.Lock()
	defer c.objectsMu.Unlock()
	o := c.objects[key]
	if o == nil || o.dead.Load() {
		// A dead object is left to its users. Should its generation prove alive after all, it starts anew.
		o = &object{key: key, size: size, hash: maphash.Comparable(c.seed, key)}
		c.objects[key] = o
	}
	o.files++
	return o
}

// retain counts another user of an object in use.
func (c *Cache) retain(o *object) {
	c.objectsMu.Lock()
	o.files++
	c.objectsMu.Unlock()
}

// release drops a user, and forgets the object if nothing of it is left.
func (c *Cache) release(o *object) {
	c.objectsMu.Lock()
	defer c.objectsMu.Unlock()
	o.files--
	c.forget(o)
}

// pageGone is called when a slot of o came free.
func (c *Cache) pageGone(o *object) {
	if o.pages.Add(-1) == 0 {
		c.objectsMu.Lock()
		c.forget(o)
		c.objectsMu.Unlock()
	}
}

func (c *Cache) forget(o *object) {
	if o.files == 0 && o.pages.Load() == 0 && c.objects[o.key] == o {
		delete(c.objects, o.key)
	}
}

// Drop ends a generation: its pages are thrown away, those in use when they are let go, and fills in flight are
// not published. Pins of pages that are gone fail with ErrChanged. It costs a lookup per page of the object.
func (c *Cache) Drop(key Key) {
	c.objectsMu.Lock()
	o := c.objects[key]
	if o != nil {
		o.files++ // so that it stays while we work on it
	}
	c.objectsMu.Unlock()
	if o == nil {
		return
	}
	c.kill(o)
	c.release(o)
}

// kill marks an object as over and drops its pages.
func (c *Cache) kill(o *object) {
	if !o.dead.CompareAndSwap(false, true) {
		return
	}
	last := (o.size + int64(c.pageSize) - 1) >> c.pageShift
	for i := int64(0); i < last && o.pages.Load() > 0; i++ {
		h := o.pageHash(i)
		c.shardOf(h).dropPage(o, i, h)
	}
}
