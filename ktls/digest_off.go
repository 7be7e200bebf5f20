//go:build !ocaserve_debug

package ktls

// digest is nothing here: see digest_on.go.
type digest struct{}

// digesting says whether digests are more than nothing.
const digesting = false

func (digest) take(plaintext)          {}
func (digest) check(plaintext, uint64) {}
