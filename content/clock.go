package content

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// A clock is what the catalogue knows of time. The age of a validation is monotonic; the age of a file's stamp
// is a difference from wall time, because the stamp is wall time.
type clock struct {
	now   func() mono.Time
	wall  func() time.Time
	after func(d time.Duration, f func()) // runs f later, on another goroutine
}

// systemClock is the only place of this package that reads a clock or starts a timer.
var systemClock = clock{
	now:   mono.Now,
	wall:  time.Now,
	after: func(d time.Duration, f func()) { time.AfterFunc(d, f) },
}
