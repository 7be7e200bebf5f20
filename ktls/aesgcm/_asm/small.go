package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// one is the width of the small functions, which every path uses.
var one = engine{bytes: 16, vectors: 1}

// expand writes the key schedule (FIPS 197, 5.2). AESKEYGENASSIST substitutes without a table.
func expand(bits, rounds int) {
	TEXT(fmt.Sprint("expand", bits), NOSPLIT, "func(key *byte, keys *[240]byte)")
	Doc(fmt.Sprintf("expand%d is the key schedule of FIPS 197, 5.2, for %d-bit keys.", bits, bits))
	Pragma("noescape")
	Load(Param("key"), gSrc)
	Load(Param("keys"), gDst)
	for i := range bits / 128 {
		VMOVDQU(Mem{Base: gSrc, Disp: 16 * i}, xs[i])
		VMOVDQU(xs[i], Mem{Base: gDst, Disp: 16 * i})
	}
	rcon := uint64(1)
	for r := bits / 128; r <= rounds; r++ {
		this, before := 0, 0
		if bits == 256 {
			this, before = r%2, 1-r%2
		}
		if this == 1 { // the second half of a 256-bit key is substituted, not rotated
			VAESKEYGENASSIST(U8(0), xs[before], xs[2])
			VPSHUFD(U8(0xaa), xs[2], xs[2])
		} else {
			VAESKEYGENASSIST(U8(rcon), xs[before], xs[2])
			VPSHUFD(U8(0xff), xs[2], xs[2])
			rcon = rcon<<1 ^ rcon>>7*0x11b
		}
		for _, shift := range []uint64{4, 8} { // each word becomes the sum of itself and those before it
			VPSLLDQ(U8(shift), xs[this], xs[3])
			VPXOR(xs[3], xs[this], xs[this])
		}
		VPXOR(xs[2], xs[this], xs[this])
		VMOVDQU(xs[this], Mem{Base: gDst, Disp: 16 * r})
	}
	for i := range 4 {
		one.clear(i)
	}
	RET()
}

// encrypt writes the function for a single block of AES.
func encrypt() {
	TEXT("encrypt", NOSPLIT, "func(keys *[240]byte, rounds int, dst, src *[16]byte)")
	Doc("encrypt is AES on one block.")
	Pragma("noescape")
	loadKeys()
	Load(Param("dst"), gDst)
	Load(Param("src"), gSrc)
	VMOVDQU(Mem{Base: gSrc}, xs[0])
	cipherOne()
	VMOVDQU(xs[0], Mem{Base: gDst})
	RET()
}

func loadKeys() {
	Load(Param("keys"), gKeys)
	Load(Param("rounds"), gRounds)
	MOVQ(gRounds, gLast)
	SHLQ(U8(4), gLast)
	ADDQ(gKeys, gLast)
}

// cipherOne is AES on register 0.
func cipherOne() {
	last := "last" + label()
	VPXOR(Mem{Base: gKeys}, xs[0], xs[0])
	CMPQ(gRounds, Imm(10))
	JE(LabelRef(last))
	for r := 1; r <= 4; r++ {
		VAESENC(Mem{Base: gKeys, Disp: 16 * r}, xs[0], xs[0])
	}
	Label(last)
	for r := -9; r < 0; r++ {
		VAESENC(Mem{Base: gLast, Disp: 16 * r}, xs[0], xs[0])
	}
	VAESENCLAST(Mem{Base: gLast}, xs[0], xs[0])
}

// times writes the product in the field, of numbers in the form of the table of powers.
func times() {
	TEXT("times", NOSPLIT, "func(to, a, b *[16]byte)")
	Doc("times multiplies two powers of H: byte-reversed, each times x, and so is the product.")
	Pragma("noescape")
	Load(Param("to"), gDst)
	Load(Param("a"), gSrc)
	Load(Param("b"), gPowers)
	VMOVDQU(Mem{Base: gSrc}, xs[rT0])
	one.multiply(gPowers, 0, true).emit()
	one.reduce().emit()
	VMOVDQU(xs[rAcc], Mem{Base: gDst})
	RET()
}

// absorb writes one step of GHASH.
func absorb() {
	TEXT("absorb", NOSPLIT, "func(h, hash, block *[16]byte)")
	Doc("absorb is a step of GHASH: hash becomes (hash + block) * H.")
	Pragma("noescape")
	Load(Param("h"), gPowers)
	Load(Param("hash"), gHash)
	Load(Param("block"), gSrc)
	VMOVDQU(Mem{Base: gHash}, xs[rT0])
	VPXOR(Mem{Base: gSrc}, xs[rT0], xs[rT0])
	VPSHUFB(reverse, xs[rT0], xs[rT0])
	one.multiply(gPowers, 0, true).emit()
	one.reduce().emit()
	VPSHUFB(reverse, xs[rAcc], xs[rAcc])
	VMOVDQU(xs[rAcc], Mem{Base: gHash})
	RET()
}

// finish writes the end of a message: the step of GHASH for the lengths, then the sum with the enciphered block 1.
func finish() {
	TEXT("finish", NOSPLIT, "func(keys *[240]byte, rounds int, h, hash, ctr, tag *[16]byte, aadBits, bits uint64)")
	Doc("finish makes the tag: hash takes the lengths in, and is added to the enciphered block ctr.")
	Pragma("noescape")
	loadKeys()
	Load(Param("h"), gPowers)
	Load(Param("hash"), gHash)
	Load(Param("ctr"), gSrc)
	Load(Param("tag"), gDst)
	Load(Param("aadBits"), gLeft)
	Load(Param("bits"), gPow)
	VMOVQ(gPow, xs[rT1])
	VPINSRQ(U8(1), gLeft, xs[rT1], xs[rT1])
	VMOVDQU(Mem{Base: gHash}, xs[rT0])
	VPSHUFB(reverse, xs[rT0], xs[rT0])
	VPXOR(xs[rT1], xs[rT0], xs[rT0])
	one.multiply(gPowers, 0, true).emit()
	one.reduce().emit()
	VPSHUFB(reverse, xs[rAcc], xs[rAcc])
	VMOVDQU(Mem{Base: gSrc}, xs[0])
	cipherOne()
	VPXOR(xs[rAcc], xs[0], xs[0])
	VMOVDQU(xs[0], Mem{Base: gDst})
	RET()
}
