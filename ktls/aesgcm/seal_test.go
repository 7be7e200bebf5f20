package aesgcm

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// Every length to three groups of the widest path and some longer ones, in one piece.
func TestSealLengths(t *testing.T) {
	eachPath(t, func(t *testing.T, p Path) {
		for _, size := range []int{16, 32} {
			key, nonce, aad := noise(1, size), [NonceSize]byte(noise(2, 12)), noise(3, 40)
			k, gcm := mustKey(t, p, key), mustGCM(t, key)
			msg := noise(4, 70<<10)
			for n := 0; n <= len(msg); n += 1 + n/800*501 {
				a := aad[:n%41]
				wantBytes(t, "sealed", sealed(k, &nonce, a, msg[:n]), gcm.Seal(nil, nonce[:], msg[:n], a))
			}
		}
	})
}

// Any pieces make the same bytes: pieces of one length, of segments, and at random.
func TestSealPieces(t *testing.T) {
	eachPath(t, func(t *testing.T, p Path) {
		r := rand.New(rand.NewPCG(1, 2))
		key, nonce, aad := noise(1, 32), [NonceSize]byte(noise(2, 12)), noise(3, 5)
		k, msg := mustKey(t, p, key), noise(4, 5000)
		want := mustGCM(t, key).Seal(nil, nonce[:], msg, aad)
		for size := 1; size < 600; size++ {
			got := sealedIn(k, &nonce, aad, msg, func(left int) int { return min(size, left) })
			wantBytes(t, "equal pieces", got, want)
		}
		for range 300 {
			top := 1 + r.IntN(1500)
			got := sealedIn(k, &nonce, aad, msg, func(left int) int { return min(r.IntN(top+1), left) })
			wantBytes(t, "random pieces", got, want)
		}
	})
}

// Paths are one engine: what one sealed, all did.
func TestPathsAgree(t *testing.T) {
	if len(Paths()) < 2 {
		t.Skip("this CPU has fewer than two paths")
	}
	key, nonce, aad, msg := noise(5, 16), [NonceSize]byte(noise(6, 12)), noise(7, 13), noise(8, 16384)
	want := sealed(mustKey(t, Paths()[0], key), &nonce, aad, msg)
	for _, p := range Paths()[1:] {
		wantBytes(t, p.String(), sealed(mustKey(t, p, key), &nonce, aad, msg), want)
	}
}

// Buffers at every alignment, in place and apart; no byte around dst changes, and src only where it is dst.
func TestSealStaysInside(t *testing.T) {
	eachPath(t, func(t *testing.T, p Path) {
		key, nonce := noise(1, 16), [NonceSize]byte(noise(2, 12))
		k, gcm := mustKey(t, p, key), mustGCM(t, key)
		for at := range 40 {
			for _, n := range []int{0, 1, 15, 16, 17, 31, 48, 127, 128, 200, 256, 272, 511, 600, 1448} {
				msg := noise(uint64(at), n)
				want := gcm.Seal(nil, nonce[:], msg, nil)
				sealsInside(t, k, &nonce, msg, want, 64+at, 64+(at*7)%40)
			}
		}
	})
}

func sealsInside(t *testing.T, k *Key, nonce *[NonceSize]byte, msg, want []byte, dstAt, srcAt int) {
	t.Helper()
	var s Stream
	var tag [TagSize]byte
	n := len(msg)
	dst, src := bytes.Repeat([]byte{0xa5}, n+192), bytes.Repeat([]byte{0x5a}, n+192)
	copy(src[srcAt:], msg)
	srcBefore := bytes.Clone(src)
	dstAfter := bytes.Clone(dst)
	copy(dstAfter[dstAt:], want[:n])

	k.Begin(&s, nonce, nil)
	k.Seal(&s, dst[dstAt:], src[srcAt:srcAt+n]) // a dst that is longer than src, too
	k.Tag(&s, &tag)
	wantBytes(t, "apart", dst, dstAfter)
	wantBytes(t, "src", src, srcBefore)
	wantBytes(t, "tag", tag[:], want[n:])

	k.Begin(&s, nonce, nil)
	k.Seal(&s, src[srcAt:srcAt+n], src[srcAt:srcAt+n])
	k.Tag(&s, &tag)
	copy(srcBefore[srcAt:], want[:n])
	wantBytes(t, "in place", src, srcBefore)
	wantBytes(t, "tag in place", tag[:], want[n:])
}

// A part enciphered again is the part that was sealed, wherever it begins.
func TestXORAt(t *testing.T) {
	eachPath(t, func(t *testing.T, p Path) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, size := range []int{16, 32} {
			nonce, msg := [NonceSize]byte(noise(2, 12)), noise(4, 20000)
			k := mustKey(t, p, noise(1, size))
			want := sealed(k, &nonce, nil, msg)
			for range 2000 {
				at := r.IntN(len(msg) + 1)
				n := r.IntN(min(3000, len(msg)-at) + 1)
				got := bytes.Repeat([]byte{0xa5}, n+3)
				k.XORAt(&nonce, int64(at), got, msg[at:at+n])
				wantBytes(t, "enciphered", got[:n], want[at:at+n])
				wantBytes(t, "behind", got[n:], []byte{0xa5, 0xa5, 0xa5})
				k.XORAt(&nonce, int64(at), got[:n], got[:n])
				wantBytes(t, "in place, back", got[:n], msg[at:at+n])
			}
		}
	})
}

// Every byte and the 32 bits of the counter carry right: the blocks around each power of 256, and the last ones
// of the longest message, agree with AES itself.
func TestXORAtCounterCarries(t *testing.T) {
	eachPath(t, func(t *testing.T, p Path) {
		key, nonce := noise(1, 16), [NonceSize]byte(noise(2, 12))
		k := mustKey(t, p, key)
		for _, block := range []int64{1 << 8, 1 << 16, 1 << 24, 1<<32 - 2} {
			at := block*BlockSize - 700
			n := int(min(1400, maxMessage-at))
			got := make([]byte, n)
			k.XORAt(&nonce, at, got, make([]byte, n))
			wantBytes(t, "keystream", got, keystream(t, key, &nonce, at, n))
		}
	})
}
