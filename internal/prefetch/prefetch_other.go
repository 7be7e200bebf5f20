//go:build !amd64 && !arm64

package prefetch

import "unsafe"

// Pair does nothing on this processor.
func Pair(unsafe.Pointer) {}

// Range does nothing on this processor.
func Range(unsafe.Pointer, uintptr) {}
