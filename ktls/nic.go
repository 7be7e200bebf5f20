package ktls

import (
	"math"

	"ocaserve/ktls/offload"
	"ocaserve/tcpstack/stream"
)

// This file is what a record and its key have to do with an interface that makes records: frames and seals them.

// A lease is a key's context in the interface, and the records that are left to it: numbers in [from, until).
type lease struct {
	id          uint64 // 0: none
	from, until uint64
	last        uint64 // the highest number left to it, plus 1
	turn        uint64 // the interface's when the context was last found to be usable, plus 1; 0: never
}

// forever is the end of a lease that goes on.
const forever = math.MaxUint64

var (
	_ stream.Records   = (*record)(nil)
	_ stream.Offloader = (*record)(nil)
	_ stream.Charger   = (*record)(nil)
)

// Offload implements stream.Offloader. What the CPU has sealed, or begun to, it also makes again: that costs
// the segment, where the device would fetch the whole record.
func (r *record) Offload() bool {
	k, seq := r.keys, r.seq()
	l := &k.lease
	return l.id != 0 && seq >= l.from && seq < l.until && !r.has(flagSealed|flagStored) && !k.midway(seq) && k.usable()
}

// usable reports whether the context still seals what was framed for it. One whose budget is used up does so late,
// one that is switched off goes on to its end; neither changes between two calls in one turn of the shard, as
// others may flip the switch.
func (k *sealKeys) usable() bool {
	l, nic := &k.lease, k.pool.nic
	turn := nic.Turn() + 1
	if l.turn == turn {
		return true
	}
	h := nic.Health(l.id)
	if h == offload.Evicted || h == offload.Pending {
		return false
	}
	l.turn = turn
	return true
}

// leave gathers [from, to) for the device to seal.
func (r *record) leave(g *stream.Gather, from, to int) {
	k, seq := r.keys, r.seq()
	k.pool.nic.Prefetch(k.lease.id)
	if r.claim() {
		k.pool.stats.Offloaded++
	}
	r.bits |= flagLeft
	k.lease.last = max(k.lease.last, seq+1)
	k.advance(seq, to)
	s := g.Unsealed(to - from)
	s.Records, s.Context, s.Number, s.Count, s.Len, s.From, s.To = r, k.lease.id, seq, 1, r.Len(), from, to
	s.Type = uint8(r.typ())
	r.Plain(g, seq, from, to)
}

// Plain implements stream.Records, by reference to the pages.
func (r *record) Plain(g *stream.Gather, _ uint64, from, to int) {
	at := r.keys.prefixLen()
	end := min(to-at, r.plain())
	for off := max(from-at, 0); off < end; {
		run := r.run(off, end)
		g.Add(run)
		off += len(run)
	}
}

// rent asks the interface for a context, for records from number seq on.
func (k *sealKeys) rent(seq uint64) error {
	if k.keyLen == 0 {
		return offload.ErrUnsupported
	}
	id, err := k.pool.nic.AddContext(&offload.Crypto{
		Version: uint16(k.version), Key: k.key[:k.keyLen], IV: k.iv, Number: seq,
	})
	if err != nil {
		return err
	}
	k.lease = lease{id: id, from: forever, until: forever}
	return nil
}

// leaveFrom leaves records from number seq on to the context.
func (k *sealKeys) leaveFrom(seq uint64) { k.lease.from, k.lease.until = seq, forever }

// endLease leaves nothing more to the context, but for the rest of a record of which it has the beginning.
func (k *sealKeys) endLease() {
	l, f := &k.lease, k.front
	if l.id == 0 {
		return
	}
	l.from, l.until = f.seq, f.seq
	if f.off > 0 && l.last == f.seq+1 {
		l.until++
	}
	k.maybeEndLease()
}

// maybeEndLease gives the context back once it is over and nothing in flight can need it: frames that wait for
// the device, in its ring or before it, keep their records from being released.
func (k *sealKeys) maybeEndLease() {
	if l := &k.lease; l.until != forever && k.released >= l.last {
		k.dropLease()
	}
}

func (k *sealKeys) dropLease() {
	if k.lease.id != 0 {
		k.pool.nic.DelContext(k.lease.id)
		k.lease = lease{until: forever}
	}
}
