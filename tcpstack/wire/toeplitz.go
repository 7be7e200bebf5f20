package wire

import "encoding/binary"

// An RSSKey is the secret of a Toeplitz hash, as devices take it for receive-side scaling: the hash of an
// input is the XOR of the key's 32-bit windows at the positions of the input's set bits.
type RSSKey [40]byte

// MicrosoftKey is the key that the specification's test vectors use, and many devices' default.
var MicrosoftKey = RSSKey{
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
	0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
	0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
}

// SymmetricKey repeats 6d5a, so that both directions of a flow hash alike (Woo and Park, "Scalable TCP
// session monitoring with symmetric receive-side scaling", 2012). [SymmetricHash] is the same, faster.
var SymmetricKey = RSSKey{
	0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a,
	0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a,
	0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a,
}

// Hash returns the Toeplitz hash of a flow. The input is source address, destination address, source port,
// destination port; addresses take 4 bytes each if src is IPv4, else 16.
func (k *RSSKey) Hash(src, dst Addr, sport, dport uint16) uint32 {
	var input [36]byte
	n := 32
	if src.Is4() {
		copy(input[0:], src[12:])
		copy(input[4:], dst[12:])
		n = 8
	} else {
		copy(input[0:], src[:])
		copy(input[16:], dst[:])
	}
	binary.BigEndian.PutUint16(input[n:], sport)
	binary.BigEndian.PutUint16(input[n+2:], dport)
	return k.hash(input[:n+4])
}

// hash takes the input byte by byte, with the 40 bits of key that a byte's windows cover in a register.
func (k *RSSKey) hash(input []byte) uint32 {
	var h uint32
	window := uint64(binary.BigEndian.Uint32(k[:]))
	for i, v := range input {
		window = window<<8 | uint64(k[i+4])
		for bit := range 8 {
			// All ones if the bit is set: data that an attacker chooses must not cost mispredictions.
			mask := -uint32(v >> (7 - bit) & 1)
			h ^= uint32(window>>(8-bit)) & mask
		}
	}
	return h
}

// symmetricTable holds the contribution of each value of the high and the low byte of a 16-bit word.
var symmetricTable = func() (t [2][256]uint32) {
	for v := range 256 {
		t[0][v] = SymmetricKey.hash([]byte{uint8(v)})
		t[1][v] = SymmetricKey.hash([]byte{0, uint8(v)})
	}
	return t
}()

// SymmetricHash is SymmetricKey.Hash in constant time: since that key has a period of 16 bits and the hash is
// linear, equal words cancel and the XOR of the input's words says all. It follows that there are only
// 65536 values, and that a peer can choose its own: good for picking a shard, never for a hash table.
func SymmetricHash(src, dst Addr, sport, dport uint16) uint32 {
	var x uint64
	if src.Is4() {
		x = uint64(binary.BigEndian.Uint32(src[12:]) ^ binary.BigEndian.Uint32(dst[12:]))
	} else {
		x = binary.BigEndian.Uint64(src[:]) ^ binary.BigEndian.Uint64(src[8:]) ^
			binary.BigEndian.Uint64(dst[:]) ^ binary.BigEndian.Uint64(dst[8:])
	}
	x ^= x >> 32
	w := uint16(x>>16) ^ uint16(x) ^ sport ^ dport
	return symmetricTable[0][w>>8] ^ symmetricTable[1][w&0xff]
}
