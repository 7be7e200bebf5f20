package wire

import (
	"encoding/binary"
	"net/netip"
)

// An Addr is an IP address in 16 bytes: IPv6 as it is, IPv4 mapped into ::ffff:0:0/96. It is comparable
// and holds no pointer, so that tables of flows cost the collector nothing.
type Addr [16]byte

// AddrFrom converts a, dropping its zone.
func AddrFrom(a netip.Addr) Addr { return a.As16() }

// Netip returns a as a netip.Addr, unmapped.
func (a Addr) Netip() netip.Addr { return netip.AddrFrom16(a).Unmap() }

// Is4 reports whether a is an IPv4 address.
func (a Addr) Is4() bool {
	return binary.BigEndian.Uint64(a[:8]) == 0 && binary.BigEndian.Uint32(a[8:12]) == 0xffff
}

// addrFrom4 maps an IPv4 address.
func addrFrom4(a [4]byte) Addr {
	return Addr{10: 0xff, 11: 0xff, 12: a[0], 13: a[1], 14: a[2], 15: a[3]}
}

// IsMulticast reports whether a is a group: IPv4 224.0.0.0/4 or limited broadcast, IPv6 ff00::/8.
// Directed broadcasts cannot be told without the subnet.
func (a *Addr) IsMulticast() bool {
	if a.Is4() {
		return a[12]&0xf0 == 0xe0 || [4]byte(a[12:]) == [4]byte{255, 255, 255, 255}
	}
	return a[0] == 0xff
}

// IsUnspecified reports whether a is 0.0.0.0 or ::.
func (a *Addr) IsUnspecified() bool {
	return *a == Addr{} || *a == Addr{10: 0xff, 11: 0xff}
}

// String returns the usual text form.
func (a Addr) String() string { return a.Netip().String() }

// A Flow names a connection from our side.
type Flow struct {
	Local, Remote         Addr
	LocalPort, RemotePort uint16
}

// LocalAddrPort returns our end.
func (f *Flow) LocalAddrPort() netip.AddrPort {
	return netip.AddrPortFrom(f.Local.Netip(), f.LocalPort)
}

// RemoteAddrPort returns the peer's end.
func (f *Flow) RemoteAddrPort() netip.AddrPort {
	return netip.AddrPortFrom(f.Remote.Netip(), f.RemotePort)
}
