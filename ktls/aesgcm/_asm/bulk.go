package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// General registers of the bulk functions.
var (
	gKeys   = RAX // first round key
	gLast   = RBX // last round key
	gDst    = RDI
	gSrc    = RSI
	gLeft   = RCX // bytes to do
	gPowers = R8  // powers of H, descending, H^1 last
	gHash   = R9
	gPow    = R10 // the power of the next block of the tail
	gRounds = R11
	gEnd    = R12 // last line of src: nothing behind it is prefetched
	gAhead  = R13
)

// ahead is how far in front of the loop src is prefetched.
const ahead = 1024

// seal writes the function that enciphers and hashes n bytes, whole blocks. Each turn of the loop enciphers one
// group while it hashes the group before: two streams of instructions that do not wait for each other.
func (e engine) seal() {
	TEXT("seal"+e.name, NOSPLIT, "func(keys *[240]byte, rounds int, powers *byte, hash, ctr *[16]byte, dst, src *byte, n int)")
	Doc("seal"+e.name+" enciphers n bytes, whole blocks, from src to dst, which are the same or do not overlap,",
		"with the counter blocks from ctr on, and hashes the result into hash.")
	Pragma("noescape")
	e.begin()
	Load(Param("powers"), gPowers)
	Load(Param("hash"), gHash)
	VMOVDQU(Mem{Base: gHash}, xs[rAcc])
	VPSHUFB(reverse, xs[rAcc], xs[rAcc])

	CMPQ(gLeft, U32(e.group()))
	JB(LabelRef("tail"))
	e.encipher(nil)
	Label("loop")
	CMPQ(gLeft, U32(e.group()))
	JB(LabelRef("drain"))
	e.encipher(e.hash(gDst, -e.group()))
	JMP(LabelRef("loop"))
	Label("drain")
	e.hash(gDst, -e.group()).emit()

	Label("tail")
	TESTQ(gLeft, gLeft)
	JZ(LabelRef("done"))
	e.sealTail()
	Label("done")
	VPSHUFB(reverse, xs[rAcc], xs[rAcc])
	VMOVDQU(xs[rAcc], Mem{Base: gHash})
	e.end()
}

// xorKey writes the function that enciphers n bytes, whole blocks, and hashes nothing.
func (e engine) xorKey() {
	TEXT("xor"+e.name, NOSPLIT, "func(keys *[240]byte, rounds int, ctr *[16]byte, dst, src *byte, n int)")
	Doc("xor" + e.name + " enciphers n bytes, whole blocks, as seal" + e.name + " does, and hashes nothing.")
	Pragma("noescape")
	e.begin()
	Label("loop")
	CMPQ(gLeft, U32(e.group()))
	JB(LabelRef("tail"))
	e.encipher(nil)
	JMP(LabelRef("loop"))
	Label("tail")
	for _, w := range e.narrower() {
		Label(w.label("vector"))
		CMPQ(gLeft, U32(w.bytes))
		JB(LabelRef(w.label("short")))
		w.encipherOne()
		JMP(LabelRef(w.label("vector")))
		Label(w.label("short"))
	}
	e.end()
}

// begin loads what seal and xorKey share.
func (e engine) begin() {
	Load(Param("keys"), gKeys)
	Load(Param("rounds"), gRounds)
	Load(Param("ctr"), gPow)
	Load(Param("dst"), gDst)
	Load(Param("src"), gSrc)
	Load(Param("n"), gLeft)
	MOVQ(gRounds, gLast)
	SHLQ(U8(4), gLast)
	ADDQ(gKeys, gLast)
	LEAQ(Mem{Base: gSrc, Index: gLeft, Scale: 1, Disp: -1}, gEnd)
	e.spread(Mem{Base: gPow}, e.r(rCtr))
	VPSHUFB(reverse, e.r(rCtr), e.r(rCtr))
	VPADDD(laneNumbers, e.r(rCtr), e.r(rCtr))
}

func (e engine) end() {
	VZEROUPPER()
	RET()
}

// encipher does one group and moves on, with the instructions of hash strewn evenly between those of the rounds.
func (e engine) encipher(hash strand) {
	last := "last" + label()
	e.spread(Mem{Base: gKeys}, e.r(rKey))
	for i := range e.vectors {
		e.counter(i)
	}
	CMPQ(gRounds, Imm(10))
	JE(LabelRef(last))
	for r := 1; r <= 4; r++ { // the rounds that a 256-bit key has more
		e.round(gKeys, r, nil)
	}
	Label(last)
	for r := -9; r < 0; r++ {
		e.round(gLast, r, hash.share(r+10, 9))
	}
	e.prefetch()
	e.spread(Mem{Base: gLast}, e.r(rKey))
	for i := range e.vectors {
		e.xor(Mem{Base: gSrc, Disp: i * e.bytes}, e.r(rKey), e.r(rT0))
		VAESENCLAST(e.r(rT0), e.r(i), e.r(i))
		e.move(e.r(i), Mem{Base: gDst, Disp: i * e.bytes})
	}
	e.advance(e.group())
}

