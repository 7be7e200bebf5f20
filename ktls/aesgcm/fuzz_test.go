package aesgcm

import (
	"bytes"
	"testing"
)

// FuzzSeal seals a message in pieces, of lengths drawn from cuts, on every path, apart and in place, and compares
// with crypto/cipher.
func FuzzSeal(f *testing.F) {
	f.Add(uint64(1), false, 0, 0, []byte{})
	f.Add(uint64(2), true, 1, 5, []byte{1})
	f.Add(uint64(3), false, 16384, 5, []byte{181, 181, 3, 0, 255})
	f.Add(uint64(4), true, 70001, 13, []byte{16, 32, 1, 15, 200})
	f.Fuzz(func(t *testing.T, seed uint64, long bool, n, aadLen int, cuts []byte) {
		key, nonce := noise(seed, 16), [NonceSize]byte(noise(seed+1, NonceSize))
		if long {
			key = noise(seed, 32)
		}
		msg, aad := noise(seed+2, int(uint(n)%72_000)), noise(seed+3, int(uint(aadLen)%64))
		want := mustGCM(t, key).Seal(nil, nonce[:], msg, aad)
		for _, p := range Paths() {
			k, i := mustKey(t, p, key), 0
			next := func(left int) int {
				if i++; i > len(cuts) {
					return left
				}
				return min(int(cuts[i-1])*8+i%8, left)
			}
			wantBytes(t, p.String(), sealedIn(k, &nonce, aad, msg, next), want)
		}
	})
}

// FuzzXORAt enciphers any part of a message and compares with what crypto/cipher sealed.
func FuzzXORAt(f *testing.F) {
	f.Add(uint64(1), false, 0, 0, 0)
	f.Add(uint64(2), true, 16384, 5, 1448)
	f.Add(uint64(3), false, 40000, 4095, 30001)
	f.Fuzz(func(t *testing.T, seed uint64, long bool, n, at, length int) {
		key, nonce := noise(seed, 16), [NonceSize]byte(noise(seed+1, NonceSize))
		if long {
			key = noise(seed, 32)
		}
		msg := noise(seed+2, int(uint(n)%72_000))
		at = int(uint(at) % uint(len(msg)+1))
		length = int(uint(length) % uint(len(msg)-at+1))
		want := mustGCM(t, key).Seal(nil, nonce[:], msg, nil)[at : at+length]
		for _, p := range Paths() {
			k, got := mustKey(t, p, key), bytes.Clone(msg)
			k.XORAt(&nonce, int64(at), got[at:at+length], got[at:at+length])
			wantBytes(t, p.String(), got[at:at+length], want)
			wantBytes(t, "before", got[:at], msg[:at])
			wantBytes(t, "behind", got[at+length:], msg[at+length:])
		}
	})
}
