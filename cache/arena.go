package cache

import (
	"fmt"
	"sync"
	"unsafe"
)

const (
	// arenaBytes is mapped at a time: large enough for huge pages, small enough that a large budget costs
	// nothing before it is needed.
	arenaBytes = 64 << 20
	// chunkBytes is handed to a shard at a time: one huge page, so that shards do not share one.
	chunkBytes = 2 << 20
)

// An arena maps page memory outside the Go heap, so that the collector neither scans nor moves it, nor counts it
// when it decides when to run.
type arena struct {
	mu     sync.Mutex
	chunk  int      // bytes handed out at a time, a multiple of the page size
	limit  int64    // bytes that may be mapped in all
	mapped int64    // bytes mapped so far
	free   []byte   // the rest of the newest mapping
	maps   [][]byte // all mappings
}

func (a *arena) init(pageSize int, limit int64) {
	a.chunk = max(pageSize, chunkBytes)
	a.limit = limit
}

// take returns the memory for up to n pages of the given size, at least one. Only the whole budget being handed
// out, which the shards' capacities exclude, or the kernel refusing the memory makes it fail.
func (a *arena) take(n, pageSize int) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	want := min(n*pageSize, a.chunk)
	if len(a.free) < want {
		if err := a.grow(int64(want)); err != nil {
			return nil, err
		}
	}
	b := a.free[:want:want]
	a.free = a.free[want:]
	return b, nil
}

// grow maps more. What is left of the previous mapping is less than a chunk; it is wasted only in address space,
// since its memory was never touched.
func (a *arena) grow(want int64) error {
	size := max(want, min(arenaBytes, a.limit-a.mapped))
	b, err := mapMemory(int(size + chunkBytes))
	if err != nil {
		return fmt.Errorf("cache: cannot map %d MiB for pages: %w", size>>20, err)
	}
	a.mapped += size
	a.maps = append(a.maps, b)
	// Chunks begin where a huge page can. The margin before and after is never touched.
	skip := -uintptr(unsafe.Pointer(&b[0])) & (chunkBytes - 1)
	a.free = b[skip : int64(skip)+size]
	return nil
}

func (a *arena) bytes() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mapped
}

func (a *arena) unmap() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, b := range a.maps {
		unmapMemory(b)
	}
	a.maps, a.free, a.mapped = nil, nil, 0
}
