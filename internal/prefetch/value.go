package prefetch

import "unsafe"

// Value asks for the first n bytes of what an interface value, the one that iface points to, holds a pointer to.
func Value[I any](iface *I, n uintptr) {
	type words struct{ kind, data unsafe.Pointer }
	Range((*words)(unsafe.Pointer(iface)).data, n)
}
