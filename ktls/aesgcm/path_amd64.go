package aesgcm

import "github.com/klauspost/cpuid/v2"

// detect lists the paths that CPU and operating system have, fastest first.
func detect() (found []Path) {
	cpu := &cpuid.CPU
	if !cpu.Supports(cpuid.AESNI, cpuid.CLMUL, cpuid.SSSE3, cpuid.AVX) {
		return nil
	}
	if cpu.Supports(cpuid.VAES, cpuid.VPCLMULQDQ, cpuid.AVX2) {
		if cpu.Supports(cpuid.AVX512F, cpuid.AVX512BW) {
			found = append(found, PathVAES512)
		}
		found = append(found, PathVAES256)
	}
	return append(found, PathAESNI)
}

// seal enciphers and hashes n bytes, whole blocks.
func (k *Key) seal(hash, ctr *[16]byte, dst, src *byte, n int) {
	switch k.path {
	case PathAESNI:
		sealAESNI(&k.keys, int(k.rounds), &k.table[0], hash, ctr, dst, src, n)
	case PathVAES256:
		sealVAES256(&k.keys, int(k.rounds), &k.table[0], hash, ctr, dst, src, n)
	case PathVAES512:
		sealVAES512(&k.keys, int(k.rounds), &k.table[0], hash, ctr, dst, src, n)
	}
}

// xor enciphers n bytes, whole blocks.
func (k *Key) xor(ctr *[16]byte, dst, src *byte, n int) {
	switch k.path {
	case PathAESNI:
		xorAESNI(&k.keys, int(k.rounds), ctr, dst, src, n)
	case PathVAES256:
		xorVAES256(&k.keys, int(k.rounds), ctr, dst, src, n)
	case PathVAES512:
		xorVAES512(&k.keys, int(k.rounds), ctr, dst, src, n)
	}
}
