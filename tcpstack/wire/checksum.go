package wire

import (
	"encoding/binary"
	"math/bits"
)

// A Sum is an Internet checksum under way (RFC 1071): the one's complement sum of 16-bit words, before the
// final complement. The zero value has summed nothing.
//
// It is kept 64 bits wide and in little-endian lanes. One's complement addition wraps modulo 2^16-1, which
// divides 2^64-1, so that four lanes can be summed at once and folded last (RFC 1071 section 2 (C)); and
// it does not care about byte order as long as the result is swapped back (section 2 (B)).
type Sum uint64

// Plus returns the sum of two runs of bytes, the second beginning at an even offset.
func (s Sum) Plus(t Sum) Sum {
	v, carry := bits.Add64(uint64(s), uint64(t), 0)
	return Sum(v + carry) // cannot overflow: after a carry v is at most 2^64-2
}

// Swap returns the sum of the same bytes, begun at an odd offset instead of an even one: multiplication
// by 2^8, which in one's complement is a rotation.
func (s Sum) Swap() Sum { return Sum(bits.RotateLeft64(uint64(s), 8)) }

// Fold returns the 16-bit sum as a number, to be written in big-endian order. It is not complemented:
// a packet whose checksum is right folds to 0xffff with its checksum field included.
func (s Sum) Fold() uint16 {
	lo, carry := bits.Add32(uint32(s), uint32(s>>32), 0)
	lo += carry
	x := lo>>16 + lo&0xffff
	x = x>>16 + x&0xffff
	return bits.ReverseBytes16(uint16(x))
}

// Valid reports whether the bytes summed, their checksum field among them, are what was sent: whether s
// folds to 0xffff, "minus zero". Nothing but zeros is not valid; for that the field would hold 0xffff.
func (s Sum) Valid() bool { return s%0xffff == 0 && s != 0 }

// Checksum adds b to s, b beginning at an even offset of what is summed. If b has odd length its last
// byte counts as the high byte of a word (RFC 1071 section 1), and what follows needs [Sum.Swap].
func Checksum(b []byte, s Sum) Sum {
	acc := uint64(s)
	if len(b) >= 64 {
		acc, b = sumBlocks(b, acc)
	}
	var c uint64
	if len(b) >= 32 {
		acc, b = uint64(Sum(acc).add32((*[32]byte)(b))), b[32:]
	}
	if len(b) >= 16 {
		p := (*[16]byte)(b)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[0:]), 0)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[8:]), c)
		acc += c
		b = b[16:]
	}
	if len(b) == 0 {
		return Sum(acc)
	}
	if len(b) >= 8 {
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b), 0)
		acc += c
		b = b[8:]
	}
	acc, c = bits.Add64(acc, tail(b), 0)
	return Sum(acc + c)
}

// add32 adds 32 bytes.
func (s Sum) add32(p *[32]byte) Sum {
	acc, c := bits.Add64(uint64(s), binary.LittleEndian.Uint64(p[0:]), 0)
	acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[8:]), c)
	acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[16:]), c)
	acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[24:]), c)
	return Sum(acc + c)
}

// sumBlocks adds the whole 64-byte blocks of b to acc and returns what is left of b. One carry chain runs
// through a block, so that eight words cost nine additions. Adding the last carry cannot overflow: for that
// a chain would have to end in 2^64-1 with a carry, which needs an operand and a carry that already were so.
func sumBlocks(b []byte, acc uint64) (uint64, []byte) {
	var c uint64
	for len(b) >= 64 {
		p := (*[64]byte)(b)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[0:]), 0)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[8:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[16:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[24:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[32:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[40:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[48:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[56:]), c)
		acc += c
		b = b[64:]
	}
	return acc, b
}

// tail returns up to seven bytes as the low bytes of a little-endian word.
func tail(b []byte) uint64 {
	var v uint64
	var shift uint
	if len(b) >= 4 {
		v = uint64(binary.LittleEndian.Uint32(b))
		b, shift = b[4:], 32
	}
	if len(b) >= 2 {
		v |= uint64(binary.LittleEndian.Uint16(b)) << shift
		b, shift = b[2:], shift+16
	}
	if len(b) >= 1 {
		v |= uint64(b[0]) << shift
	}
	return v
}

// SumPieces adds the concatenation of pieces to s, beginning at an even offset. A piece may have any
// length: one that begins at an odd offset is summed alone and swapped (RFC 1071 section 2 (B)).
func SumPieces(pieces [][]byte, s Sum) Sum {
	odd := false
	for _, p := range pieces {
		t := Checksum(p, 0)
		if odd {
			t = t.Swap()
		}
		s = s.Plus(t)
		odd = odd != (len(p)&1 == 1)
	}
	return s
}

// PseudoHeader sums what TCP and ICMPv6 checksums cover besides their own bytes: both addresses, the
// protocol and the upper layer's length in bytes (RFC 9293 section 3.1, RFC 8200 section 8.1).
func PseudoHeader(h *IPHeader, length int) Sum {
	if h.V6 {
		return pseudoHeader6(h, length)
	}
	return pseudoHeader4(h, length)
}

// pseudoHeader4 is PseudoHeader for IPv4. The zero bytes of either layout add nothing, so that both versions
// sum length and protocol alike.
func pseudoHeader4(h *IPHeader, length int) Sum {
	return Sum(uint64(bits.ReverseBytes32(uint32(length))) + uint64(h.Protocol)<<8 +
		uint64(binary.LittleEndian.Uint32(h.Src[12:])) + uint64(binary.LittleEndian.Uint32(h.Dst[12:])))
}

func pseudoHeader6(h *IPHeader, length int) Sum {
	acc := uint64(bits.ReverseBytes32(uint32(length))) + uint64(h.Protocol)<<8
	var c uint64
	acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(h.Src[0:]), 0)
	acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(h.Src[8:]), c)
	acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(h.Dst[0:]), c)
	acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(h.Dst[8:]), c)
	return Sum(acc + c)
}

// FillChecksum completes a partial checksum in place, as a device would (virtio NEEDS_CSUM): it sums data
// from start and the pieces behind data, and stores the complement at start+offset. The field must hold
// the folded pseudo-header sum. It reports false, and changes nothing, if the field lies outside data.
func FillChecksum(data []byte, pieces [][]byte, start, offset int) bool {
	at := start + offset
	if start < 0 || offset < 0 || at+2 > len(data) {
		return false
	}
	head := data[start:]
	s := Checksum(head, 0)
	rest := SumPieces(pieces, 0)
	if len(head)&1 == 1 {
		rest = rest.Swap()
	}
	binary.BigEndian.PutUint16(data[at:], ^s.Plus(rest).Fold())
	return true
}
