package aesgcm

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"errors"
	"testing"
	"unsafe"
)

// keystream is the counter mode of SP 800-38D 6.5, block by block.
func keystream(t *testing.T, key []byte, nonce *[NonceSize]byte, at int64, n int) []byte {
	t.Helper()
	c, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	var out, block []byte
	for b := at / BlockSize; len(out) < n+BlockSize; b++ {
		block = binary.BigEndian.AppendUint32(append(block[:0], nonce[:]...), uint32(b+2))
		c.Encrypt(block, block)
		out = append(out, block...)
	}
	return out[at%BlockSize:][:n]
}

// An idle connection keeps a Key and a Stream or two.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(Key{}); n != 1010 {
		t.Errorf("a Key has %d bytes; its doc says 1010", n)
	}
	if n := unsafe.Sizeof(Stream{}); n != 64 {
		t.Errorf("a Stream has %d bytes; its doc says 64", n)
	}
}

func TestNoAllocations(t *testing.T) {
	eachPath(t, func(t *testing.T, p Path) {
		k := mustKey(t, p, noise(1, 16))
		buf, aad := noise(2, 3000), noise(3, 13)
		n := testing.AllocsPerRun(100, func() {
			var s Stream
			var nonce [NonceSize]byte
			var tag [TagSize]byte
			k.Begin(&s, &nonce, aad)
			k.Seal(&s, buf[:1001], buf[:1001])
			k.Seal(&s, buf[1001:], buf[1001:])
			k.Tag(&s, &tag)
			k.XORAt(&nonce, 77, buf[:1448], buf[:1448])
		})
		if n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// A Key may be shared by streams that take turns, and a Stream be used again.
func TestStreamsDoNotMeet(t *testing.T) {
	eachPath(t, func(t *testing.T, p Path) {
		key, msg := noise(1, 16), noise(2, 2000)
		k, gcm := mustKey(t, p, key), mustGCM(t, key)
		var s [2]Stream
		for round := range byte(3) {
			var out [2][]byte
			for i := range s {
				out[i] = make([]byte, len(msg)+TagSize)
				k.Begin(&s[i], &[NonceSize]byte{round, byte(i)}, nil)
			}
			for at := 0; at < len(msg); at += 50 {
				for i := range s {
					k.Seal(&s[i], out[i][at:at+50], msg[at:at+50])
				}
			}
			for i := range s {
				if got := s[i].Len(); got != int64(len(msg)) {
					t.Errorf("Len %d, want %d", got, len(msg))
				}
				k.Tag(&s[i], (*[TagSize]byte)(out[i][len(msg):]))
				nonce := [NonceSize]byte{round, byte(i)}
				wantBytes(t, "stream", out[i], gcm.Seal(nil, nonce[:], msg, nil))
			}
		}
	})
}

func TestWipe(t *testing.T) {
	eachPath(t, func(t *testing.T, p Path) {
		k, buf := mustKey(t, p, noise(1, 16)), make([]byte, 32)
		var s Stream
		var nonce [NonceSize]byte
		k.Begin(&s, &nonce, nil)
		k.Wipe()
		if *k != (Key{path: p}) {
			t.Error("something of the key is left")
		}
		wantPanic(t, "Begin", func() { k.Begin(&s, &nonce, nil) })
		wantPanic(t, "Seal", func() { k.Seal(&s, buf, buf) })
		wantPanic(t, "Tag", func() { k.Tag(&s, new([TagSize]byte)) })
		wantPanic(t, "XORAt", func() { k.XORAt(&nonce, 0, buf, buf) })
	})
}

func TestMisuse(t *testing.T) {
	eachPath(t, func(t *testing.T, p Path) {
		k, buf := mustKey(t, p, noise(1, 16)), make([]byte, 64)
		var s Stream
		var nonce [NonceSize]byte
		wantPanic(t, "Seal before Begin", func() { k.Seal(&s, buf, buf) })
		k.Begin(&s, &nonce, nil)
		wantPanic(t, "dst too short", func() { k.Seal(&s, buf[:15], buf[:16]) })
		wantPanic(t, "dst behind src", func() { k.Seal(&s, buf[1:33], buf[:32]) })
		wantPanic(t, "dst before src", func() { k.Seal(&s, buf[:32], buf[31:63]) })
		if s.Len() != 0 {
			t.Errorf("what was refused counts %d bytes", s.Len())
		}
		k.Seal(&s, buf[:32], buf[32:])
		k.Tag(&s, new([TagSize]byte))
		wantPanic(t, "Seal after Tag", func() { k.Seal(&s, buf, buf) })
		wantPanic(t, "Tag after Tag", func() { k.Tag(&s, new([TagSize]byte)) })
	})
}

// SP 800-38D 5.2.1.1: a plaintext has at most 2^39-256 bits.
func TestMessageLimit(t *testing.T) {
	eachPath(t, func(t *testing.T, p Path) {
		k, buf := mustKey(t, p, noise(1, 16)), make([]byte, 64)
		var nonce [NonceSize]byte
		s := Stream{live: true, n: 1<<36 - 32 - 64}
		k.Seal(&s, buf, buf)
		wantPanic(t, "Seal", func() { k.Seal(&s, buf[:1], buf[:1]) })
		k.XORAt(&nonce, 1<<36-32-64, buf, buf)
		wantPanic(t, "XORAt", func() { k.XORAt(&nonce, 1<<36-32-63, buf, buf) })
		wantPanic(t, "XORAt before the message", func() { k.XORAt(&nonce, -1, buf, buf) })
	})
}

func TestNewRefuses(t *testing.T) {
	if _, err := NewPath(0, make([]byte, 16)); !errors.Is(err, ErrNoEngine) {
		t.Errorf("no path: %v, want ErrNoEngine", err)
	}
	if !Available() {
		if _, err := New(make([]byte, 16)); !errors.Is(err, ErrNoEngine) {
			t.Errorf("no engine: %v, want ErrNoEngine", err)
		}
		return
	}
	for _, n := range []int{0, 15, 17, 24, 33} {
		if _, err := New(make([]byte, n)); err == nil {
			t.Errorf("a key of %d bytes is taken", n)
		}
	}
	k, err := New(make([]byte, 16))
	if err != nil || k.Path() != Paths()[0] {
		t.Errorf("New: %v, path %v, want %v", err, k.Path(), Paths()[0])
	}
}

// The tags that the self-test compares with are crypto/cipher's, and it can fail.
func TestSelfTest(t *testing.T) {
	msg, key := selfTestMessage()
	nonce := [NonceSize]byte{1, 2, 3}
	for _, v := range []struct {
		key, tag []byte
	}{{key[:16], knownTag128[:]}, {key[:], knownTag256[:]}} {
		out := mustGCM(t, v.key).Seal(nil, nonce[:], msg[:], key[:5])
		wantBytes(t, "tag", out[len(msg):], v.tag)
	}
	eachPath(t, func(t *testing.T, p Path) {
		msg[500] ^= 1
		var out [len(msg)]byte
		if p.sealsKnown(key[:16], &msg, &out, knownTag128) {
			t.Error("another message passes")
		}
		msg[500] ^= 1
		if !p.sealsKnown(key[:16], &msg, &out, knownTag128) || bytes.Equal(out[:], msg[:]) {
			t.Error("the known message does not pass")
		}
	})
}

func wantPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}
