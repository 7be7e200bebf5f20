package content

import (
	"encoding/binary"
	"fmt"
)

// Pattern fills p with the bytes that belong to a name at offset off: pseudo-random, incompressible, and
// computable at any offset without what comes before. Two names differ in all of their bytes but one in 256.
//
// Byte i is byte i%8, little-endian, of SplitMix64's finalizer over seed(name) + (i/8 + 1) * 2^64/phi.
func Pattern(name string, off int64, p []byte) { fillPattern(patternSeed(name), off, p) }

// golden is 2^64 divided by the golden ratio, odd: SplitMix64's increment.
const golden = 0x9e3779b97f4a7c15

// patternSeed is FNV-1a, finalized.
func patternSeed(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(name); i++ {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return mix(h)
}

// mix is SplitMix64's finalizer (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func fillPattern(seed uint64, off int64, p []byte) {
	x := seed + uint64(off/8+1)*golden
	if skip := int(off & 7); skip != 0 {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], mix(x))
		p = p[copy(p, b[skip:]):]
		x += golden
	}
	// Four at a time: the multiplications of one do not wait for those of another.
	for len(p) >= 32 {
		q := p[:32:32]
		binary.LittleEndian.PutUint64(q[0:], mix(x))
		binary.LittleEndian.PutUint64(q[8:], mix(x+golden))
		binary.LittleEndian.PutUint64(q[16:], mix(x+2*golden&(1<<64-1)))
		binary.LittleEndian.PutUint64(q[24:], mix(x+3*golden&(1<<64-1)))
		x += 4 * golden & (1<<64 - 1)
		p = p[32:]
	}
	for len(p) > 0 {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], mix(x))
		p = p[copy(p, b[:]):]
		x += golden
	}
}

// A MismatchError says where received bytes first differ from what they should be.
type MismatchError struct {
	Name      string
	Off       int64
	Got, Want byte
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("content: %s: byte %d is %#02x, should be %#02x", e.Name, e.Off, e.Got, e.Want)
}

// firstMismatch compares equally long slices that are known to differ.
func firstMismatch(name string, off int64, got, want []byte) error {
	for i := range got {
		if got[i] != want[i] {
			return &MismatchError{Name: name, Off: off + int64(i), Got: got[i], Want: want[i]}
		}
	}
	return nil
}
