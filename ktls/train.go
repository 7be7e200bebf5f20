package ktls

import (
	"math/bits"
	"unsafe"

	"ocaserve/internal/prefetch"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/stream"
)

const (
	// maxTrain is the most records in a train, several superframes' worth.
	maxTrain = 16
	// trainParts is the most parts that their plaintext lies in.
	trainParts = 4
)

// A train is data records in a row, framed for an interface that seals and queued as one span, so that framing,
// gathering and releasing them costs once what a single record costs each time. All but the last are of one size. The
// interface makes headers and tags, so that their plaintext is gathered as it lies, across records. Until the
// acknowledgment nothing is kept of them but this struct and the holds on the parts. Should the CPU have to seal any of
// it, the train is taken apart into records, and stays so.
//
// What is asked of a train for each frame is in its first cache line, with the first three parts; the charge, with what else
// is asked for when the train is queued and released, in the second.
type train struct {
	keys    *sealKeys
	seq     uint64 // of the first record
	size    uint16 // plaintext of each record but the last
	last    uint16 // of that
	claimed uint16 // a bit for each record that the guard has let pass
	n       uint8  // records
	isApart bool
	ends    [trainParts]int32 // of the parts, in the plaintext of all records
	data    [trainParts]*byte
	charge  int32
	ref     [trainParts]stream.Ref

	apart   *[maxTrain]*record // once it is apart; the array stays with a train that is pooled
	digests [maxTrain]digest   // with -tags ocaserve_debug only
	_       [40]byte           // an allocation of three cache lines begins with one
}

// trainSize is what a train costs beside its pieces.
const trainSize = int(unsafe.Sizeof(train{}))

var (
	_ stream.Records   = (*train)(nil)
	_ stream.Offloader = (*train)(nil)
	_ stream.Charger   = (*train)(nil)
)

// couple makes the next records a train, if the interface is to seal several of the same size, and returns how many
// plaintext bytes it took of the `left` that wait in c; 0: they are single records.
func (f *Framer) couple(q Queue, c *cutter, left int) (total int) {
	if f.now != ModeNIC || !f.engine { // without the engine each record would need a buffer, and be charged for it
		return 0
	}
	k, before := f.keys, f.ramp.state
	most := maxTrain
	if room := f.limit - f.seq - 1; room < maxTrain {
		most = int(room)
	}
	n, size, last := f.ramp.row(left, min(left, c.together(trainParts)), most, int(f.over))
	if n < 2 {
		f.ramp.state = before
		return 0
	}
	t := f.pool.train()
	t.init(k, f.seq, n, size, last)
	total = t.total()
	c.load(t, total)
	f.seq += uint64(n)
	f.data += uint64(n)
	f.book.Add(ledger.PlainFramed, total)
	f.queue(q, t, n)
	return total
}

// init makes t the n records from number seq on; the plaintext is loaded next.
func (t *train) init(k *sealKeys, seq uint64, n, size, last int) {
	t.keys, t.seq, t.n, t.claimed = k, seq, uint8(n), 0
	t.size, t.last = uint16(size), uint16(last)
	k.records++ // the train counts as one: it is released as one
}

// load gives the next n bytes, which lie in as many parts as a train has at most, to t. It is take for each
// part, written out: with pieces that are copied twice it took four times as long.
func (c *cutter) load(t *train, n int) {
	charge := trainSize
	for i, at := 0, 0; at < n; {
		p := &c.pieces[c.at]
		size := min(len(p.Data)-c.off, n-at)
		if size == 0 {
			p.Release()
			c.at++
			continue
		}
		at += size
		t.data[i], t.ref[i], t.ends[i] = unsafe.SliceData(p.Data[c.off:]), p.Ref, int32(at)
		charge += chargePart(p.Ref, size)
		i++
		if c.off += size; c.off < len(p.Data) {
			p.Retain()
		} else {
			c.at, c.off = c.at+1, 0
		}
	}
	t.charge = int32(charge)
}

// plain is the plaintext of record i, bytes.
func (t *train) plain(i int) int {
	if i == int(t.n)-1 {
		return int(t.last)
	}
	return int(t.size)
}

// total is the plaintext of all records.
func (t *train) total() int { return (int(t.n)-1)*int(t.size) + int(t.last) }

// run returns the bytes of the plaintext of all records from off on that lie together, up to end.
func (t *train) run(off, end int) []byte {
	at := 0
	for i := range t.ends {
		next := int(t.ends[i])
		if off < next {
			return unsafe.Slice(t.data[i], next-at)[off-at : min(end, next)-at]
		}
		at = next
	}
	panic("ktls: invariant broken: a train is longer than its parts")
}

// Len implements stream.Span.
func (t *train) Len() int { return t.total() + int(t.n)*t.keys.wireLen(0) }

// Charge implements stream.Charger: pins on pages. Records of a train that was taken apart come on top; it is rare.
func (t *train) Charge() int { return int(t.charge) }

// Offload implements stream.Offloader.
func (t *train) Offload() bool {
	k := t.keys
	l := &k.lease
	return l.id != 0 && t.seq >= l.from && t.seq+uint64(t.n) <= l.until && !t.isApart && k.usable()
}

// Prefetch implements stream.Prefetcher.
func (t *train) Prefetch() { prefetch.Pair(unsafe.Pointer(t)) }

// PrefetchMore implements stream.Prefetcher: the lease, the guard and the lengths.
func (t *train) PrefetchMore() { prefetch.Pair(unsafe.Pointer(t.keys)) }

