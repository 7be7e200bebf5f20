package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestDefaultCache(t *testing.T) {
	for total, want := range map[int64]size{0: 256 << 20, 512 << 20: 256 << 20, 8 << 30: 2 << 30, 10<<30 + 4321: 2560 << 20} {
		if got := defaultCache(total); got != want {
			t.Errorf("%d bytes of memory: got %s, want %s", total, got, want)
		}
	}
	for total, want := range map[int64]size{0: 64 << 20, 8 << 30: 1 << 30} {
		if got := defaultMemory(total); got != want {
			t.Errorf("%d bytes of memory, for connections: got %s, want %s", total, got, want)
		}
	}
	var again size
	if err := again.UnmarshalText([]byte(defaultCache(memoryTotal()).String())); err != nil {
		t.Errorf("the default does not parse: %v", err)
	}
}

func TestGroupLimit(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"a/memory.max": "1000\n", "a/b/memory.max": "max\n", "c/memory.max": "7000\n", "c/d/memory.max": "9000\n"} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for own, want := range map[string]int64{
		"0::/a/b\n": 1000, "0::/c/d\n": 7000, "0::/\n": math.MaxInt64, "": math.MaxInt64, "1:cpu:/a\n": math.MaxInt64, "1:cpu:/x\n0::/a\n": 1000,
	} {
		if got := groupLimit(root, []byte(own)); got != want {
			t.Errorf("%q: got %d, want %d", own, got, want)
		}
	}
}
