package aesgcm

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"math/rand/v2"
	"testing"
)

// eachPath runs f for every path of this CPU.
func eachPath(t *testing.T, f func(t *testing.T, p Path)) {
	t.Helper()
	if !Available() {
		t.Skip("this CPU has no engine")
	}
	for _, p := range Paths() {
		t.Run(p.String(), func(t *testing.T) { f(t, p) })
	}
}

func mustKey(t testing.TB, p Path, key []byte) *Key {
	t.Helper()
	k, err := NewPath(p, key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustGCM(t testing.TB, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return gcm
}

// noise is n bytes that depend on seed alone.
func noise(seed uint64, n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	b := make([]byte, n)
	r.Read(b)
	return b
}

// sealed is the message sealed in one piece by k: ciphertext and tag.
func sealed(k *Key, nonce *[NonceSize]byte, aad, msg []byte) []byte {
	return sealedIn(k, nonce, aad, msg, func(left int) int { return left })
}

// sealedIn seals in pieces of the lengths that next says.
func sealedIn(k *Key, nonce *[NonceSize]byte, aad, msg []byte, next func(left int) int) []byte {
	out := make([]byte, len(msg)+TagSize)
	var s Stream
	k.Begin(&s, nonce, aad)
	for at := 0; at < len(msg); {
		n := next(len(msg) - at)
		k.Seal(&s, out[at:at+n], msg[at:at+n])
		at += n
	}
	k.Tag(&s, (*[TagSize]byte)(out[len(msg):]))
	return out
}

func wantBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	t.Fatalf("%s: %d bytes, want %d; they differ at %d", what, len(got), len(want), at)
}
