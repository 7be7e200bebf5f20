//go:build !linux

package cache

// Elsewhere page memory is ordinary memory: large blocks without pointers, which the collector does not scan.
func mapMemory(n int) ([]byte, error) { return make([]byte, n), nil }

func unmapMemory([]byte) {}
