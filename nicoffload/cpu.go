package nicoffload

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A cpuClock tells how much processor time one thread has used, from its start call on, to any goroutine and
// without the thread's help.
type cpuClock struct {
	mu    sync.Mutex
	id    int32         // the thread's clock; 0: not running
	base  time.Duration // what it said at the start
	final time.Duration // what was used when the thread ended
}

// threadClock is the clock of thread tid of this process: the complement of its number, and the bits that say
// "one thread" and "time as the scheduler counts it" (linux/posix-timers.h).
func threadClock(tid int) int32 { return int32(^tid<<3 | 4 | 2) }

// start begins to count for the calling thread, which must be locked to its goroutine.
func (c *cpuClock) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.id = threadClock(unix.Gettid())
	c.base = readClock(c.id)
}

// stop ends counting; the thread may do other things afterwards.
func (c *cpuClock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.final = readClock(c.id) - c.base
	c.id = 0
}

func (c *cpuClock) used() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.id == 0 {
		return c.final
	}
	return readClock(c.id) - c.base
}

func readClock(id int32) time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(id, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// CPU is the processor time that the adapter's threads have used: what the adapter's own silicon would do on a
// real one. It may be called at any time, from any goroutine, also after Close.
func (i *Interface) CPU() time.Duration {
	var sum time.Duration
	for _, d := range i.devices {
		sum += d.nic.cpu.used()
	}
	return sum
}
