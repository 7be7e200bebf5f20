package nicoffload

import (
	"fmt"
	"unsafe"

	"ocaserve/internal/prefetch"
	"ocaserve/ktls/offload"
	"ocaserve/tcpstack/mono"
)

// A row is what the driver has of a context: where its stream of records stands, in one cache line. Rows stand together, so
// that those of a thousand connections are a few pages of memory.
type row struct {
	id     uint64    // 0: free
	number uint64    // the next byte in sequence is byte off of this record
	last   uint64    // the ring's tail behind the last descriptor that needs the context
	ready  mono.Time // when the adapter will have set it up; 0: it has
	asked  uint64    // Device.flushed when its health was last asked, plus 1
	used   mono.Time // when a frame was last posted for it, for eviction
	off    int32     // see number
	newer  int32     // in order of use
	older  int32     //
	before uint8     // wire bytes of a record before its plaintext
	least  uint8     // wire bytes of the shortest record, which has none
	lost   bool      // a frame for it could not be sealed: no more records, please
	dying  bool      // DelContext was called
}

// A context is what the adapter has of it: a key, and where the cipher stands. It is written before the first descriptor that
// names the context, and wiped after the last one is done, so that the ring orders all access; place is the adapter's thread's.
type context struct {
	version   uint16
	prefixLen int // header and explicit nonce
	inner     int // bytes of inner content type
	iv        [nonceLen]byte
	key       sealKey
	raw       [32]byte // the key once more, for verification in software
	rawLen    int
	place     place
	_         [80]byte // to a multiple of two lines: processors fetch lines in pairs
}

// A handle is index+1 in the low bits and a generation above, so that a handle that outlived its context names
// nothing, however many others the row has had since: an idle connection keeps its own for hours.
const (
	indexBits   = 18
	maxContexts = 1<<indexBits - 1
)

// A table holds the contexts of one queue: the i-th row and the i-th context are one.
type table struct {
	rows        []row // and the head of the list in order of use: its newer is the oldest, its older the newest
	contexts    []context
	generations []uint64
	free        []int32
	dying       []int32 // their frames are still in the ring
}

func (t *table) init(n int) {
	t.rows, t.contexts, t.generations = make([]row, n+1), make([]context, n), make([]uint64, n)
	t.free = make([]int32, n)
	for i := range t.free {
		t.free[i] = int32(n - 1 - i)
	}
	t.dying = make([]int32, 0, n)
	for i := range t.rows {
		t.rows[i] = unlinked(int32(i))
	}
}

// unlinked is row i while it is free: its own neighbour in the order of use.
func unlinked(i int32) row { return row{newer: i, older: i} }

// find returns the index of the context that a handle names; -1: none any more.
func (t *table) find(id uint64) int32 {
	i := t.index(id)
	if i < 0 || t.rows[i].id != id {
		return -1
	}
	return i
}

// index is where a handle's context stands, or stood; -1: nowhere.
func (t *table) index(id uint64) int32 {
	if i := id&maxContexts - 1; i < uint64(len(t.contexts)) { // 0 names nothing, and is the largest then
		return int32(i)
	}
	return -1
}

// prefetch asks for the row that a handle names.
func (t *table) prefetch(id uint64) {
	if i := t.index(id); i >= 0 {
		prefetch.Range(unsafe.Pointer(&t.rows[i]), unsafe.Sizeof(row{}))
	}
}

// live is how many rows are taken.
func (t *table) live() int { return len(t.contexts) - len(t.free) }

// take makes a context of a free row; there must be one.
func (t *table) take(c *offload.Crypto, key sealKey) *row {
	i := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.generations[i]++
	x := &t.contexts[i]
	*x = context{version: c.Version, prefixLen: headerLen, inner: 1, iv: c.IV, key: key, rawLen: len(c.Key)}
	if c.Version == tls12 {
		x.prefixLen, x.inner = maxPrefix, 0
	}
	copy(x.raw[:], c.Key)
	x.place.number = c.Number
	r := &t.rows[i]
	*r = row{
		id:     t.generations[i]<<indexBits | uint64(i+1),
		number: c.Number,
		before: uint8(x.prefixLen), least: uint8(x.prefixLen + x.inner + tagLen),
		newer: i, older: i,
	}
	t.touch(i)
	return r
}

// drop wipes a context and frees its row. No descriptor needs it any more.
func (t *table) drop(i int32) {
	t.unlink(i)
	t.contexts[i].key.wipe()
	t.rows[i], t.contexts[i] = unlinked(i), context{}
	t.free = append(t.free, i)
}

// misplace makes the next frame of every context one that is out of sequence: the adapter has dropped some.
func (t *table) misplace() {
	for i := range t.contexts {
		t.rows[i].off = -1
	}
}

// touch makes context i the most recently used.
func (t *table) touch(i int32) {
	t.unlink(i)
	head := int32(len(t.contexts))
	r, use := &t.rows[i], &t.rows[head]
	r.newer, r.older = head, use.older
	t.rows[r.older].newer, use.older = i, i
}

// unlink takes context i out of the order of use, if it is there; a row by itself is its own neighbour.
func (t *table) unlink(i int32) {
	r := &t.rows[i]
	t.rows[r.newer].older, t.rows[r.older].newer = r.older, r.newer
	r.newer, r.older = i, i
}

// oldest is the least recently used context; -1: there is none.
func (t *table) oldest() int32 {
	if i := t.rows[len(t.contexts)].newer; int(i) < len(t.contexts) {
		return i
	}
	return -1
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
	for i := d.table.oldest(); i >= 0; i = d.table.oldest() {
		c := &d.table.rows[i]
		if c.last > d.done || now.Sub(c.used) < d.nif.cfg.Idle {
			return false
		}
		if c.asked <= d.flushed {
			d.table.drop(i)
			d.turn++
			d.count.ctxEvicted.Add(1)
			return true
		}
		c.used = now
		d.table.touch(i)
	}
	return false
}

// DelContext forgets a context. Frames in the ring that need it are still sealed; then its key is wiped.
func (d *Device) DelContext(id uint64) {
	i := d.table.find(id)
	if i < 0 || d.table.rows[i].dying {
		return
	}
	d.count.ctxDeleted.Add(1)
	d.table.rows[i].dying = true
	d.table.unlink(i)
	d.table.dying = append(d.table.dying, i)
	d.bury()
}

// bury drops the dying contexts whose last frame is done.
func (d *Device) bury() {
	keep := d.table.dying[:0]
	for _, i := range d.table.dying {
		if d.table.rows[i].last > d.done && !d.ended {
			keep = append(keep, i)
		} else {
			d.table.drop(i)
		}
	}
	d.table.dying = keep
	d.count.ctx.Store(uint64(d.table.live()))
}

// Health says whether records should be left to the context now.
func (d *Device) Health(id uint64) offload.Health {
	i := d.table.find(id)
	if i < 0 || d.table.rows[i].dying || d.table.rows[i].lost {
		return offload.Evicted
	}
	c := &d.table.rows[i]
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
func (d *Device) lose(c *row) {
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

// Prefetch asks for the row of a context.
func (d *Device) Prefetch(id uint64) { d.table.prefetch(id) }

// set reports whether the adapter has set c up.
func (d *Device) set(c *row) bool {
	if c.ready == 0 || d.clock() >= c.ready {
		c.ready = 0
		return true
	}
	return false
}
