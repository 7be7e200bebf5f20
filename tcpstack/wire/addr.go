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
func addrFrom4(b [4]byte) (a Addr) {
	a.set4(binary.BigEndian.Uint32(b[:]))
	return a
}

// mapped is bytes 8 to 12 of a mapped IPv4 address, as the upper half of a word. It is a variable since the
// compiler would cut a store of a partly constant word into bytes, which then stall every load of it.
var mapped uint64 = 0xffff << 32

// set4 maps an IPv4 address, given as a number, in two stores of whole words.
func (a *Addr) set4(v uint32) {
	binary.BigEndian.PutUint64(a[:8], 0)
	binary.BigEndian.PutUint64(a[8:], mapped|uint64(v))
}

// halves returns the address as two numbers.
func (a *Addr) halves() (hi, lo uint64) {
	return binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])
}

// IsMulticast reports whether a is a group: IPv4 224.0.0.0/4 or limited broadcast, IPv6 ff00::/8.
// Directed broadcasts cannot be told without the subnet.
func (a *Addr) IsMulticast() bool {
	hi, lo := a.halves()
	if hi == 0 && lo>>32 == 0xffff {
		return uint32(lo)>>28 == 0xe || uint32(lo) == 0xffffffff
	}
	return hi>>56 == 0xff
}

// IsUnspecified reports whether a is 0.0.0.0 or ::.
func (a *Addr) IsUnspecified() bool {
	hi, lo := a.halves()
	return hi == 0 && (lo == 0 || lo == 0xffff<<32)
}

// isHost reports whether one host may have address a, so that it may send a packet and be answered.
func (a *Addr) isHost() bool {
	hi, lo := a.halves()
	if hi == 0 && lo>>32 == 0xffff {
		return isIPv4Host(uint32(lo))
	}
	return hi>>56 != 0xff && hi|lo != 0
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
