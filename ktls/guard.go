package ktls

import "fmt"

// maxHoles bounds how far sealing may run ahead of a record that was framed but not yet sealed.
const maxHoles = 1 << 16

// A guard holds the invariant of every AEAD in TLS: one (key, record number) seals one plaintext. Sealing two
// gives away both, and for GCM the authentication key too (RFC 8446, 5.3; RFC 5116, 5.1.1).
//
// Records are normally sealed in order, which costs one comparison. A number that was jumped over is
// remembered, so that out-of-order sealing is exact as well. The zero guard is ready for use.
type guard struct {
	next  uint64   // every smaller number is sealed, or among the holes
	holes []uint64 // numbers below next that are not sealed yet
}

// claimRow is claim for n numbers from seq on.
func (g *guard) claimRow(seq uint64, n int) {
	if seq == g.next {
		g.next += uint64(n)
		return
	}
	for i := range uint64(n) {
		g.claim(seq + i)
	}
}

// claim marks seq as sealed, and panics if it already is.
func (g *guard) claim(seq uint64) {
	if seq == g.next {
		g.next++
		return
	}
	if seq > g.next {
		if uint64(len(g.holes))+seq-g.next > maxHoles {
			panic(fmt.Sprintf("ktls: record %d sealed too far ahead of record %d", seq, g.next))
		}
		for ; g.next < seq; g.next++ {
			g.holes = append(g.holes, g.next)
		}
		g.next++
		return
	}
	for i, h := range g.holes {
		if h == seq {
			last := len(g.holes) - 1
			g.holes[i] = g.holes[last]
			g.holes = g.holes[:last]
			return
		}
	}
	panic(fmt.Sprintf("ktls: invariant broken: record %d is being sealed twice under one key", seq))
}
