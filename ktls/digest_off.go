//go:build !ocaserve_debug

package ktls

// digest is nothing here: see digest_on.go.
type digest struct{}

func (digest) take(plaintext)          {}
func (digest) check(plaintext, uint64) {}
