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
	gCtr    = R13
	gWrap   = R12L // its top byte is the lowest of the counter
)

// ahead is how far in front of the loop src is prefetched.
const ahead = 1024

// seal writes the function that enciphers and hashes n bytes, whole blocks. Each turn of the loop enciphers one
// group while it hashes the group before: two streams of instructions that do not wait for each other. The hash is
// reduced after each pair of groups; if their number is odd, the first is the second of a pair. The last blocks,
// fewer than a group, have their keystream made like a group.
func (e engine) seal() {
	TEXT("seal"+e.name, NOSPLIT, "func(keys *[240]byte, rounds int, powers *byte, hash, ctr *[16]byte, dst, src *byte, n int)")
	Doc("seal"+e.name+" enciphers n bytes, whole blocks, from src to dst, which are the same or do not overlap,",
		"with the counter blocks from ctr on, and hashes the result into hash. If n is no multiple of a group, ctr",
		"becomes the keystream of the block that follows.")
	Pragma("noescape")
	e.begin()
	Load(Param("powers"), gPowers)
	Load(Param("hash"), gHash)
	VMOVDQU(Mem{Base: gHash}, xs[rAcc])
	VPSHUFB(reverse, xs[rAcc], xs[rAcc])

	e.keystream(nil)
	CMPQ(gLeft, U32(e.group()))
	JB(LabelRef("last"))
	e.output()
	e.clear(rLo, rMi, rHi)
	TESTQ(U32(e.group()), gLeft)
	JZ(LabelRef("second"))
	Label("first")
	e.keystream(e.hash(0))
	e.output()
	Label("second")
	TESTQ(gLeft, gLeft)
	JZ(LabelRef("drain"))
	e.keystream(e.hash(1))
	CMPQ(gLeft, U32(e.group()))
	JB(LabelRef("last"))
	e.output()
	JMP(LabelRef("first"))
	Label("drain")
	for _, s := range e.hash(1) {
		s.emit()
	}
	JMP(LabelRef("done"))

	Label("last")
	e.sealLast()
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
	e.keystream(nil)
	CMPQ(gLeft, U32(e.group()))
	JB(LabelRef("last"))
	e.output()
	TESTQ(gLeft, gLeft)
	JNZ(LabelRef("loop"))
	JMP(LabelRef("done"))
	Label("last")
	e.last(engine.xorOne)
	Label("done")
	e.end()
}

// begin loads what seal and xorKey share.
func (e engine) begin() {
	Load(Param("keys"), gKeys)
	Load(Param("rounds"), gRounds)
	Load(Param("ctr"), gCtr)
	Load(Param("dst"), gDst)
	Load(Param("src"), gSrc)
	Load(Param("n"), gLeft)
	MOVQ(gRounds, gLast)
	SHLQ(U8(4), gLast)
	ADDQ(gKeys, gLast)
	e.spread(Mem{Base: gCtr}, e.r(rCtr))
	MOVL(Mem{Base: gCtr, Disp: 12}, gWrap)
}

// wraps are the parts of the function that run when a counter carries; they stand behind it.
var wraps strand

func (e engine) end() {
	VZEROUPPER()
	RET()
	wraps.emit()
	wraps = nil
}

// keystream enciphers the next group of counter blocks in the data vectors. hash is strewn one part behind each
// instruction of AES, from the third round on: AES, which waits for its own results, gets a start.
func (e engine) keystream(hash []strand) {
	e.counters()
	e.spread(Mem{Base: gKeys}, e.r(rKey))
	for i := range e.vectors {
		e.xor(e.r(rKey), e.r(i), e.r(i))
	}
	last := "last" + label()
	CMPQ(gRounds, Imm(10))
	JE(LabelRef(last))
	for r := 1; r <= 4; r++ { // the rounds that a 256-bit key has more
		e.round(VAESENC, Mem{Base: gKeys, Disp: 16 * r}, nil)
	}
	Label(last)
	for r := -9; r < 0; r++ {
		var part []strand
		if r >= -7 && hash != nil {
			part, hash = hash[:e.vectors], hash[e.vectors:]
		}
		e.round(VAESENC, Mem{Base: gLast, Disp: 16 * r}, part)
	}
	e.round(VAESENCLAST, Mem{Base: gLast}, hash)
}

// hashRounds is how many rounds keystream strews the hash among.
const hashRounds = 8

// round is one round of AES for all vectors, with a part of the hash behind each.
func (e engine) round(aes func(key, from, to Op), key Mem, hash []strand) {
	e.spread(key, e.r(rKey))
	for i := range e.vectors {
		aes(e.r(rKey), e.r(i), e.r(i))
		if hash != nil {
			hash[i].emit()
		}
	}
}

// counters puts the next counter blocks into the data vectors. While the lowest byte of the counter does not carry,
// which it does once in 256 blocks, numbers are added to it where it stands.
func (e engine) counters() {
	n, blocks := label(), e.group()/16
	ADDL(U32(blocks<<24), gWrap)
	JC(LabelRef("wrap" + n))
	for i := range e.vectors {
		VPADDD(numbers.Offset(i*e.bytes), e.r(rCtr), e.r(i))
	}
	VPADDD(groups[blocks], e.r(rCtr), e.r(rCtr))
	Label("counted" + n)
	wraps = append(wraps, func() {
		Label("wrap" + n)
		e.countersThatCarry()
		JMP(LabelRef("counted" + n))
	})
}

// countersThatCarry is counters for any counter.
func (e engine) countersThatCarry() {
	VPSHUFB(reverse, e.r(rCtr), e.r(rT0))
	VPADDD(laneNumbers, e.r(rT0), e.r(rT0))
	for i := range e.vectors {
		VPSHUFB(reverse, e.r(rT0), e.r(i))
		VPADDD(steps[e.lanes()], e.r(rT0), e.r(rT0))
	}
	VPSUBD(laneNumbers, e.r(rT0), e.r(rT0))
	VPSHUFB(reverse, e.r(rT0), e.r(rCtr))
}

// output adds the group's keystream to src, writes the sum, and moves on. It asks for the lines of the group that
// comes `ahead` later; at the end these are behind src, which does no harm.
func (e engine) output() {
	for line := 0; line < e.group(); line += 64 {
		PREFETCHT0(Mem{Base: gSrc, Disp: ahead + line})
	}
	for i := range e.vectors {
		e.xor(Mem{Base: gSrc, Disp: i * e.bytes}, e.r(i), e.r(i))
		e.move(e.r(i), Mem{Base: gDst, Disp: i * e.bytes})
	}
	e.advance(e.group())
}

func (e engine) advance(n int) {
	ADDQ(U32(n), gSrc)
	ADDQ(U32(n), gDst)
	SUBQ(U32(n), gLeft)
}