// Gather implements stream.Span.
func (t *train) Gather(g *stream.Gather, from, to int) {
	if !t.Offload() {
		t.gatherSealed(g, from, to)
		return
	}
	k, size := t.keys, int(t.size)
	k.pool.nic.Prefetch(k.lease.id)
	length, at := k.wireLen(size), k.prefixLen()
	i, j := int(uint32(from)/uint32(length)), int(uint32(to-1)/uint32(length)) // of 32 bits: half the time
	from, to = from-i*length, to-j*length
	t.claim(i, j+1-i)
	k.lease.last = max(k.lease.last, t.seq+uint64(t.n))
	k.advance(t.seq+uint64(j), to)
	off, end := i*size+min(max(from-at, 0), t.plain(i)), j*size+min(max(to-at, 0), t.plain(j))
	if j == int(t.n)-1 && t.last != t.size { // the last record is a run by itself
		if i < j {
			t.leave(g, i, j-i, length, from, length)
			i, from = j, 0
		}
		length = k.wireLen(int(t.last))
	}
	t.leave(g, i, j+1-i, length, from, to)
	t.refer(g, off, end)
}

// leave declares n records of one length, from record i on, for the device to make and seal: from byte `from` of the
// first to byte `to` of the last.
func (t *train) leave(g *stream.Gather, i, n, length, from, to int) {
	s := g.Unsealed((n-1)*length + to - from)
	s.Records, s.Context, s.Number = t, t.keys.lease.id, t.seq+uint64(i)
	s.Count, s.Len, s.From, s.To, s.Type = n, length, from, to, uint8(typeData)
}

// claim lets the n records from record i on pass the guard, before the device seals any of them for the first time.
func (t *train) claim(i, n int) {
	g := &t.keys.guard
	wanted := uint16(1<<n-1) << i
	fresh := wanted &^ t.claimed
	t.claimed |= wanted
	t.keys.pool.stats.Offloaded += uint64(bits.OnesCount16(fresh))
	for left := fresh; left != 0; { // one row, but where records were gathered out of order
		first := bits.TrailingZeros16(left)
		row := bits.TrailingZeros16(^(left >> first))
		g.claimRow(t.seq+uint64(first), row)
		left &^= uint16(1<<row-1) << first
	}
	if digesting {
		t.digest(fresh, wanted)
	}
}

// digest remembers the plaintext of the fresh records, and holds that of the others of all against what it was.
func (t *train) digest(fresh, all uint16) {
	for i := range int(t.n) {
		switch bit := uint16(1) << i; {
		case fresh&bit != 0:
			t.digests[i].take(t.car(i))
		case all&bit != 0:
			t.digests[i].check(t.car(i), t.seq+uint64(i))
		}
	}
}

// gatherSealed gathers [from, to) as the CPU seals it.
func (t *train) gatherSealed(g *stream.Gather, from, to int) {
	t.takeApart()
	wire := t.keys.wireLen(int(t.size))
	for i := from / wire; from < to; i++ {
		r, at := t.apart[i], i*wire
		end := min(to, at+r.Len())
		r.gatherSealed(g, from-at, end-at)
		from = end
	}
}

// refer gathers bytes [off, end) of the plaintext of all records, by reference.
func (t *train) refer(g *stream.Gather, off, end int) {
	for off < end {
		run := t.run(off, end)
		g.Add(run)
		off += len(run)
	}
}

// takeApart makes records of t, which the CPU seals. What frames in the device refer to stays with t until Release.
func (t *train) takeApart() {
	if t.isApart {
		return
	}
	if t.isApart = true; t.apart == nil {
		t.apart = new([maxTrain]*record)
	}
	var parts [trainParts]stream.Piece
	n, total := 0, t.total()
	for at := 0; at < total; n++ {
		parts[n] = stream.Piece{Data: t.run(at, total), Ref: t.ref[n]}
		parts[n].Retain()
		at = int(t.ends[n])
	}
	c := cutter{pieces: parts[:n]}
	for i := range int(t.n) {
		r := t.keys.pool.record()
		r.init(t.keys, t.seq+uint64(i), typeData, t.plain(i))
		c.cut(r, t.plain(i))
		if t.claimed&(1<<i) != 0 {
			r.bits |= flagClaimed
			r.digest = t.digests[i]
		}
		t.apart[i] = r
	}
}

// Release implements stream.Span. It is where a train and its holds go back.
func (t *train) Release() {
	k := t.keys
	if k == nil {
		panic("ktls: invariant broken: a train is released twice")
	}
	if t.isApart {
		for i, r := range t.apart[:t.n] {
			r.Release()
			t.apart[i] = nil
		}
		t.isApart = false
	}
	for i := range t.data {
		if t.data[i] == nil {
			break
		}
		if ref := t.ref[i]; ref != nil {
			ref.Release()
		}
		t.data[i], t.ref[i] = nil, nil
	}
	t.keys, t.digests = nil, [maxTrain]digest{}
	push(&k.pool.trains, t)
	k.gone(t.seq + uint64(t.n) - 1)
}

// Plain implements stream.Records, by reference to the pages.
func (t *train) Plain(g *stream.Gather, number uint64, from, to int) {
	i, at := int(number-t.seq), t.keys.prefixLen()
	base, n := i*int(t.size), t.plain(i)
	t.refer(g, base+min(max(from-at, 0), n), base+min(max(to-at, 0), n))
}

// A car is the plaintext of one record of a train.
type car struct {
	t *train
	i int
}

// car returns record i; valid until the next call on this shard.
func (t *train) car(i int) *car {
	c := &t.keys.pool.car
	c.t, c.i = t, i
	return c
}

func (c *car) plain() int { return c.t.plain(c.i) }

func (c *car) run(off, end int) []byte {
	base := c.i * int(c.t.size)
	return c.t.run(base+off, base+end)
}
