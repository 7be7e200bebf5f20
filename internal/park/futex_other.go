//go:build !linux

package park

import (
	"sync/atomic"
	"time"
)

const haveFutex = false

func futexWait(*atomic.Uint32, uint32, time.Duration) {}
func futexWake(*atomic.Uint32)                        {}
