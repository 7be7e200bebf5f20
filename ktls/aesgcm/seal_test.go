package aesgcm

import "testing"

// Every length to three groups of the widest path and some longer ones, in one piece.
func TestSealLengths(t *testing.T) {
	eachPath(t, func(t *testing.T, p Path) {
		for _, size := range []int{16, 32} {
			key, nonce, aad := noise(1, size), [NonceSize]byte(noise(2, 12)), noise(3, 13)
			k, gcm := mustKey(t, p, key), mustGCM(t, key)
			msg := noise(4, 70<<10)
			for n := 0; n <= len(msg); n += 1 + n/800*501 {
				a := aad[:n%14]
				wantBytes(t, "sealed", sealed(k, &nonce, a, msg[:n]), gcm.Seal(nil, nonce[:], msg[:n], a))
			}
		}
	})
}
