package ktls

import (
	"unsafe"

	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/stream"
)

// maxTrain is the most records in a train: together they fill a superframe.
const maxTrain = 4

// A train is a few data records in a row, framed for an interface that seals and queued as one span, so that framing,
// gathering and releasing them costs once what a single record costs each time. Until the acknowledgment nothing is
// kept of them but this struct and the holds on two runs of plaintext. Should the CPU have to seal any of it, the train
// is taken apart into records, and stays so.
//
// What is asked of a train before and after it is gathered is in its first cache line.
type train struct {
	keys    *sealKeys
	seq     uint64 // of the first record
	size    uint16 // plaintext of each record but the last
	last    uint16 // of that
	n       uint8  // records
	claimed uint8  // a bit for each record that the guard has let pass
	isApart bool
	len0    int32 // of data[0]; data[1] is the rest
	ref     [2]stream.Ref
	data    [2]*byte

	apart   *[maxTrain]*record // once it is apart; the array stays with a train that is pooled
	digests [maxTrain]digest   // with -tags ocaserve_debug only
	_       [32]byte           // an allocation of two cache lines begins with one
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
	if f.now != ModeNIC || f.w.keys.gcm == nil { // without the engine each record would need a buffer, and be charged for it
		return 0
	}
	k, ramp, before := f.w.keys, &f.ramp, f.ramp.state
	over := k.wireLen(0)
	size, n := ramp.next(left, over), 1
	ramp.framed(size + over)
	last := size
	for total = size; n < maxTrain && last == size && total < left && f.w.seq+uint64(n)+1 < f.limit; n++ {
		now := ramp.state
		next := ramp.next(left-total, over)
		if next > size {
			ramp.state = now
			break
		}
		ramp.framed(next + over)
		last, total = next, total+next
	}
	if n == 1 || c.parts(total) > len(train{}.data) {
		ramp.state = before
		return 0
	}
	t := f.pool.train()
	t.init(k, f.w.seq, n, size, last)
	c.load(t, total)
	f.w.seq += uint64(n)
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

// load gives the next n bytes, which lie in two parts at most, to t.
func (c *cutter) load(t *train, n int) {
	for i := 0; n > 0; i++ {
		p := c.take(n)
		t.data[i], t.ref[i] = unsafe.SliceData(p.Data), p.Ref
		if n -= len(p.Data); i == 0 {
			t.len0 = int32(len(p.Data))
		}
	}
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
	if n := int(t.len0); off < n {
		return unsafe.Slice(t.data[0], n)[off:min(end, n)]
	} else {
		return unsafe.Slice(t.data[1], end-n)[off-n:]
	}
}

// Len implements stream.Span.
func (t *train) Len() int { return t.total() + int(t.n)*t.keys.wireLen(0) }

// Charge implements stream.Charger: pins on pages. Records of a train that was taken apart come on top; it is rare.
func (t *train) Charge() int {
	return trainSize + chargePart(t.ref[0], int(t.len0)) + chargePart(t.ref[1], t.total()-int(t.len0))
}

// Offload implements stream.Offloader.
func (t *train) Offload() bool {
	k := t.keys
	l := &k.lease
	return l.id != 0 && t.seq >= l.from && t.seq+uint64(t.n) <= l.until && !t.isApart && k.usable()
}

// Gather implements stream.Span.
func (t *train) Gather(g *stream.Gather, from, to int) {
	if !t.Offload() {
		t.gatherSealed(g, from, to)
		return
	}
	same := int(t.n) // records of one length
	if t.last != t.size {
		same--
	}
	edge := same * t.keys.wireLen(int(t.size))
	if from < edge {
		t.leave(g, 0, from, min(to, edge))
	}
	if to > edge {
		t.leave(g, same, max(from-edge, 0), to-edge)
	}
}

// leave gathers bytes [from, to), counted from the beginning of record i, for the device to seal. They are of records
// of one length.
func (t *train) leave(g *stream.Gather, i, from, to int) {
	k, n := t.keys, t.plain(i)
	length := k.wireLen(n)
	if skip := from / length; skip > 0 {
		i, from, to = i+skip, from-skip*length, to-skip*length
	}
	count := (to-1)/length + 1
	s := g.Unsealed(to - from)
	s.Records, s.Context, s.Number = t, k.lease.id, t.seq+uint64(i)
	s.Count, s.Len, s.From, s.To = count, length, from, to-(count-1)*length
	k.lease.last = max(k.lease.last, t.seq+uint64(t.n))
	k.advance(s.Number+uint64(count-1), s.To)
	for j := range count {
		t.claim(i + j)
		if seq, from, to := s.Record(j); to-from < length {
			t.Plain(g, seq, from, to)
		} else {
			t.gatherWhole(g, i+j, n)
		}
	}
}

// claim lets record i pass the guard before the device seals any of it for the first time.
func (t *train) claim(i int) {
	k, seq := t.keys, t.seq+uint64(i)
	first := t.claimed&(1<<i) == 0
	if first {
		k.guard.claim(seq)
		t.claimed |= 1 << i
		k.pool.stats.Offloaded++
	}
	switch {
	case !digesting:
	case first:
		t.digests[i].take(t.car(i))
	default:
		t.digests[i].check(t.car(i), seq)
	}
}

// gatherWhole is Plain for all of record i, which has n bytes of plaintext.
func (t *train) gatherWhole(g *stream.Gather, i, n int) {
	k := t.keys
	k.putPrefix(g.Reserve(k.prefixLen()), typeData, t.seq+uint64(i), n)
	t.refer(g, i*int(t.size), i*int(t.size)+n)
	behind := g.Reserve(int(k.inner) + tagLen)
	clear(behind)
	if k.inner > 0 {
		behind[0] = byte(typeData)
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
	parts := [2]stream.Piece{{Data: t.run(0, t.total()), Ref: t.ref[0]}}
	if n := int(t.len0); n < t.total() {
		parts[1] = stream.Piece{Data: t.run(n, t.total()), Ref: t.ref[1]}
	}
	for _, p := range parts {
		p.Retain()
	}
	c := cutter{pieces: parts[:]}
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
	for i, ref := range t.ref {
		if ref != nil {
			ref.Release()
		}
		t.data[i], t.ref[i] = nil, nil
	}
	t.keys, t.digests = nil, [maxTrain]digest{}
	push(&k.pool.trains, t)
	k.gone(t.seq + uint64(t.n) - 1)
}

// Plain implements stream.Records, by reference to the pages, as record.Plain.
func (t *train) Plain(g *stream.Gather, number uint64, from, to int) {
	k, i := t.keys, int(number-t.seq)
	at, n := k.prefixLen(), t.plain(i)
	if from < at {
		var head [maxPrefix]byte
		k.putPrefix(head[:], typeData, number, n)
		gatherCopy(g, head[:at], from, to)
	}
	base := i * int(t.size)
	t.refer(g, base+max(from-at, 0), base+min(to-at, n))
	gatherCopy(g, k.trailer(typeData), from-at-n, to-at-n)
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
