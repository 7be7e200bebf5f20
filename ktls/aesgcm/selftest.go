package aesgcm

// selfTest seals a known message in three pieces under a key of either size, and enciphers a part of it again.
// The tag depends on every byte of the ciphertext, so it alone is compared. A test computes the same tags with
// crypto/cipher.
func (p Path) selfTest() bool {
	msg, key := selfTestMessage()
	var out [len(msg)]byte
	return p.sealsKnown(key[:16], &msg, &out, knownTag128) && p.sealsKnown(key[:], &msg, &out, knownTag256)
}

func selfTestMessage() (msg [1000]byte, key [32]byte) {
	for i := range msg {
		msg[i] = byte(i * 7)
	}
	for i := range key {
		key[i] = byte(i)
	}
	return msg, key
}

var (
	knownTag128 = [TagSize]byte{0x2d, 0xbc, 0xfb, 0xcb, 0x60, 0x9c, 0xcc, 0xf, 0xdb, 0x76, 0xae, 0x3c, 0xce, 0xd5, 0x3d, 0x6}
	knownTag256 = [TagSize]byte{0xd0, 0xe5, 0xe4, 0xe7, 0x8a, 0xb0, 0x3a, 0x9b, 0xba, 0xfb, 0x10, 0x30, 0x73, 0xfc, 0x13, 0x2e}
)

func (p Path) sealsKnown(key []byte, msg, out *[1000]byte, want [TagSize]byte) bool {
	k := expand(p, key)
	nonce := [NonceSize]byte{1, 2, 3}
	var s Stream
	k.Begin(&s, &nonce, key[:5])
	for _, piece := range [][2]int{{0, 3}, {3, 700}, {700, len(msg)}} {
		k.Seal(&s, out[piece[0]:piece[1]], msg[piece[0]:piece[1]])
	}
	var tag [TagSize]byte
	k.Tag(&s, &tag)
	var again [900]byte
	k.XORAt(&nonce, 77, again[:], msg[77:977])
	return tag == want && again == [900]byte(out[77:977])
}
