package aesgcm

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

const record = 16 << 10

// A sealer seals one record, in pieces of the given length.
type sealer func(dst, src []byte, piece int)

// sealers are all paths and, to compare, crypto/cipher, which has no pieces: its figure is the whole record's.
func sealers(b *testing.B, size int) map[string]sealer {
	key, nonce, aad := noise(1, size), [NonceSize]byte(noise(2, 12)), noise(3, 5)
	gcm := mustGCM(b, key)
	all := map[string]sealer{
		"std": func(dst, src []byte, _ int) { gcm.Seal(dst[:0], nonce[:], src, aad) },
	}
	for _, p := range Paths() {
		k := mustKey(b, p, key)
		all[p.String()] = func(dst, src []byte, piece int) {
			var s Stream
			k.Begin(&s, &nonce, aad)
			for at := 0; at < len(src); at += piece {
				end := min(at+piece, len(src))
				k.Seal(&s, dst[at:end], src[at:end])
			}
			k.Tag(&s, (*[TagSize]byte)(dst[len(src):]))
		}
	}
	return all
}

// BenchmarkSeal seals records of 16 KiB: one that stays in the cache, and ones from cold memory into one buffer;
// whole, and in pieces as segments take them. It takes turns between crypto/cipher and each path, eight records at
// a time, so that a noisy machine is noisy to all, and reports the median time of a record and how many times
// faster than crypto/cipher that is.
func BenchmarkSeal(b *testing.B) {
	region := make([]byte, 512<<20)
	for i := range region {
		region[i] = byte(i)
	}
	for _, size := range []int{16, 32} {
		all := sealers(b, size)
		for _, piece := range []int{record, 1448} {
			for name, span := range map[string]int{"hot": record, "cold": len(region)} {
				b.Run(fmt.Sprintf("aes%d/%s/%d", 8*size, name, piece), func(b *testing.B) {
					benchmarkSeal(b, all, region[:span], piece)
				})
			}
		}
	}
}

func benchmarkSeal(b *testing.B, all map[string]sealer, region []byte, piece int) {
	const turn = 8
	dst, at := make([]byte, record+TagSize), 0
	took := map[string][]float64{}
	for b.Loop() {
		for name, seal := range all {
			start := time.Now()
			for range turn {
				seal(dst, region[at:at+record], piece)
				at = (at + record) % len(region)
			}
			took[name] = append(took[name], float64(time.Since(start).Nanoseconds())/turn)
		}
	}
	median := map[string]float64{}
	for name, t := range took {
		slices.Sort(t)
		median[name] = t[len(t)/2]
	}
	for name := range all {
		b.ReportMetric(median[name], name+"-ns")
		b.ReportMetric(median["std"]/median[name], name+"-x")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkXORAt enciphers one segment again, and, to compare, a whole record.
func BenchmarkXORAt(b *testing.B) {
	for _, p := range Paths() {
		for _, n := range []int{1448, record} {
			b.Run(fmt.Sprintf("%v/%d", p, n), func(b *testing.B) {
				k, nonce, buf := mustKey(b, p, noise(1, 16)), [NonceSize]byte(noise(2, 12)), noise(4, n)
				b.SetBytes(int64(n))
				for b.Loop() {
					k.XORAt(&nonce, 1448*3, buf, buf)
				}
			})
		}
	}
}

// BenchmarkNew expands a key.
func BenchmarkNew(b *testing.B) {
	key := noise(1, 16)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(key); err != nil {
			b.Skip(err)
		}
	}
}