func (e engine) advance(n int) {
	ADDQ(U32(n), gSrc)
	ADDQ(U32(n), gDst)
	SUBQ(U32(n), gLeft)
}

// counter puts the next counter blocks, with the first round key added, into vector i.
func (e engine) counter(i int) {
	VPSHUFB(reverse, e.r(rCtr), e.r(i))
	VPADDD(step(e.lanes()), e.r(rCtr), e.r(rCtr))
	e.xor(e.r(rKey), e.r(i), e.r(i))
}

// round is one round of AES for all vectors, with the instructions of hash between.
func (e engine) round(base GPPhysical, r int, hash strand) {
	e.spread(Mem{Base: base, Disp: 16 * r}, e.r(rKey))
	for i := range e.vectors {
		VAESENC(e.r(rKey), e.r(i), e.r(i))
		hash.share(i+1, e.vectors).emit()
	}
}

// prefetch asks for the lines of the group that comes `ahead` later, if src goes so far.
func (e engine) prefetch() {
	for line := 0; line < e.group(); line += 64 {
		PREFETCHT0(Mem{Base: gSrc, Disp: ahead + line})
	}
}

// hash is the strand that hashes the group at base+at into the accumulator. The vector that carries the
// accumulator comes last, so that the group before may take its time.
func (e engine) hash(base GPPhysical, at int) (s strand) {
	for i := e.vectors - 1; i >= 0; i-- {
		s = append(s, e.load(Mem{Base: base, Disp: at + i*e.bytes}, i == 0)...)
		s = append(s, e.multiply(gPowers, i, i == e.vectors-1)...)
	}
	return append(s, e.reduce()...)
}

// load brings ciphertext into T0, byte-reversed, and adds the accumulator if it is the first.
func (e engine) load(m Mem, first bool) strand {
	s := strand{
		func() { e.move(m, e.r(rT0)) },
		func() { VPSHUFB(reverse, e.r(rT0), e.r(rT0)) },
	}
	if first {
		s = append(s, func() { e.xor(e.r(rAcc), e.r(rT0), e.r(rT0)) })
	}
	return s
}

// multiply adds the product of T0 and the powers of vector i to the sum, or starts the sum with it.
func (e engine) multiply(base GPPhysical, i int, start bool) strand {
	power := Mem{Base: base, Disp: i * e.bytes}
	s := e.product(0x00, power, rLo, start)
	s = append(s, e.product(0x11, power, rHi, start)...)
	if !e.halves {
		s = append(s, e.product(0x01, power, rMi, start)...)
		return append(s, e.product(0x10, power, rMi, false)...)
	}
	half := Mem{Base: base, Disp: e.group() + i/2*e.bytes}
	s = append(s,
		func() { VPSHUFD(U8(0x4e), e.r(rT0), e.r(rT1)) },
		func() { e.xor(e.r(rT1), e.r(rT0), e.r(rT0)) })
	return append(s, e.product(uint64(i%2)<<4, half, rMi, start)...)
}

// product adds the product of one half of T0 and one of power to sum.
func (e engine) product(halves uint64, power Op, sum int, start bool) strand {
	if start {
		return strand{func() { VPCLMULQDQ(U8(halves), power, e.r(rT0), e.r(sum)) }}
	}
	return strand{
		func() { VPCLMULQDQ(U8(halves), power, e.r(rT0), e.r(rT1)) },
		func() { e.xor(e.r(rT1), e.r(sum), e.r(sum)) },
	}
}

// reduce ends a group: Montgomery's reduction, then the lanes are added.
func (e engine) reduce() (s strand) {
	if e.halves {
		s = strand{func() { e.xor3(e.r(rLo), e.r(rHi), e.r(rMi)) }}
	}
	for _, f := range [][2]int{{rLo, rMi}, {rMi, rHi}} {
		s = append(s,
			func() { VPCLMULQDQ(U8(0), polynomial, e.r(f[0]), e.r(rT0)) },
			func() { VPSHUFD(U8(0x4e), e.r(f[0]), e.r(rT1)) },
			func() { e.xor3(e.r(rT0), e.r(rT1), e.r(f[1])) })
	}
	return append(s, func() { e.fold(rHi, rAcc) })
}
