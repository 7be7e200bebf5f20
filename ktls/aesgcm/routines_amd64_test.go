package aesgcm

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// A routineCase is a call of the routine of one path that seals, or of the one that does not hash.
type routineCase struct {
	path      Path
	key       []byte
	hashes    bool
	hash, ctr [16]byte
	src       []byte

	dst, wantHash, wantCtr []byte // what must come out
}

func (c *routineCase) String() string {
	return fmt.Sprintf("%v, %d-byte key, hashes: %v, %d blocks from counter %x",
		c.path, len(c.key), c.hashes, len(c.src)/BlockSize, c.ctr[NonceSize:])
}

// routineCases are, for each path, size of key and routine, every number of blocks to 80 a few times and some long
// ones, with keys and data at random, and counters that carry within.
func routineCases(paths ...Path) (cases []*routineCase) {
	r := rand.NewChaCha8([32]byte{1})
	lengths := []int{127, 128, 129, 160, 255, 256, 257, 500, 1000, 1023, 1024}
	for n := range 80 {
		lengths = append(lengths, slices.Repeat([]int{n + 1}, 5)...)
	}
	for _, p := range paths {
		for variant := range 4 {
			for i, blocks := range lengths {
				cases = append(cases, newRoutineCase(r, p, 16+variant%2*16, variant < 2, blocks, i))
			}
		}
	}
	return cases
}

func newRoutineCase(r *rand.ChaCha8, p Path, keySize int, hashes bool, blocks, i int) *routineCase {
	c := &routineCase{path: p, key: make([]byte, keySize), hashes: hashes, src: make([]byte, blocks*BlockSize)}
	for _, b := range [][]byte{c.key, c.src, c.hash[:], c.ctr[:]} {
		r.Read(b)
	}
	within := uint32(r.Uint64() % uint64(blocks))
	switch i % 5 { // the last block of the longest message has counter 2^32-1; otherwise the carry is anywhere
	case 0, 1, 2:
		carry := uint32(1) << (8 * (i%5 + 1))
		binary.BigEndian.PutUint32(c.ctr[NonceSize:], carry-min(within, carry))
	case 3:
		binary.BigEndian.PutUint32(c.ctr[NonceSize:], uint32(-blocks))
	case 4:
		binary.BigEndian.PutUint32(c.ctr[NonceSize:], 2)
	}
	c.define()
	return c
}

// define computes what must come out by the definitions of SP 800-38D.
func (c *routineCase) define() {
	block, err := aes.NewCipher(c.key)
	if err != nil {
		panic(err)
	}
	c.dst, c.wantHash = make([]byte, len(c.src)), bytes.Clone(c.hash[:])
	cipher.NewCTR(block, c.ctr[:]).XORKeyStream(c.dst, c.src) // the counters of a message do not wrap
	c.wantCtr = bytes.Clone(c.ctr[:])
	if len(c.src)%c.path.group() != 0 { // then it is the keystream of the block that follows
		count := c.wantCtr[NonceSize:]
		binary.BigEndian.PutUint32(count, binary.BigEndian.Uint32(count)+uint32(len(c.src)/BlockSize))
		block.Encrypt(c.wantCtr, c.wantCtr)
	}
	if !c.hashes {
		return
	}
	var h [16]byte
	block.Encrypt(h[:], h[:])
	y := newElement(c.hash[:])
	for at := 0; at < len(c.dst); at += BlockSize {
		x := newElement(c.dst[at:])
		y = element{y.hi ^ x.hi, y.lo ^ x.lo}.times(newElement(h[:]))
	}
	binary.BigEndian.PutUint64(c.wantHash, y.hi)
	binary.BigEndian.PutUint64(c.wantHash[8:], y.lo)
}

// An element of GF(2^128) as SP 800-38D 6.3 has it: bit 0 is the most significant of hi.
type element struct{ hi, lo uint64 }

func newElement(b []byte) element {
	return element{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// times is algorithm 1 of SP 800-38D 6.3.
func (x element) times(v element) (z element) {
	for _, word := range []uint64{x.hi, x.lo} {
		for i := range 64 {
			if word<<i>>63 != 0 {
				z.hi, z.lo = z.hi^v.hi, z.lo^v.lo
			}
			odd := v.lo & 1
			v.hi, v.lo = v.hi>>1^odd*(0xe1<<56), v.lo>>1|v.hi<<63
		}
	}
	return z
}

// The routines do as the standard defines: on this CPU those it has, and emulator_amd64_test.go has all of them run.
func TestRoutines(t *testing.T) {
	for _, c := range routineCases(Paths()...) {
		k, got, hash, ctr := mustKey(t, c.path, c.key), make([]byte, len(c.src)), c.hash, c.ctr
		if c.hashes {
			k.seal(&hash, &ctr, &got[0], &c.src[0], len(got))
		} else {
			k.xor(&ctr, &got[0], &c.src[0], len(got))
		}
		wantBytes(t, c.String(), got, c.dst)
		wantBytes(t, c.String()+": hash", hash[:], c.wantHash)
		wantBytes(t, c.String()+": ctr", ctr[:], c.wantCtr)
	}
}
