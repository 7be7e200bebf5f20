package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// An engine is one width of the bulk code. All widths are written by the same statements; what differs is how
// many blocks a register holds and, for some instructions, the name (VPXOR, VPXORQ).
type engine struct {
	name    string // suffix of the functions
	bytes   int    // in a vector: 16, 32 or 64
	vectors int    // in a group, the unit of the main loop; hashes are reduced after two
	halves  bool   // Karatsuba: three products a block, with stored sums of the halves of each power
}

func (e engine) lanes() int { return e.bytes / 16 }
func (e engine) group() int { return e.bytes * e.vectors }

// Vector registers. The data vectors are 0 to 7.
const (
	rKey = 8 + iota // the round key, in every lane
	rLo             // the product of the group being hashed: lo + mi*x^64 + hi*x^128, in every lane
	rMi
	rHi
	rT0
	rT1
	rCtr // the next counter block, in every lane
	rAcc // GHASH so far, byte-reversed, in lane 0; the other lanes are zero
)

var (
	xs = []VecPhysical{X0, X1, X2, X3, X4, X5, X6, X7, X8, X9, X10, X11, X12, X13, X14, X15}
	ys = []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}
	zs = []VecPhysical{Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15}
)

// r is register i in the engine's width.
func (e engine) r(i int) VecPhysical {
	switch e.bytes {
	case 16:
		return xs[i]
	case 32:
		return ys[i]
	}
	return zs[i]
}

func (e engine) move(from, to Op) {
	if e.bytes == 64 {
		VMOVDQU64(from, to)
		return
	}
	VMOVDQU(from, to)
}

// spread loads 16 bytes into every lane.
func (e engine) spread(m Mem, to VecPhysical) {
	switch e.bytes {
	case 16:
		VMOVDQU(m, to)
	case 32:
		VBROADCASTI128(m, to)
	default:
		VBROADCASTI32X4(m, to)
	}
}

func (e engine) xor(a, b, to Op) {
	if e.bytes == 64 {
		VPXORQ(a, b, to)
		return
	}
	VPXOR(a, b, to)
}

// xor3 adds a and b to sum.
func (e engine) xor3(a, b, sum VecPhysical) {
	if e.bytes == 64 {
		VPTERNLOGQ(U8(0x96), a, b, sum)
		return
	}
	VPXOR(a, sum, sum)
	VPXOR(b, sum, sum)
}

// clear clears registers, at all widths: a VEX instruction clears the rest of the register.
func (e engine) clear(registers ...int) {
	for _, i := range registers {
		VPXOR(xs[i], xs[i], xs[i])
	}
}

// shift moves the second lane of register i, and with it all behind, down by one.
func (e engine) shift(i int) {
	if e.bytes == 64 {
		VALIGNQ(U8(2), zs[i], zs[i], zs[i])
		return
	}
	VEXTRACTI128(U8(1), ys[i], xs[i])
}

// fold adds the lanes of from; the sum is lane 0 of to, whose other lanes are zero. It spoils T0 and from.
func (e engine) fold(from, to int) {
	if e.bytes == 64 {
		VEXTRACTI64X4(U8(1), zs[from], ys[rT0])
		VPXOR(ys[rT0], ys[from], ys[from])
	}
	if e.bytes >= 32 {
		VEXTRACTI128(U8(1), ys[from], xs[rT0])
		VPXOR(xs[rT0], xs[from], xs[to])
		return
	}
	VMOVDQA(xs[from], xs[to])
}
