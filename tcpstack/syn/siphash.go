package syn

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"

	"ocaserve/tcpstack/wire"
)

// A Key is the secret of one purpose. Two purposes never share a key.
type Key [16]byte

// NewKey returns a random key. It does not fail: without randomness the process ends (crypto/rand).
func NewKey() (k Key) {
	rand.Read(k[:])
	return k
}

// derive returns the subkey of k for a label and a number: two PRF outputs side by side.
func (k *Key) derive(label byte, n uint64) (sub Key) {
	var msg [10]byte
	msg[0] = label
	binary.LittleEndian.PutUint64(msg[2:], n)
	for i := range 2 {
		msg[1] = byte(i)
		binary.LittleEndian.PutUint64(sub[8*i:], sipHash(k, msg[:]))
	}
	return sub
}

// sipHash is SipHash-2-4 (Aumasson and Bernstein, 2012), a keyed pseudo-random function made for short
// inputs: nobody who does not know the key can tell its outputs from random numbers, which is all that RFC
// 6528 and SYN cookies ask for, at a tenth of the cost of an HMAC.
func sipHash(k *Key, msg []byte) uint64 {
	k0, k1 := binary.LittleEndian.Uint64(k[:8]), binary.LittleEndian.Uint64(k[8:])
	v0, v1, v2, v3 := k0^0x736f6d6570736575, k1^0x646f72616e646f6d, k0^0x6c7967656e657261, k1^0x7465646279746573
	last := uint64(len(msg)) << 56
	for len(msg) >= 8 {
		m := binary.LittleEndian.Uint64(msg)
		msg = msg[8:]
		v3 ^= m
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
		v0 ^= m
	}
	for i, b := range msg {
		last |= uint64(b) << (8 * i)
	}
	v3 ^= last
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0 ^= last
	v2 ^= 0xff
	for range 4 {
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	}
	return v0 ^ v1 ^ v2 ^ v3
}

// sipRound is small enough to be inlined, so that the four words stay in registers.
func sipRound(v0, v1, v2, v3 uint64) (uint64, uint64, uint64, uint64) {
	v0 += v1
	v2 += v3
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v2 += v1
	v0 = bits.RotateLeft64(v0, 32) + v3
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	return v0, v1, bits.RotateLeft64(v2, 32), v3
}

// flowLen is the length of a flow in a hashed message.
const flowLen = 16 + 16 + 2 + 2

// putFlow writes f to b[:flowLen].
func putFlow(b []byte, f *wire.Flow) {
	copy(b, f.Local[:])
	copy(b[16:], f.Remote[:])
	binary.BigEndian.PutUint16(b[32:], f.LocalPort)
	binary.BigEndian.PutUint16(b[34:], f.RemotePort)
}

// hashFlow is the PRF of a flow.
func hashFlow(k *Key, f *wire.Flow) uint64 {
	var b [flowLen]byte
	putFlow(b[:], f)
	return sipHash(k, b[:])
}
