package congestion

import (
	"math"
	"math/bits"
)

// infinite bounds nothing.
const infinite = math.MaxInt64

// mulDiv is a*b/c without overflow in between, rounded down; what does not fit is infinite. None may be
// negative, c not zero.
func mulDiv(a, b, c int64) int64 {
	hi, lo := bits.Mul64(uint64(max(a, 0)), uint64(max(b, 0)))
	if hi >= uint64(c) {
		return infinite
	}
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(min(q, infinite))
}
