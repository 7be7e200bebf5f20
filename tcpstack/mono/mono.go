// Package mono is the time of the packet path: nanoseconds on a monotonic clock, passed as an argument.
//
// Only the shard loop, the load generator and the commands call [Now]; everything below them takes `now`
// as its first parameter, so that the whole stack runs on a virtual clock in tests.
package mono

import (
	"math"
	"time"
)

// A Time is an instant in nanoseconds since an arbitrary epoch of this process. Zero means "not set".
type Time int64

// Never is later than every instant: the deadline of a timer that is not running.
const Never Time = math.MaxInt64

// epochOffset keeps every clock reading well above zero, so that "an hour ago" is still a valid Time.
const epochOffset = Time(24 * time.Hour)

var start = time.Now()

// Now reads the monotonic clock.
func Now() Time { return epochOffset + Time(time.Since(start)) }

// Add returns the instant d after t; Never stays Never.
func (t Time) Add(d time.Duration) Time {
	if t == Never {
		return Never
	}
	return t + Time(d)
}

// Sub returns the time from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Before reports whether t is earlier than u.
func (t Time) Before(u Time) bool { return t < u }

// After reports whether t is later than u.
func (t Time) After(u Time) bool { return t > u }

// IsSet reports whether t holds an instant.
func (t Time) IsSet() bool { return t != 0 }
