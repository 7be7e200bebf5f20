package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

var labels int

// label makes a label's name unique.
func label() string {
	labels++
	return fmt.Sprint(labels)
}

// sealLast does the last blocks, fewer than a group, with the keystream in the data vectors.
func (e engine) sealLast() {
	LEAQ(Mem{Base: gPowers, Disp: 2 * e.group()}, gPow)
	SUBQ(gLeft, gPow)
	e.clear(rLo, rMi, rHi)
	e.last(engine.sealOne)
	e.halves = false // the middle of the sum is whole
	e.reduce().emit()
}

// last calls do for what is left: whole vectors, then single blocks of the vector that follows. It puts the
// keystream of the block behind them in the place of ctr.
func (e engine) last(do func(e engine, i, sum int)) {
	for i := range e.vectors {
		CMPQ(gLeft, U32(e.bytes))
		JB(LabelRef(fmt.Sprint("rest", i)))
		do(e, i, rLo)
	}
	for i := range e.vectors {
		Label(fmt.Sprint("rest", i))
		e.move(e.r(i), e.r(rCtr))
		JMP(LabelRef("rest"))
	}
	Label("rest")
	if e.bytes > 16 {
		e.lastBlocks(do)
	}
	VMOVDQU(xs[rCtr], Mem{Base: gCtr})
}

// lastBlocks is last for the blocks whose keystream is in rCtr, one by one in register 0. The keystream of the block
// behind them comes to the first lane. The sum of single blocks needs its own registers (4 to 6), as instructions on
// one lane clear the others.
func (e engine) lastBlocks(do func(e engine, i, sum int)) {
	e.clear(4, 5, 6)
	Label("block")
	TESTQ(gLeft, gLeft)
	JZ(LabelRef("sum"))
	VMOVDQA(xs[rCtr], xs[0])
	do(engine{bytes: 16}, 0, 4)
	e.shift(rCtr)
	JMP(LabelRef("block"))
	Label("sum")
	for i := range 3 {
		e.xor(e.r(4+i), e.r(rLo+i), e.r(rLo+i))
	}
}

// xorOne adds vector i to src, writes it, and moves on.
func (e engine) xorOne(i, _ int) {
	e.xor(Mem{Base: gSrc}, e.r(i), e.r(i))
	e.move(e.r(i), Mem{Base: gDst})
	e.advance(e.bytes)
}

// sealOne hashes what xorOne wrote, into sum. The accumulator goes in with the first.
func (e engine) sealOne(i, sum int) {
	e.xorOne(i, sum)
	VPSHUFB(reverse, e.r(i), e.r(rT0))
	e.xor(e.r(rAcc), e.r(rT0), e.r(rT0))
	e.clear(rAcc)
	power := Mem{Base: gPow}
	for j, halves := range []uint64{0x00, 0x01, 0x11} {
		e.product(halves, power, sum+j, false).emit()
	}
	e.product(0x10, power, sum+1, false).emit()
	ADDQ(U32(e.bytes), gPow)
}
