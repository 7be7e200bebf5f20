package shape

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/tun"
	"ocaserve/tcpstack/mono"
)

// A Loop runs an engine on the real clock between two devices.
type Loop struct {
	Engine *Engine

	// Spin is how long before a packet is due the loop stops sleeping and busy-waits: about as long as the
	// kernel takes to wake a thread.
	Spin time.Duration

	devices [2]*tun.Device
	frames  [1]link.Frame
	one     [1]link.Frame
	piece   [1][]byte
	late    Lateness
	refused [2]uint64 // by the side that packets were for
	err     error
	stop    atomic.Bool
	poll    [2]unix.PollFd
	timeout unix.Timespec
}

// NewLoop joins two devices of the configuration's medium. They are the loop's until Run has returned.
func NewLoop(cfg Config, a, b *tun.Device) *Loop {
	l := &Loop{devices: [2]*tun.Device{a, b}, Spin: 20 * time.Microsecond}
	l.Engine = NewEngine(cfg, l.deliver)
	return l
}

// deliver writes a packet that is due.
func (l *Loop) deliver(to Side, due mono.Time, header, packet []byte) {
	if len(header) == 0 {
		l.one[0] = link.Frame{Data: packet}
	} else {
		l.piece[0] = packet
		l.one[0] = link.Frame{Data: header, Pieces: l.piece[:]}
	}
	n, err := l.devices[to].Transmit(l.one[:])
	if n == 0 {
		l.refused[to]++
	}
	l.err = errors.Join(l.err, err)
	l.late.Record(due, mono.Now())
}

// Run passes packets until ctx ends or a device fails. It keeps its thread. With realtime it asks for the
// scheduler's FIFO class for the whole process, so that whoever it measures cannot delay it; prioritized
// says that it got it.
func (l *Loop) Run(ctx context.Context, realtime bool, started func(prioritized bool)) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer context.AfterFunc(ctx, func() { l.stop.Store(true) })()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // sleeps end 50 us late without it; it only helps
	started(realtime && prioritize())
	for !l.stop.Load() && l.err == nil {
		now, err := l.take()
		if err != nil {
			return err
		}
		l.Engine.Advance(now)
		if err := l.sleep(now); err != nil {
			return err
		}
	}
	return l.err
}

// take reads a frame from each device and hands out what is due after each: to read and to cut a superframe takes long
// enough for a dozen packets to become due, and a device's queue may hold a hundred of them. The queue waits better: what
// is late to be read is stamped late, what is late to leave is an error.
func (l *Loop) take() (mono.Time, error) {
	for side, d := range l.devices {
		n, err := d.Receive(l.frames[:])
		if err != nil {
			return 0, err
		}
		if n > 0 {
			l.Engine.Put(mono.Now(), Side(side), &l.frames[0])
			l.Engine.Advance(mono.Now())
		}
	}
	return mono.Now(), nil
}

// longest bounds a sleep, so that an end is noticed even without a packet.
const longest = 50 * time.Millisecond

// sleep waits for a packet to come in, or to be nearly due.
func (l *Loop) sleep(now mono.Time) error {
	next := l.Engine.Next()
	if next <= now {
		return nil
	}
	wait := longest
	if next != mono.Never {
		wait = min(wait, next.Sub(now)-l.Spin)
	}
	if wait <= 0 {
		return nil // the caller's loop is the busy wait: it looks at both devices
	}
	for i, d := range l.devices {
		l.poll[i] = unix.PollFd{Fd: int32(d.Descriptor()), Events: unix.POLLIN}
	}
	l.timeout = unix.NsecToTimespec(int64(wait))
	// Raw: the runtime would take the thread's turn away while it sleeps and make it queue up for another.
	_, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&l.poll[0])), uintptr(len(l.poll)),
		uintptr(unsafe.Pointer(&l.timeout)), 0, 0, 0)
	if errno != 0 && errno != unix.EINTR {
		return errno
	}
	return nil
}

// prioritize puts the process into the FIFO class, just above everything ordinary, and reports whether that
// was permitted. All its threads: the runtime makes a busy goroutine change hands every 10 ms, and would
// wait for an ordinary thread to be scheduled. Threads to come inherit the class.
func prioritize() bool {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return false
	}
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: schedFIFO, Priority: 1}
	for _, t := range tasks {
		id, _ := strconv.Atoi(t.Name())
		if err := unix.SchedSetAttr(id, &attr, 0); err != nil && err != unix.ESRCH {
			return false
		}
	}
	return true
}

const schedFIFO = 1 // SCHED_FIFO of sched(7)

// Report is what a link has done.
type Report struct {
	AB       Counters        `json:"ab"`
	BA       Counters        `json:"ba"`
	Lateness LatenessSummary `json:"lateness_us"` // of packets behind their due time
}

// LatenessSummary is in microseconds.
type LatenessSummary struct {
	Packets uint64  `json:"packets"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	P999    float64 `json:"p99_9"`
	Max     float64 `json:"max"`
}

// Report sums up, once Run has returned.
func (l *Loop) Report() Report {
	r := Report{AB: l.Engine.Counters(A), BA: l.Engine.Counters(B)}
	r.AB.Refused, r.BA.Refused = l.refused[B], l.refused[A]
	us := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	r.Lateness = LatenessSummary{
		l.late.Count(), us(l.late.Quantile(.5)), us(l.late.Quantile(.99)), us(l.late.Quantile(.999)), us(l.late.Max()),
	}
	return r
}
