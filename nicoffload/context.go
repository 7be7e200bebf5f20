package nicoffload

import (
	"fmt"
	"unsafe"

	"ocaserve/internal/prefetch"
	"ocaserve/ktls/offload"
	"ocaserve/tcpstack/mono"
)

// A context is a row of the adapter's table: a key, and where its stream of records stands. The driver's fields
// belong to the shard, place to the adapter's thread; the rest is written before the first descriptor that names
// the context, and wiped after the last one is done, so that the ring orders all access.
type context struct {
	// Driver. What each frame needs is in the first cache line.
	id     uint64    // 0: free
	number uint64    // the next byte in sequence is byte off of this record
	off    int       //
	last   uint64    // the ring's tail behind the last descriptor that needs the context
	ready  mono.Time // when the adapter will have set it up; 0: it has
	asked  uint64    // Device.flushed when its health was last asked, plus 1
	lost   bool      // a frame for it could not be sealed: no more records, please
	dying  bool      // DelContext was called
	before uint8     // wire bytes of a record before its plaintext
	least  int32     // wire bytes of the shortest record, which has none

	// Driver, now and then.
	generation uint64
	used       mono.Time // when a frame was last posted for it, for eviction
	newer      *context  // in order of use
	older      *context

	// Both.
	_         [2*cacheLine - 88]byte // processors fetch lines in pairs
	version   uint16
	prefixLen int // header and explicit nonce
	inner     int // bytes of inner content type
	iv        [nonceLen]byte
	key       sealKey
	raw       [32]byte // the key once more, for verification in software
	rawLen    int

	// Adapter.
	place place
	_     [80]byte // to a multiple of two lines
}

// A handle is index+1 in the low bits and a generation above, so that a handle that outlived its context names
// nothing, however many others the row has had since: an idle connection keeps its own for hours.
const (
	indexBits   = 18
	maxContexts = 1<<indexBits - 1
)

// A table holds the contexts of one queue.
type table struct {
	rows  []context
	free  []int32    // indices
	dying []*context // their frames are still in the ring
	use   context    // list head: use.newer is the oldest, use.older the newest
}

func (t *table) init(n int) {
	t.rows = make([]context, n)
	t.free = make([]int32, n)
	for i := range t.free {
		t.free[i] = int32(n - 1 - i)
	}
	t.dying = make([]*context, 0, n)
	t.use.newer, t.use.older = &t.use, &t.use
}

// find returns the context that a handle names; nil: none any more.
func (t *table) find(id uint64) *context {
	r := t.row(id)
	if r == nil || r.id != id {
		return nil
	}
	return r
}

// row is where a handle's context stands, or stood; nil: nowhere.
func (t *table) row(id uint64) *context {
	i := int(id&maxContexts) - 1
	if i < 0 || i >= len(t.rows) {
		return nil
	}
	return &t.rows[i]
}

// prefetch asks for the driver's part of the context that a handle names.
func (t *table) prefetch(id uint64) { prefetch.Pair(unsafe.Pointer(t.row(id))) }

// live is how many rows are taken.
func (t *table) live() int { return len(t.rows) - len(t.free) }

// take makes a context of a free row; there must be one.
func (t *table) take(c *offload.Crypto, key sealKey) *context {
	i := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	r := &t.rows[i]
	generation := r.generation + 1
	*r = context{
		id:         generation<<indexBits | uint64(i+1),
		generation: generation,
		number:     c.Number,
		version:    c.Version,
		prefixLen:  headerLen,
		inner:      1,
		iv:         c.IV,
		key:        key,
		rawLen:     len(c.Key),
	}
	if c.Version == tls12 {
		r.prefixLen, r.inner = maxPrefix, 0
	}
	r.before = uint8(r.prefixLen)
	r.least = int32(r.prefixLen + r.inner + tagLen)
	copy(r.raw[:], c.Key)
	r.place.number = c.Number
	t.touch(r)
	return r
}

// drop wipes a context and frees its row. No descriptor needs it any more.
func (t *table) drop(c *context) {
	c.unlink()
	c.key.wipe()
	i := int32(c.id&maxContexts) - 1
	*c = context{generation: c.generation}
	t.free = append(t.free, i)
}

// misplace makes the next frame of every context one that is out of sequence: the adapter has dropped some.
func (t *table) misplace() {
	for i := range t.rows {
		t.rows[i].off = -1
	}
}

