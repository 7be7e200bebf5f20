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

// Constants. All but numbers are of 64 bytes; narrower code reads the beginning.
var (
	reverse     Mem         // VPSHUFB: the bytes of each lane in reverse order
	polynomial  Mem         // x^63+x^62+x^57, which is x^128+x^127+x^126+x^121+1 less its ends
	laneNumbers Mem         // 0, 1, 2, 3
	steps       map[int]Mem // 1, 2 or 4, the key, in each lane
	numbers     Mem         // 0 to 15, one a lane, in the last byte
	groups      map[int]Mem // 8 or 16, the key, in the last byte of each lane
)

func constant(name string, words ...uint64) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range max(8, len(words)) {
		DATA(8*i, U64(words[i%len(words)]))
	}
	return m
}

func constants() {
	reverse = constant("reverse", 0x08090a0b0c0d0e0f, 0x0001020304050607)
	polynomial = constant("polynomial", 0xc200000000000000)
	laneNumbers = constant("laneNumbers", 0, 0, 1, 0, 2, 0, 3, 0)
	steps = map[int]Mem{1: constant("step1", 1, 0), 2: constant("step2", 2, 0), 4: constant("step4", 4, 0)}
	var words []uint64
	for i := range uint64(16) {
		words = append(words, 0, i<<56)
	}
	numbers = constant("numbers", words...)
	groups = map[int]Mem{8: constant("group8", 0, 8<<56), 16: constant("group16", 0, 16<<56)}
}

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
