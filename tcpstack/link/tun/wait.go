package tun

import (
	"encoding/binary"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"

	"ocaserve/tcpstack/mono"
)

// Wait sleeps in ppoll until a packet is waiting, there is room after a short Transmit, Wake, Close
// (net.ErrClosed), or the deadline.
func (d *Device) Wait(until mono.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sleeping.Store(true)
	defer d.sleeping.Store(false)
	for {
		// sleeping is published before woken is read, and Wake does it the other way round: either it
		// is seen here, or Wake sees a sleeper and writes the eventfd.
		if d.woken.Swap(false) {
			return nil
		}
		if d.fd < 0 || d.tun.closed.Load() {
			return net.ErrClosed
		}
		done, err := d.pollOnce(until)
		if done || err != nil {
			return err
		}
	}
}

// pollOnce sleeps once and reports whether there was a reason to end the wait.
func (d *Device) pollOnce(until mono.Time) (done bool, err error) {
	var ts *unix.Timespec
	if until != mono.Never {
		left := max(0, until.Sub(d.tun.cfg.Clock()))
		d.timeout = unix.NsecToTimespec(int64(left))
		ts = &d.timeout
	}
	d.poll[0] = unix.PollFd{Fd: int32(d.fd), Events: unix.POLLIN}
	if d.full {
		d.poll[0].Events |= unix.POLLOUT
	}
	d.poll[1] = unix.PollFd{Fd: int32(d.wake), Events: unix.POLLIN}
	n, err := unix.Ppoll(d.poll[:], ts, nil)
	switch {
	case err == unix.EINTR:
		return false, nil // the runtime's own signals; the deadline is measured anew
	case err != nil:
		return true, err
	case d.poll[1].Revents != 0:
		d.drain()
	}
	if d.poll[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
		return true, goneError(d.tun.name, unix.ENODEV)
	}
	// A wake-up is told by woken, not by the eventfd, which may still hold an old one.
	return n == 0 || d.poll[0].Revents != 0, nil
}

// drain resets the eventfd.
func (d *Device) drain() {
	unix.RawSyscall(unix.SYS_READ, uintptr(d.wake), uintptr(unsafe.Pointer(&d.drained[0])), uintptr(len(d.drained)))
}

// Wake makes the current or the next Wait return. While the owner is awake it is one atomic operation.
func (d *Device) Wake() {
	// A Wake that nobody has answered yet has written the eventfd if there was a sleeper to wake, or
	// will be seen by the next Wait before it sleeps.
	if d.woken.Swap(true) || !d.sleeping.Load() {
		return
	}
	d.ring()
}

// one is what is added to an eventfd, in the machine's byte order.
var one = binary.NativeEndian.AppendUint64(nil, 1)

// ring writes the eventfd.
func (d *Device) ring() {
	unix.RawSyscall(unix.SYS_WRITE, uintptr(d.wake), uintptr(unsafe.Pointer(&one[0])), 8)
}

// close ends the verb in progress, if any, and closes the descriptors. The interface's closed flag, if
// it is shared, is set already.
func (d *Device) close() {
	d.ring()
	d.mu.Lock()
	defer d.mu.Unlock()
	unix.Close(d.fd)
	d.fd = -1
}
