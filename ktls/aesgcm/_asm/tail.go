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

func (e engine) label(s string) string { return fmt.Sprint(s, e.bytes) }

// narrower are the widths that do what is left of a group: the engine's own, then single blocks.
func (e engine) narrower() []engine {
	one := engine{bytes: 16}
	if e.bytes == 16 {
		return []engine{one}
	}
	return []engine{{bytes: e.bytes}, one}
}

// sealTail does the last blocks, fewer than a group, vector by vector. The sum of single blocks needs its own
// registers (4 to 6), as instructions on one lane clear the others.
func (e engine) sealTail() {
	LEAQ(Mem{Base: gPowers, Disp: e.group()}, gPow)
	SUBQ(gLeft, gPow)
	for _, i := range []int{rLo, rMi, rHi, 4, 5, 6} {
		e.clear(i)
	}
	for _, w := range e.narrower() {
		sum := [3]int{rLo, rMi, rHi}
		if w.bytes != e.bytes {
			sum = [3]int{4, 5, 6}
		}
		Label(w.label("vector"))
		CMPQ(gLeft, U32(w.bytes))
		JB(LabelRef(w.label("short")))
		w.encipherOne()
		w.sealOne(sum)
		JMP(LabelRef(w.label("vector")))
		Label(w.label("short"))
	}
	if e.bytes > 16 {
		for i, s := range []int{rLo, rMi, rHi} {
			e.xor(e.r(4+i), e.r(s), e.r(s))
		}
	}
	e.halves = false // the middle of the sum is whole
	e.reduce().emit()
}

// sealOne hashes vector 0. The accumulator goes in with the first.
func (e engine) sealOne(sum [3]int) {
	VPSHUFB(reverse, e.r(0), e.r(rT0))
	e.xor(e.r(rAcc), e.r(rT0), e.r(rT0))
	e.clear(rAcc)
	power := Mem{Base: gPow}
	for i, halves := range []uint64{0x00, 0x01, 0x11} {
		e.product(halves, power, sum[i], false).emit()
	}
	e.product(0x10, power, sum[1], false).emit()
	ADDQ(U32(e.bytes), gPow)
}

// encipherOne does one vector, in register 0, and moves on.
func (e engine) encipherOne() {
	e.vectors = 1
	last := "last" + label()
	e.spread(Mem{Base: gKeys}, e.r(rKey))
	e.counter(0)
	CMPQ(gRounds, Imm(10))
	JE(LabelRef(last))
	for r := 1; r <= 4; r++ {
		e.round(gKeys, r, nil)
	}
	Label(last)
	for r := -9; r < 0; r++ {
		e.round(gLast, r, nil)
	}
	e.spread(Mem{Base: gLast}, e.r(rKey))
	e.xor(Mem{Base: gSrc}, e.r(rKey), e.r(rKey))
	VAESENCLAST(e.r(rKey), e.r(0), e.r(0))
	e.move(e.r(0), Mem{Base: gDst})
	e.advance(e.bytes)
}
