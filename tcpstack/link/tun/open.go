package tun

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// needAdmin is the advice when privileges are missing.
const needAdmin = "needs CAP_NET_ADMIN: run as root or with `sudo setcap cap_net_admin+ep BINARY`, or use --net relay"

// openQueue opens one queue of the interface and returns the interface's real name.
func openQueue(t *Interface, name string) (*Device, string, error) {
	fd, err := unix.Open(devicePath, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, "", openError(err)
	}
	name, err = attach(fd, name, t.cfg.TAP)
	if err == nil {
		err = setOffload(fd)
	}
	var wake int
	if err == nil {
		wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	}
	if err != nil {
		unix.Close(fd)
		var e *Error
		if !errors.As(err, &e) {
			err = &Error{Op: "setting up " + name, Err: err, Fix: "use --net relay"}
		}
		return nil, "", err
	}
	return newDevice(t, fd, wake), name, nil
}

func openError(err error) error {
	e := &Error{Op: "opening " + devicePath, Err: err, Fix: "use --net relay"}
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		e.Fix = "load the driver (`modprobe tun`), give the container the device " +
			"(`--device /dev/net/tun --cap-add NET_ADMIN`), or use --net relay"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		e.Fix = needAdmin
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		e.Fix = "raise the limit on open files (`ulimit -n`)"
	}
	return e
}

// attach makes fd a queue of the named interface, which it creates if there is none of that name.
func attach(fd int, name string, tap bool) (string, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return name, &Error{Op: "interface name " + name, Err: err, Fix: "choose another name"}
	}
	kind := uint16(unix.IFF_TUN)
	if tap {
		kind = unix.IFF_TAP
	}
	ifr.SetUint16(kind | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_MULTI_QUEUE)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return name, attachError(name, tap, err)
	}
	return ifr.Name(), nil
}

func attachError(name string, tap bool, err error) error {
	mode := map[bool]string{false: "tun", true: "tap"}[tap]
	e := &Error{Op: "making interface " + name, Err: err, Fix: "use --net relay"}
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		e.Fix = needAdmin
	case errors.Is(err, unix.EBUSY):
		e.Fix = "the name is taken by another program; choose another name or leave it out"
	case errors.Is(err, unix.EINVAL):
		e.Fix = fmt.Sprintf("an interface %s of another kind exists; choose another name, or remake it with "+
			"`ip tuntap add dev %s mode %s multi_queue`", name, name, mode)
	case errors.Is(err, unix.E2BIG):
		e.Fix = "the kernel allows no more queues; use fewer shards"
	}
	return e
}

// setOffload fixes the header format and tells the kernel what we take unsegmented and unsummed.
func setOffload(fd int) error {
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnetLen); err != nil {
		return err
	}
	// Little-endian headers on every machine; a kernel that has only native order says EINVAL and is
	// little-endian on everything we build for.
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETLE, 1); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	const offload = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offload|unix.TUN_F_TSO_ECN)
	if err != nil {
		err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offload)
	}
	return err
}
