package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// hash hashes the group before dst into the sum, as the first or the second of a pair, and reduces the sum after
// the second: in parts, one for each vector in each of hashRounds. The vector that carries the accumulator comes
// last, and the reduction, whose steps wait for each other, is given room.
func (e engine) hash(half int) []strand {
	var products strand
	for i := e.vectors - 1; i >= 0; i-- {
		products = append(products, e.load(Mem{Base: gDst, Disp: i*e.bytes - e.group()}, i == 0)...)
		products = append(products, e.multiply(gPowers, half*e.vectors+i, half == 0 && i == e.vectors-1)...)
	}
	if half == 0 {
		products = append(products, func() { e.clear(rAcc) })
		return products.split(hashRounds * e.vectors)
	}
	const reduceRounds = 3
	return append(products.split((hashRounds-reduceRounds)*e.vectors), e.reduce().split(reduceRounds*e.vectors)...)
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
	half := Mem{Base: base, Disp: 2*e.group() + i/2*e.bytes}
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
