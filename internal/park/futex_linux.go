package park

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const haveFutex = true

// Operations of futex(2) on memory that no other process shares (linux/futex.h).
const (
	futexWaitPrivate = 0 | 128
	futexWakePrivate = 1 | 128
)

// futexWait sleeps while *word is value, for at most d; negative: for as long as it takes.
func futexWait(word *atomic.Uint32, value uint32, d time.Duration) {
	var ts *unix.Timespec
	if d >= 0 {
		t := unix.NsecToTimespec(int64(d))
		ts = &t
	}
	// Every failure (EAGAIN, EINTR, ETIMEDOUT) is an end of the sleep.
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWaitPrivate, uintptr(value), uintptr(unsafe.Pointer(ts)), 0, 0) //nolint:errcheck // see above
}

// futexWake wakes who sleeps on word.
func futexWake(word *atomic.Uint32) {
	unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWakePrivate, 1, 0, 0, 0) //nolint:errcheck // does not fail
}
