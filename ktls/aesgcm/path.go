package aesgcm

import "slices"

// A Path is one implementation of the engine.
type Path uint8

const (
	PathAESNI   Path = 1 + iota // AES-NI and PCLMULQDQ in their AVX forms, 128 bits
	PathVAES256                 // VAES and VPCLMULQDQ on AVX2, 256 bits
	PathVAES512                 // VAES and VPCLMULQDQ on AVX-512 (F, BW), 512 bits
)

func (p Path) String() string {
	switch p {
	case PathAESNI:
		return "aesni"
	case PathVAES256:
		return "vaes-avx2"
	case PathVAES512:
		return "vaes-avx512"
	}
	return "none"
}

// paths are those this CPU runs, and which passed the self-test, fastest first.
var paths = probe()

// Paths lists what this CPU can run, fastest first. None: callers fall back to crypto/cipher on whole records.
func Paths() []Path { return slices.Clone(paths) }

// Available reports whether there is any path.
func Available() bool { return len(paths) > 0 }

func (p Path) available() bool { return slices.Contains(paths, p) }

func probe() []Path {
	return slices.DeleteFunc(detect(), func(p Path) bool { return !p.selfTest() })
}

// lanes is how many blocks a vector holds.
func (p Path) lanes() int { return 1 << (p - PathAESNI) }

// group is how many bytes the bulk loop does at a time, as _asm/main.go says.
func (p Path) group() int { return p.powers() / 2 * BlockSize }

// powers is how many blocks are hashed before the sum is reduced: two groups.
func (p Path) powers() int {
	if p == PathAESNI {
		return 16
	}
	return 32
}
