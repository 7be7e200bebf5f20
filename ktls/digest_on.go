//go:build ocaserve_debug

package ktls

import (
	"fmt"
	"hash/maphash"
)

// digesting says whether digests are more than nothing.
const digesting = true

var digestSeed = maphash.MakeSeed()

// A digest remembers the plaintext of a record from its first gather, so that each later one can be held against
// it: a page that changes under a record would seal two plaintexts under one number, a byte at a time.
type digest struct{ sum uint64 }

func (d *digest) take(r plaintext) { d.sum = digestOf(r) }

func (d *digest) check(r plaintext, seq uint64) {
	if digestOf(r) != d.sum {
		panic(fmt.Sprintf("ktls: invariant broken: the plaintext of record %d has changed since it was first sealed", seq))
	}
}

func digestOf(r plaintext) uint64 {
	var h maphash.Hash
	h.SetSeed(digestSeed)
	for off, end := 0, r.plain(); off < end; {
		n, _ := h.Write(r.run(off, end))
		off += n
	}
	return h.Sum64()
}
