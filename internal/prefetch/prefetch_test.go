package prefetch

import (
	"testing"
	"unsafe"
)

// Nothing is read: an address where there is nothing does not fault.
func TestPairOfNothing(t *testing.T) {
	Pair(nil)
	p := new([128]byte)
	Pair(unsafe.Pointer(p))
	Pair(unsafe.Pointer(&p[127]))
	Range(nil, 4096)
	Range(unsafe.Pointer(p), 0)
	Range(unsafe.Pointer(p), 1<<20)
	if n := testing.AllocsPerRun(100, func() { Pair(unsafe.Pointer(p)); Range(unsafe.Pointer(p), 128) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPair(b *testing.B) {
	p := new([128]byte)
	for b.Loop() {
		Pair(unsafe.Pointer(p))
	}
}
