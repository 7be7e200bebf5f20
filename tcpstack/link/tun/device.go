package tun

import (
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"ocaserve/tcpstack/link"
)

const (
	// A batch of received packets lies densely in one buffer, so that a burst of ACKs stays in a few
	// cache lines: each is read behind the one before, as long as a largest packet would still fit.
	receiveBuffer = 4 * (maxPacket + 1)
	receiveBatch  = 64 // packets per Receive at most: a bound on how long the owner is away
	frameAlign    = 16

	maxIovec = 1024 // UIO_MAXIOV
)

// A Device is one queue of the interface. It implements link.Device.
type Device struct {
	tun *Interface

	// mu is held by each verb for as long as it uses the descriptors; Close takes it to know that none
	// does. Nobody else contends, so that it costs two atomic operations per batch.
	mu   sync.Mutex
	fd   int // the queue; -1: closed
	wake int // the eventfd; outlives Close

	in      []byte
	inVnet  [vnetLen]byte
	outVnet [vnetLen]byte
	iov     []unix.Iovec // grows to the most pieces a frame had, at most maxIovec
	inIov   [2]unix.Iovec
	flat    []byte // for a frame of more pieces than writev takes; made when first needed

	full     bool // the last Transmit was short
	poll     [2]unix.PollFd
	timeout  unix.Timespec
	drained  [8]byte     // where the eventfd is read into
	woken    atomic.Bool // Wake was called and no Wait has answered it yet
	sleeping atomic.Bool // the owner is in, or about to enter, ppoll

	stats counters
}

// Stats counts what the kernel or this package refused. All else is in the interface's own counters.
type Stats struct {
	RxBad     uint64 // packets received that we cannot use: truncated, or of a kind we did not offer to take
	TxBad     uint64 // frames against the rules of their own headers; not sent
	TxRefused uint64 // frames the kernel did not take: interface down, no memory; lost
}

type counters struct{ rxBad, txBad, txRefused atomic.Uint64 }

// Stats sums the counters of all queues.
func (t *Interface) Stats() (s Stats) {
	for _, d := range t.queues {
		s.RxBad += d.stats.rxBad.Load()
		s.TxBad += d.stats.txBad.Load()
		s.TxRefused += d.stats.txRefused.Load()
	}
	return s
}

func newDevice(t *Interface, fd, wake int) *Device {
	d := &Device{
		tun: t, fd: fd, wake: wake,
		in:  make([]byte, receiveBuffer),
		iov: make([]unix.Iovec, 64),
	}
	d.inIov[0].Base = &d.inVnet[0]
	d.inIov[0].SetLen(vnetLen)
	// Wake may be called after Close, from anywhere, so its descriptor stays valid until nobody can.
	runtime.AddCleanup(d, func(fd int) { unix.Close(fd) }, wake)
	return d
}

// Caps returns what a TUN with virtio headers can do.
func (d *Device) Caps() link.Caps {
	return link.Caps{
		MTU:        d.tun.cfg.MTU,
		Medium:     d.medium(),
		TxChecksum: true,
		RxChecksum: true,
		TSO4:       true,
		TSO6:       true,
		MaxGSO:     maxPacket,
		TxCopies:   true,
	}
}

func (d *Device) medium() link.Medium {
	if d.tun.cfg.TAP {
		return link.MediumEthernet
	}
	return link.MediumIP
}

// Descriptor is what a loop over several devices polls for readability, in place of Wait. It is the
// device's until Close.
func (d *Device) Descriptor() int { return d.fd }

// Receive reads packets until none is waiting, or frames or the buffer is full. All carry one time stamp,
// taken after the last is read: a round trip may be measured too long by a batch, never too short.
func (d *Device) Receive(frames []link.Frame) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 || d.tun.closed.Load() {
		return 0, net.ErrClosed
	}
	n, at := 0, 0
	for n < len(frames) && n < receiveBatch && at+maxPacket <= len(d.in) {
		got, errno := d.read(d.in[at : at+maxPacket])
		if errno == unix.EAGAIN {
			break
		}
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return n, goneError(d.tun.name, errno)
		}
		if got < vnetLen || !parseVnet(&d.inVnet, d.in[at:at+got-vnetLen:at+got-vnetLen], &frames[n]) {
			d.stats.rxBad.Add(1)
			continue
		}
		at += (got - vnetLen + frameAlign - 1) &^ (frameAlign - 1)
		n++
	}
	if n > 0 {
		now := d.tun.cfg.Clock()
		for i := range frames[:n] {
			frames[i].Time = now
		}
	}
	return n, nil
}

