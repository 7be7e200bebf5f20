package congestion

import (
	"math"
	"math/bits"
)

// infinite bounds nothing.
const infinite = math.MaxInt64

// huge is the most that mulDiv makes: two of them still have a sum.
const huge = 1 << 60

// mulDiv is a*b/c without overflow in between, rounded down, at most huge. Negative factors count as 0; c
// is more than 0.
func mulDiv(a, b, c int64) int64 {
	hi, lo := bits.Mul64(uint64(max(a, 0)), uint64(max(b, 0)))
	if hi >= uint64(c) {
		return huge
	}
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(min(q, huge))
}
