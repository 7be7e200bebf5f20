// Command _asm writes the assembly of package aesgcm: one engine in three widths, and the small functions
// beside it.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

var engines = []engine{
	{name: "AESNI", bytes: 16, vectors: 8, halves: true},
	{name: "VAES256", bytes: 32, vectors: 8, halves: true},
	{name: "VAES512", bytes: 64, vectors: 4},
}

// Constants of 64 bytes; narrower code reads the beginning.
var (
	reverse     Mem // VPSHUFB: the bytes of each lane in reverse order
	polynomial  Mem // x^63+x^62+x^57, which is x^128+x^127+x^126+x^121+1 less its ends
	laneNumbers Mem // 0, 1, 2, 3
	steps       = map[int]Mem{}
)

func constant(name string, words ...uint64) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 8 {
		DATA(8*i, U64(words[i%len(words)]))
	}
	return m
}

func constants() {
	reverse = constant("reverse", 0x08090a0b0c0d0e0f, 0x0001020304050607)
	polynomial = constant("polynomial", 0xc200000000000000)
	laneNumbers = constant("laneNumbers", 0, 0, 1, 0, 2, 0, 3, 0)
	for _, n := range []uint64{1, 2, 4} {
		steps[int(n)] = constant(map[uint64]string{1: "step1", 2: "step2", 4: "step4"}[n], n, 0)
	}
}

// step adds n to the counter of each lane.
func step(n int) Mem { return steps[n] }

func main() {
	ConstraintExpr("amd64")
	constants()
	expand(128, 10)
	expand(256, 14)
	encrypt()
	times()
	absorb()
	finish()
	for _, e := range engines {
		e.seal()
		e.xorKey()
	}
	Generate()
}