// touch makes c the most recently used.
func (t *table) touch(c *context) {
	c.unlink()
	c.newer, c.older = &t.use, t.use.older
	c.older.newer, c.newer.older = c, c
}

func (c *context) unlink() {
	if c.newer != nil {
		c.newer.older, c.older.newer = c.older, c.newer
		c.newer, c.older = nil, nil
	}
}

// oldest is the least recently used context; nil: there is none.
func (t *table) oldest() *context {
	if t.use.newer == &t.use {
		return nil
	}
	return t.use.newer
}

// AddContext makes a context for a key. It fails with offload.ErrNoContext when the table is full and nothing may
// be evicted, and with offload.ErrUnsupported for what the adapter does not seal.
func (d *Device) AddContext(c *offload.Crypto) (uint64, error) {
	if !d.nif.features.has(tlsTx) || c.Version != tls12 && c.Version != tls13 {
		return 0, offload.ErrUnsupported
	}
	d.poll()
	if len(d.table.free) == 0 && !d.evict() {
		d.count.ctxFull.Add(1)
		return 0, offload.ErrNoContext
	}
	key, err := newSealKey(c.Key)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", offload.ErrUnsupported, err)
	}
	r := d.table.take(c, key)
	r.used = d.clock()
	if s := d.nif.cfg.Setup; s > 0 {
		r.ready = r.used.Add(s)
	}
	d.count.ctx.Store(uint64(d.table.live()))
	d.count.ctxAdded.Add(1)
	return r.id, nil
}

// evict frees the row of the least recently used context, if the policy allows it and it has been idle for long
// enough. A context whose health was asked since the owner's last batch is in use: a frame with its records may
// be in the next one, and could not be sealed any more.
func (d *Device) evict() bool {
	if d.nif.cfg.Evict != EvictLRU {
		return false
	}
	now := d.clock()
	for c := d.table.oldest(); c != nil; c = d.table.oldest() {
		if c.last > d.done || now.Sub(c.used) < d.nif.cfg.Idle {
			return false
		}
		if c.asked <= d.flushed {
			d.table.drop(c)
			d.turn++
			d.count.ctxEvicted.Add(1)
			return true
		}
		c.used = now
		d.table.touch(c)
	}
	return false
}

// DelContext forgets a context. Frames in the ring that need it are still sealed; then its key is wiped.
func (d *Device) DelContext(id uint64) {
	c := d.table.find(id)
	if c == nil || c.dying {
		return
	}
	d.count.ctxDeleted.Add(1)
	c.dying = true
	c.unlink()
	d.table.dying = append(d.table.dying, c)
	d.bury()
}

// bury drops the dying contexts whose last frame is done.
func (d *Device) bury() {
	keep := d.table.dying[:0]
	for _, c := range d.table.dying {
		if c.last > d.done && !d.ended {
			keep = append(keep, c)
		} else {
			d.table.drop(c)
		}
	}
	clear(d.table.dying[len(keep):])
	d.table.dying = keep
	d.count.ctx.Store(uint64(d.table.live()))
}

// Health says whether records should be left to the context now.
func (d *Device) Health(id uint64) offload.Health {
	c := d.table.find(id)
	if c == nil || c.dying || c.lost {
		return offload.Evicted
	}
	c.asked = d.flushed + 1
	switch {
	case !d.nif.features.has(tlsTx):
		return offload.Disabled
	case !d.set(c):
		return offload.Pending
	case d.nic.isSaturated(d.clock):
		return offload.Saturated
	}
	return offload.Good
}

// lose marks c as one that cannot go on.
func (d *Device) lose(c *context) {
	c.lost = true
	d.turn++
}

// Turn moves with each context that is lost; with each batch where idle ones are evicted, since then who leaves records to
// one has to say so, see Health; and with each turn of the shard while the offload is off or the adapter has too much to do.
func (d *Device) Turn() uint64 { return d.turn }

// look moves Turn where the adapter is of no use now.
func (d *Device) look() {
	if !d.nif.features.has(tlsTx) || d.nic.isSaturated(d.clock) {
		d.turn++
	}
}

// Prefetch asks for the driver's part of a context.
func (d *Device) Prefetch(id uint64) { d.table.prefetch(id) }

// set reports whether the adapter has set c up.
func (d *Device) set(c *context) bool {
	if c.ready == 0 || d.clock() >= c.ready {
		c.ready = 0
		return true
	}
	return false
}
