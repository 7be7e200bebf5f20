package main

// A strand is a run of instructions in their order, to be emitted among others.
type strand []func()

func (s strand) emit() {
	for _, f := range s {
		f()
	}
}

// split is s in n parts, as equal as they can be.
func (s strand) split(n int) (parts []strand) {
	for i := range n {
		parts = append(parts, s[len(s)*i/n:len(s)*(i+1)/n])
	}
	return parts
}
