package tun

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// txQueueLen is how many packets the kernel holds per queue for us before it drops. Its default, 500, is
// less than the ACKs of one burst of a hundred clients.
const txQueueLen = 4096

// hostPrefix returns the host's side of the subnet of p: its first address. That of an IPv6 subnet is ::1,
// since ::0 is the routers' anycast address (RFC 4291 section 2.6.1).
func hostPrefix(p netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(p.Masked().Addr().Next(), p.Bits())
}

// configure gives the interface its addresses and brings it up. What is already as it should be is not
// touched, so that an interface made beforehand needs no privileges.
func configure(name string, cfg *Config) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return configError("finding interface "+name, err)
	}
	if l.Attrs().MTU != cfg.MTU {
		if err := netlink.LinkSetMTU(l, cfg.MTU); err != nil {
			return configError(fmt.Sprintf("setting MTU %d on %s", cfg.MTU, name), err)
		}
	}
	if l.Attrs().TxQLen < txQueueLen {
		_ = netlink.LinkSetTxQLen(l, txQueueLen) // only helps; without it a burst may lose packets
	}
	if l.Attrs().RawFlags&unix.IFF_UP == 0 {
		if err := netlink.LinkSetUp(l); err != nil {
			return configError("bringing up "+name, err)
		}
	}
	for _, p := range []netip.Prefix{cfg.Addr, cfg.Addr6} {
		if !p.IsValid() {
			continue
		}
		if err := addAddr(l, p); err != nil {
			return err
		}
	}
	if cfg.Addr6.IsValid() {
		awaitLocal(hostPrefix(cfg.Addr6).Addr())
	}
	return nil
}

// awaitLocal waits until the kernel takes packets for its new IPv6 address. It enters the address in its
// routing table from a work queue, even without duplicate address detection, and until then drops what
// comes for it. That takes a millisecond; if it takes a second, something else is wrong and will show.
func awaitLocal(host netip.Addr) {
	for range 1000 {
		routes, err := netlink.RouteGet(host.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// addAddr gives the host its address in the subnet of p.
func addAddr(l netlink.Link, p netip.Prefix) error {
	host := hostPrefix(p)
	if bad := unusable(p, host); bad != "" {
		return &Error{Op: "address " + p.String(), Err: unix.EADDRNOTAVAIL, Fix: bad}
	}
	there, err := occupied(l, p, host)
	if err != nil || there {
		return err
	}
	ipnet, err := netlink.ParseIPNet(host.String())
	if err != nil {
		return configError("address "+host.String(), err)
	}
	addr := &netlink.Addr{IPNet: ipnet}
	if host.Addr().Is6() {
		// Nobody else is on this link: duplicate address detection (RFC 4862 section 5.4) would only
		// keep the address unusable for a second.
		addr.Flags = unix.IFA_F_NODAD
	}
	err = netlink.AddrAdd(l, addr)
	if err != nil && host.Addr().Is6() && !errors.Is(err, unix.EEXIST) && ipv6Off(err) {
		return &Error{Op: "adding " + host.String(), Err: fmt.Errorf("%w (%w)", ErrNoIPv6, err),
			Fix: "switch it on with `sysctl net.ipv6.conf.all.disable_ipv6=0`, or leave out the IPv6 address"}
	}
	if err != nil {
		return configError("adding "+host.String(), err)
	}
	return nil
}

// unusable says what is wrong with a prefix for the stack, or nothing.
func unusable(p, host netip.Prefix) string {
	room := p.Addr().BitLen() - p.Bits()
	switch {
	case room < 2:
		return "the subnet has no room for host and stack: use a shorter prefix, such as " + DefaultAddr.String()
	case p.Addr() == host.Addr():
		return fmt.Sprintf("the subnet's first address is the host's: use another, such as %v", host.Addr().Next())
	case p.Addr() == p.Masked().Addr():
		return fmt.Sprintf("this is the subnet itself: use an address in it, such as %v", host.Addr().Next())
	case p.Addr().Is4() && p.Contains(p.Addr()) && !p.Contains(p.Addr().Next()):
		return fmt.Sprintf("this is the subnet's broadcast address: use another, such as %v", host.Addr().Next())
	}
	return ""
}

// occupied reports whether l has the host's address already, and refuses a subnet that another interface
// uses: its traffic would go astray.
func occupied(l netlink.Link, p, host netip.Prefix) (bool, error) {
	family := netlink.FAMILY_V4
	if p.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	addrs, err := netlink.AddrList(nil, family)
	if err != nil {
		return false, configError("listing addresses", err)
	}
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		if !ok || bits == 0 {
			continue
		}
		have := netip.PrefixFrom(ip.Unmap(), bits)
		if a.LinkIndex == l.Attrs().Index {
			if have == host {
				return true, nil
			}
			continue
		}
		if have.Overlaps(p) {
			return false, &Error{Op: "address " + p.String(), Err: unix.EADDRINUSE,
				Fix: fmt.Sprintf("%v is on another interface (number %d): choose another --addr", have, a.LinkIndex)}
		}
	}
	return false, nil
}

// ipv6Off reports whether an error of adding an IPv6 address means that IPv6 is switched off: the kernel
// says EACCES for the interface, EOPNOTSUPP or EAFNOSUPPORT when it has no IPv6 at all.
func ipv6Off(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)
}

func configError(op string, err error) error {
	e := &Error{Op: op, Err: err, Fix: "use --net relay"}
	switch {
	case errors.Is(err, unix.EPERM):
		e.Fix = needAdmin
	case errors.Is(err, unix.EEXIST):
		e.Fix = "the address is in use: choose another --addr"
	}
	return e
}
