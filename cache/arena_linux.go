package cache

import "syscall"

// mapMemory maps n bytes of zeroes. Huge pages are a wish: where the kernel has none, small ones do.
func mapMemory(n int) ([]byte, error) {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return nil, err
	}
	_ = syscall.Madvise(b, syscall.MADV_HUGEPAGE)
	// A core dump or a fork has no use for cached file content.
	_ = syscall.Madvise(b, 16 /* MADV_DONTDUMP */)
	return b, nil
}

func unmapMemory(b []byte) { _ = syscall.Munmap(b) }
