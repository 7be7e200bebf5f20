package ktls

import (
	"ocaserve/ktls/aesgcm"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/stream"
)

// This file seals records while they are gathered, in one pass from page to scratch.
//
//  1. Bytes beyond the front are new: the running cipher goes on, and the record's tag is kept when it gets there.
//  2. Bytes before the front were sealed before: exactly these are made again, from the keystream at their place.
//     Only a tag that is not known (a device made it) needs a pass over the whole record.
//  3. Where the running cipher is not at the front (a device has the bytes before it, or a place was jumped over),
//     it is taken there over the plaintext in between.

// gather seals bytes [from, to) of r into g's scratch.
func (k *sealKeys) gather(r *record, g *stream.Gather, from, to int) {
	r.claimHost()
	dst := g.Reserve(to - from)
	seq := r.seq()
	mid := k.fresh(seq, from, to)
	ahead := 0
	if r.has(flagSealed) {
		k.again(r, dst, from, to)
	} else {
		if from < mid {
			ahead = k.again(r, dst, from, mid)
		}
		if mid < to {
			ahead += k.goOn(r, dst[mid-from:], mid, to)
		}
	}
	k.advance(seq, to)
	g.Book.Add(ledger.ResealedHost, mid-from)
	g.Book.Add(ledger.SealedHost, to-mid)
	g.Book.Add(ledger.ResealedAhead, ahead)
}

// fresh is where in [from, to) of record number seq the bytes begin that were never gathered.
func (k *sealKeys) fresh(seq uint64, from, to int) int {
	switch {
	case seq > k.front.seq:
		return from
	case seq < k.front.seq:
		return to
	}
	return max(from, min(k.front.off, to))
}

// advance notes that record number seq was gathered up to off. What was jumped over counts as gathered.
func (k *sealKeys) advance(seq uint64, off int) {
	if seq > k.front.seq || seq == k.front.seq && off > k.front.off {
		k.front = place{seq, off}
	}
}

// begin starts s on r.
func (k *sealKeys) begin(s *aesgcm.Stream, r *record) {
	k.setNonce(r.seq())
	k.gcm.Begin(s, &k.nonce, k.additional(r.head[:], r.seq(), r.plain()))
}

// goOn seals [from, to) of r with the running cipher. It returns how many bytes it had to seal to get there.
func (k *sealKeys) goOn(r *record, dst []byte, from, to int) (ahead int) {
	if k.streamOf != r.seq()+1 {
		k.begin(&k.stream, r)
		k.streamOf = r.seq() + 1
	}
	return k.pass(r, &k.stream, dst, from, to)
}

// again makes [from, to) of r once more, and returns how many bytes it had to seal to get there.
func (k *sealKeys) again(r *record, dst []byte, from, to int) (ahead int) {
	at, body := k.prefixLen(), r.body()
	if to > at+body && !r.has(flagSealed) {
		var s aesgcm.Stream
		k.begin(&s, r)
		return k.pass(r, &s, dst, from, to)
	}
	k.setNonce(r.seq())
	n := copyFrom(dst, r.head[:at], from)
	end := min(to-at, body)
	for off := max(from-at, 0); off < end; {
		run := r.run(off, end)
		k.gcm.XORAt(&k.nonce, int64(off), dst[n:], run)
		n, off = n+len(run), off+len(run)
	}
	copyFrom(dst[n:], r.tag[:], from+n-at-body)
	return 0
}

// pass takes s, which stands at or before from, over [from, to) of r into dst.
func (k *sealKeys) pass(r *record, s *aesgcm.Stream, dst []byte, from, to int) (ahead int) {
	at, body := k.prefixLen(), r.body()
	n := copyFrom(dst, r.head[:at], from)
	ahead = k.skip(r, s, min(from-at, body))
	end := min(to-at, body)
	for off := int(s.Len()); off < end; {
		run := r.run(off, end)
		k.gcm.Seal(s, dst[n:], run)
		n, off = n+len(run), off+len(run)
	}
	if end == body {
		k.gcm.Tag(s, &r.tag)
		r.bits |= flagSealed
	}
	copyFrom(dst[n:], r.tag[:], from+n-at-body)
	return ahead
}

// skip takes s to place off of r's body and returns how far that was.
func (k *sealKeys) skip(r *record, s *aesgcm.Stream, off int) (skipped int) {
	for int(s.Len()) < off {
		run := r.run(int(s.Len()), off)
		run = run[:min(len(run), len(k.pool.sink))]
		k.gcm.Seal(s, k.pool.sink[:], run)
		skipped += len(run)
	}
	return skipped
}

// copyFrom copies src from index at on to dst; nothing if at is not in src.
func copyFrom(dst, src []byte, at int) int {
	if at < 0 || at >= len(src) {
		return 0
	}
	return copy(dst, src[at:])
}

// midway reports whether the CPU has begun to seal record number seq and not come to its end.
func (k *sealKeys) midway(seq uint64) bool { return k.streamOf == seq+1 && k.stream.Len() > 0 }
