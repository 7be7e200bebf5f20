package main

import "testing"

func TestOpenFiles(t *testing.T) {
	for limit, want := range map[uint64]int{0: 64, 256: 85, 1024: 341, 20000: 6666, 1 << 63: 16384} {
		if got := openFiles(limit); got != want {
			t.Errorf("of %d descriptors: %d, want %d", limit, got, want)
		}
	}
}
