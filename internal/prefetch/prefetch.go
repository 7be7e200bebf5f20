//go:build amd64 || arm64

package prefetch

import "unsafe"

// Pair asks for the two cache lines from p on. Any p will do, also nil: nothing is read.
//
//go:noescape
func Pair(p unsafe.Pointer)
