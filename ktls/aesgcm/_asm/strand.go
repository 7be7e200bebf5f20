package main

// A strand is a run of instructions in their order, to be emitted among others.
type strand []func()

func (s strand) emit() {
	for _, f := range s {
		f()
	}
}

// share is the i-th of n equal parts, from 1.
func (s strand) share(i, n int) strand {
	return s[len(s)*(i-1)/n : len(s)*i/n]
}
