package aesgcm

import (
	"encoding/binary"
	"unsafe"
)

var le = binary.LittleEndian

// maxMessage is the longest message, in bytes (SP 800-38D 5.2.1.1).
const maxMessage = 1<<36 - 32

// A Stream is the state of one message that is being sealed piece by piece: 64 bytes, no pointers. Copying one
// and sealing on with both would use a part of the keystream twice.
type Stream struct {
	ctr  [BlockSize]byte // the nonce; the counter is set for each use
	hash [BlockSize]byte // GHASH, with the bytes of the begun block already added
	key  [BlockSize]byte // keystream of the begun block, if n is not a multiple of 16
	n    int64
	aad  uint32
	live bool
}

// Begin starts a message on s, whatever s was. The nonce must be unused under this key.
func (k *Key) Begin(s *Stream, nonce *[NonceSize]byte, aad []byte) {
	k.mustLive()
	*s = Stream{aad: uint32(len(aad)), live: true}
	copy(s.ctr[:], nonce[:])
	for len(aad) > 0 {
		var block [BlockSize]byte
		aad = aad[copy(block[:], aad):]
		absorb(k.h(), &s.hash, &block)
	}
}

// Len is how many bytes were sealed so far.
func (s *Stream) Len() int64 { return s.n }

// Seal enciphers the next bytes of the message from src to dst, which are the same bytes or do not overlap, and
// hashes the result. dst is at least as long as src; no byte behind that length is touched.
func (k *Key) Seal(s *Stream, dst, src []byte) {
	k.mustLive()
	s.mustLive()
	mustFit(dst, src, s.n)
	if s.n%BlockSize != 0 {
		n := s.within(dst, src)
		dst, src = dst[n:], src[n:]
		if s.n%BlockSize == 0 {
			absorb(k.h(), &s.hash, new([BlockSize]byte))
		}
	}
	n := len(src) &^ (BlockSize - 1)
	if n > 0 {
		s.key = s.ctr
		setCounter(&s.key, s.n)
		k.seal(&s.hash, &s.key, &dst[0], &src[0], n)
		s.n += int64(n)
		dst, src = dst[n:], src[n:]
	}
	if len(src) > 0 {
		k.nextKey(s, n)
		s.within(dst, src)
	}
}

// nextKey puts the keystream of the block at s.n into s.key, if the bulk code, which did the n bytes before, has not.
func (k *Key) nextKey(s *Stream, n int) {
	if n%k.path.group() == 0 {
		setCounter(&s.ctr, s.n)
		encrypt(&k.keys, int(k.rounds), &s.key, &s.ctr)
	}
}

// within goes on with the begun block as far as src and the block go, and returns how far.
func (s *Stream) within(dst, src []byte) int {
	at := int(s.n % BlockSize)
	n := min(BlockSize-at, len(src))
	i := 0
	if n >= 8 {
		c := le.Uint64(src) ^ le.Uint64(s.key[at:])
		le.PutUint64(dst, c)
		le.PutUint64(s.hash[at:], le.Uint64(s.hash[at:])^c)
		i = 8
	}
	for ; i < n; i++ {
		c := src[i] ^ s.key[at+i]
		dst[i] = c
		s.hash[at+i] ^= c
	}
	s.n += int64(n)
	return n
}

// Tag ends the message and writes its tag. Seal on s panics until the next Begin.
func (k *Key) Tag(s *Stream, tag *[TagSize]byte) {
	k.mustLive()
	s.mustLive()
	s.live = false
	if s.n%BlockSize != 0 {
		absorb(k.h(), &s.hash, new([BlockSize]byte))
	}
	setCounter(&s.ctr, -BlockSize)
	finish(&k.keys, int(k.rounds), k.h(), &s.hash, &s.ctr, tag, uint64(s.aad)*8, uint64(s.n)*8)
	clear(s.key[:])
}

// XORAt enciphers the bytes that stand at offset off of the message with this nonce, without hashing: what Seal
// made of the same bytes, again. dst and src as for Seal.
func (k *Key) XORAt(nonce *[NonceSize]byte, off int64, dst, src []byte) {
	k.mustLive()
	mustFit(dst, src, off)
	s := Stream{n: off}
	copy(s.ctr[:], nonce[:])
	if off%BlockSize != 0 {
		setCounter(&s.ctr, off)
		encrypt(&k.keys, int(k.rounds), &s.key, &s.ctr)
		n := s.within(dst, src)
		dst, src = dst[n:], src[n:]
	}
	n := len(src) &^ (BlockSize - 1)
	if n > 0 {
		s.key = s.ctr
		setCounter(&s.key, s.n)
		k.xor(&s.key, &dst[0], &src[0], n)
		s.n += int64(n)
		dst, src = dst[n:], src[n:]
	}
	if len(src) > 0 {
		k.nextKey(&s, n)
		s.within(dst, src)
	}
}

// setCounter makes ctr the counter block for the byte at off: block 1 makes the tag, the message begins with
// block 2 (SP 800-38D 7.1). maxMessage keeps the 32 bits from wrapping.
func setCounter(ctr *[BlockSize]byte, off int64) {
	binary.BigEndian.PutUint32(ctr[NonceSize:], uint32(off/BlockSize+2))
}

func (s *Stream) mustLive() {
	if !s.live {
		panic("aesgcm: the message has ended, or has not begun")
	}
}

// mustFit checks what the assembly trusts.
func mustFit(dst, src []byte, off int64) {
	if len(dst) < len(src) {
		panic("aesgcm: dst is shorter than src")
	}
	if off < 0 || off > maxMessage-int64(len(src)) {
		panic("aesgcm: a message is at most 2^36-32 bytes")
	}
	if overlapInexactly(dst[:len(src)], src) {
		panic("aesgcm: dst and src overlap, but not exactly")
	}
}

func overlapInexactly(a, b []byte) bool {
	if len(a) == 0 || &a[0] == &b[0] {
		return false
	}
	x, y := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&b[0]))
	return x < y+uintptr(len(b)) && y < x+uintptr(len(a))
}
