//go:build amd64 || arm64

package prefetch

import "unsafe"

// Pair asks for the two cache lines from p on. Any p will do, also nil: nothing is read.
//
//go:noescape
func Pair(p unsafe.Pointer)

// Range asks for the cache lines of the n bytes from p on, at least for the first.
//
//go:noescape
func Range(p unsafe.Pointer, n uintptr)
