package aesgcm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

const (
	TagSize   = 16
	NonceSize = 12
	BlockSize = 16
)

// ErrNoEngine says that this CPU has no path, or not the one that was asked for. Use crypto/cipher.
var ErrNoEngine = errors.New("aesgcm: this CPU has no such engine")

// maxPowers is the most blocks that any path hashes before it reduces.
const maxPowers = 32

// A Key is an expanded AES key with the powers of H that its path needs: 1010 bytes, and no pointers. It does not
// change until Wipe; any number of streams may use it.
type Key struct {
	keys   [240]byte                        // round keys, in order
	table  [maxPowers*16 + maxPowers*8]byte // powers of H, then the sums of their halves: see fillTable
	rounds uint8                            // 10 or 14; 0: wiped
	path   Path
}

// New expands a key of 16 or 32 bytes for the fastest path. The key is not kept.
func New(key []byte) (*Key, error) {
	if !Available() {
		return nil, ErrNoEngine
	}
	return NewPath(paths[0], key)
}

// NewPath is New with the path chosen by the caller; it fails with ErrNoEngine when the CPU lacks the path.
func NewPath(p Path, key []byte) (*Key, error) {
	if !p.available() {
		return nil, fmt.Errorf("%w: %v", ErrNoEngine, p)
	}
	if len(key) != 16 && len(key) != 32 {
		return nil, fmt.Errorf("aesgcm: a key of %d bytes, want 16 or 32", len(key))
	}
	return expand(p, key), nil
}

func expand(p Path, key []byte) *Key {
	k := &Key{path: p}
	switch len(key) {
	case 16:
		k.rounds = 10
		expand128(&key[0], &k.keys)
	case 32:
		k.rounds = 14
		expand256(&key[0], &k.keys)
	}
	k.fillTable()
	return k
}

// fillTable computes the powers of H = AES(0), SP 800-38D 6.3, in the form the assembly wants: H^i byte-reversed
// and multiplied by x, the highest power first, H^1 last. Behind them come the sums of the two halves of each
// power: the quadword of lane l of vector v stands at pair v/2, lane l, half v%2. The 512-bit path does without.
func (k *Key) fillTable() {
	var h [16]byte
	encrypt(&k.keys, int(k.rounds), &h, &h)
	timesX(&h)
	power, blocks := h, k.path.powers()
	for i := blocks - 1; i >= 0; i-- {
		*k.power(i) = power
		times(&power, &power, &h)
	}
	sums, lanes := k.table[16*blocks:], k.path.lanes()
	for i := range blocks {
		v, lane := i/lanes, i%lanes
		p := k.power(i)
		sum := binary.LittleEndian.Uint64(p[:8]) ^ binary.LittleEndian.Uint64(p[8:])
		binary.LittleEndian.PutUint64(sums[16*(v/2*lanes+lane)+8*(v%2):], sum)
	}
	clear(h[:])
	clear(power[:])
}

func (k *Key) power(i int) *[16]byte { return (*[16]byte)(k.table[16*i:]) }

// h is H^1.
func (k *Key) h() *[16]byte { return k.power(k.path.powers() - 1) }

// timesX reverses the bytes of b and multiplies it by x in the field of the bit-reversed polynomial
// x^128+x^127+x^126+x^121+1, without a branch.
func timesX(b *[16]byte) {
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	lo, carry := bits.Add64(lo, lo, 0)
	hi, carry = bits.Add64(hi, hi, carry)
	binary.LittleEndian.PutUint64(b[:8], lo^carry)
	binary.LittleEndian.PutUint64(b[8:], hi^-carry&0xc200000000000000)
}

// Path says which implementation the key uses.
func (k *Key) Path() Path { return k.path }

// Wipe overwrites the key. Whatever uses it afterwards panics.
func (k *Key) Wipe() { *k = Key{path: k.path} }

func (k *Key) mustLive() {
	if k.rounds == 0 {
		panic("aesgcm: the key is wiped")
	}
}
