package aesgcm

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"strings"
	"testing"
)

// The test cases of McGrew and Viega, The Galois/Counter Mode of Operation, appendix B, which have a 96-bit nonce
// and a key of 128 or 256 bits: key, nonce, aad, msg, ciphertext, tag.
var mcgrewViega = [][6]string{
	{ // 1
		"00000000000000000000000000000000", "000000000000000000000000", "", "", "",
		"58e2fccefa7e3061367f1d57a4e7455a",
	},
	{ // 2
		"00000000000000000000000000000000", "000000000000000000000000", "",
		"00000000000000000000000000000000",
		"0388dace60b6a392f328c2b971b2fe78",
		"ab6e47d42cec13bdf53a67b21257bddf",
	},
	{ // 3
		"feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", "",
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
		"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
		"4d5c2af327cd64a62cf35abd2ba6fab4",
	},
	{ // 4
		"feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
		"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
		"5bc94fbc3221a5db94fae95ae7121a47",
	},
	{ // 13
		"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "", "",
		"530f8afbc74536b9a963b4f1c4cb738b",
	},
	{ // 14
		"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
		"00000000000000000000000000000000",
		"cea7403d4d606b6e074ec5d3baf39d18",
		"d0d1c8a799996bf0265b98b5d48ab919",
	},
	{ // 15
		"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", "",
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
		"b094dac5d93471bdec1a502270e3cc6c",
	},
	{ // 16
		"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
		"76fc6ece0f4e1768cddf8853bb2d551b",
	},
}

func TestMcGrewViega(t *testing.T) {
	eachPath(t, func(t *testing.T, p Path) {
		for _, v := range mcgrewViega {
			got := sealHex(t, p, v[0], v[1], v[2], v[3])
			wantBytes(t, v[0]+" "+v[1], got, unhex(t, v[4]+v[5]))
		}
	})
}

//go:embed testdata/wycheproof_aes_gcm.txt
var wycheproof string

// A vector that is invalid has a wrong tag, or a wrong ciphertext: sealing must not arrive at the same.
func TestWycheproof(t *testing.T) {
	eachPath(t, func(t *testing.T, p Path) {
		valid, invalid := 0, 0
		for line := range strings.Lines(wycheproof) {
			if line[0] == '#' {
				continue
			}
			f := strings.Fields(line)
			for i := range f {
				f[i] = strings.TrimPrefix(f[i], "-")
			}
			got, want := sealHex(t, p, f[2], f[3], f[4], f[5]), unhex(t, f[6]+f[7])
			if f[1] == "valid" {
				valid++
				wantBytes(t, "vector "+f[0], got, want)
			} else if invalid++; bytes.Equal(got, want) {
				t.Errorf("vector %s: sealed to what is invalid", f[0])
			}
		}
		if valid != 79 || invalid != 54 {
			t.Errorf("%d valid and %d invalid vectors, want 79 and 54", valid, invalid)
		}
	})
}

func sealHex(t *testing.T, p Path, key, nonce, aad, msg string) []byte {
	t.Helper()
	k, n := mustKey(t, p, unhex(t, key)), [NonceSize]byte(unhex(t, nonce))
	return sealed(k, &n, unhex(t, aad), unhex(t, msg))
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
