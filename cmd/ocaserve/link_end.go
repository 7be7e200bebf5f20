package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ocaserve/tcpstack/link/tun"
)

// A linkEnd is one of the two interfaces of a link: what the user wrote, and the device once it is open.
type linkEnd struct {
	text  string
	ns    string // a name, or a path such as /proc/PID/ns/net; "": this process's
	name  string
	addrs []netip.Prefix

	iface  *tun.Interface
	device *tun.Device
}

// parseLinkEnd reads [NETNS:]IF[,ADDR/LEN...].
func parseLinkEnd(text string) (*linkEnd, error) {
	parts := strings.Split(text, ",")
	e := &linkEnd{text: text, name: parts[0]}
	if i := strings.LastIndexByte(parts[0], ':'); i >= 0 {
		e.ns, e.name = parts[0][:i], parts[0][i+1:]
	}
	if e.name == "" || strings.ContainsAny(e.name, "/%") {
		return nil, fmt.Errorf("%q names no interface; write tun0, or left:tun0 for tun0 in the network namespace left", text)
	}
	for _, a := range parts[1:] {
		p, err := netip.ParsePrefix(strings.TrimSpace(a))
		if err != nil {
			return nil, fmt.Errorf("%q is not an address with a prefix length; write 10.0.0.1/24", a)
		}
		e.addrs = append(e.addrs, p)
	}
	return e, nil
}

func (e *linkEnd) String() string { return strings.SplitN(e.text, ",", 2)[0] }

// open makes the interface or attaches to it, in its namespace. A thread that has entered a namespace ends
// there: it is never unlocked, so that nothing else runs on it.
func (e *linkEnd) open(tap bool, mtu int) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := e.enter()
		if err == nil {
			err = e.attach(tap, mtu)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		e.close()
		return fmt.Errorf("%s: %w", e, err)
	}
	return nil
}

// enter moves this thread into the end's network namespace.
func (e *linkEnd) enter() error {
	if e.ns == "" {
		return nil
	}
	path := e.ns
	if !strings.Contains(path, "/") {
		path = filepath.Join("/run/netns", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w; name a namespace that `ip netns list` shows, or a path such as /proc/PID/ns/net", err)
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering the namespace: %w; needs CAP_SYS_ADMIN: run as root", err)
	}
	return nil
}

func (e *linkEnd) attach(tap bool, mtu int) (err error) {
	e.iface, err = tun.Open(tun.Config{Name: e.name, MTU: mtu, TAP: tap})
	if err != nil {
		// tun speaks to the server's user; a link has no relay to turn to.
		return errors.New(strings.ReplaceAll(err.Error(), ", or use --net relay", ""))
	}
	e.device = e.iface.Queues()[0].(*tun.Device)
	l, err := netlink.LinkByName(e.name)
	for i := 0; i < len(e.addrs) && err == nil; i++ {
		err = addAddr(l, e.addrs[i])
	}
	return err
}

// addAddr gives the interface an address, unless it has it.
func addAddr(l netlink.Link, p netip.Prefix) error {
	ipnet, err := netlink.ParseIPNet(p.String())
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: ipnet}
	if p.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD // both ends are ours
	}
	if err := netlink.AddrAdd(l, addr); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("adding %v: %w", p, err)
	}
	return nil
}

func (e *linkEnd) close() {
	if e.iface != nil {
		_ = e.iface.Close()
	}
}