// read reads one packet into b and its header into inVnet.
//
// RawSyscall does not tell the scheduler: a non-blocking read or write takes microseconds, less than
// handing the processor over and back would cost.
func (d *Device) read(b []byte) (int, unix.Errno) {
	d.inIov[1].Base = &b[0]
	d.inIov[1].SetLen(len(b))
	n, _, errno := unix.RawSyscall(unix.SYS_READV, uintptr(d.fd), uintptr(unsafe.Pointer(&d.inIov[0])), 2)
	return int(n), errno
}

// Transmit writes frames, each with one system call. A frame that the kernel refuses is counted and
// lost, as on any wire; only an interface that is gone is an error.
func (d *Device) Transmit(frames []link.Frame) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = false
	if d.fd < 0 || d.tun.closed.Load() {
		return 0, net.ErrClosed
	}
	for i := range frames {
		if !putVnet(&d.outVnet, &frames[i]) {
			d.stats.txBad.Add(1)
			continue
		}
		switch errno := d.write(&frames[i]); errno {
		case 0:
		case unix.EAGAIN:
			d.full = true
			return i, nil
		case unix.EBADFD, unix.EBADF, unix.ENODEV, unix.ENXIO:
			return i, goneError(d.tun.name, errno)
		default: // EIO: the interface is down; ENOMEM; EINVAL: a frame the kernel cannot parse
			d.stats.txRefused.Add(1)
		}
	}
	return len(frames), nil
}

// write writes outVnet and f with one writev. The collector neither moves nor frees what it points to:
// heap memory does not move, iov's pointers are of type *byte, and f stays referenced until the end.
func (d *Device) write(f *link.Frame) unix.Errno {
	n := d.gather(f)
	var errno unix.Errno
	for {
		_, _, errno = unix.RawSyscall(unix.SYS_WRITEV, uintptr(d.fd), uintptr(unsafe.Pointer(&d.iov[0])), uintptr(n))
		if errno != unix.EINTR {
			break
		}
	}
	// Pages may be unmapped once they are released; a stale pointer to where the heap grew next would
	// be a bad one.
	clear(d.iov[:n])
	runtime.KeepAlive(f)
	return errno
}

// gather points iov at the header, the data and the pieces, and returns how many entries that took.
func (d *Device) gather(f *link.Frame) int {
	if len(f.Pieces)+2 > len(d.iov) {
		if len(f.Pieces)+2 > maxIovec {
			return d.flatten(f)
		}
		d.iov = make([]unix.Iovec, min(2*(len(f.Pieces)+2), maxIovec))
	}
	d.iov[0].Base = &d.outVnet[0]
	d.iov[0].SetLen(vnetLen)
	n := 1
	n = d.point(n, f.Data)
	for _, p := range f.Pieces {
		n = d.point(n, p)
	}
	return n
}

// point makes entry n refer to p, unless p is empty, and returns the next free entry.
func (d *Device) point(n int, p []byte) int {
	if len(p) == 0 {
		return n
	}
	d.iov[n].Base = unsafe.SliceData(p)
	d.iov[n].SetLen(len(p))
	return n + 1
}

// flatten is gather for a frame of very many pieces, such as a body written byte by byte: it copies.
func (d *Device) flatten(f *link.Frame) int {
	d.flat = append(d.flat[:0], f.Data...)
	for _, p := range f.Pieces {
		d.flat = append(d.flat, p...)
	}
	d.iov[0].Base = &d.outVnet[0]
	d.iov[0].SetLen(vnetLen)
	return d.point(1, d.flat)
}

// goneError is the final error of a device whose interface was removed under it.
func goneError(name string, err error) error {
	return &Error{Op: "interface " + name, Err: fmt.Errorf("is gone: %w", err), Fix: "restart to make it anew"}
}
