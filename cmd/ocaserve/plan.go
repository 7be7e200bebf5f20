package main

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// A plan is who has which address on the link. The stack answers at Stack; the host, or in a relay the
// gateway of its in-process link, has the first address of the subnet.
type plan struct {
	Host, Stack []netip.Prefix // IPv4 first, then IPv6; the same length
}

const defaultAddr = "198.18.0.2/24" // RFC 2544's benchmarking range: routed nowhere, so it collides with nothing

// planAddrs reads --addr: one prefix, or one per family separated by a comma. An IPv4 prefix alone gets an
// IPv6 twin; an IPv6 prefix alone stays alone, since no IPv4 subnet can be derived from it.
func planAddrs(addr string) (plan, error) {
	var p plan
	for _, text := range strings.Split(addr, ",") {
		stack, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return plan{}, usagef("--addr %q is not an address with a prefix length; write 198.18.0.2/24", text)
		}
		if err := p.add(stack); err != nil {
			return plan{}, err
		}
	}
	if len(p.Stack) == 1 && p.Stack[0].Addr().Is4() {
		return p, p.add(twin(p.Stack[0]))
	}
	if len(p.Stack) > 2 || (len(p.Stack) == 2 && p.Stack[0].Addr().Is4() == p.Stack[1].Addr().Is4()) {
		return plan{}, usagef("--addr %q: give at most one IPv4 and one IPv6 address", addr)
	}
	return p, nil
}

func (p *plan) add(stack netip.Prefix) error {
	addr := stack.Addr()
	if addr.Is4In6() || addr.Zone() != "" || addr.IsMulticast() || addr.IsLoopback() || addr.IsUnspecified() {
		return usagef("--addr %s: use a plain unicast address, such as %s", stack, defaultAddr)
	}
	if stack.Bits() > addr.BitLen()-2 {
		return usagef("--addr %s: the subnet has no room for the host and the stack; use /%d or wider", stack, addr.BitLen()-2)
	}
	host := stack.Masked().Addr().Next()
	if addr == host || addr == stack.Masked().Addr() || addr.Is4() && addr == lastOf(stack) {
		return usagef("--addr %s: %s is taken (the subnet's first address is the host's); use %s",
			stack, addr, netip.PrefixFrom(host.Next(), stack.Bits()))
	}
	p.Stack = append(p.Stack, stack)
	p.Host = append(p.Host, netip.PrefixFrom(host, stack.Bits()))
	if len(p.Stack) == 2 && p.Stack[0].Addr().Is6() {
		p.Stack[0], p.Stack[1] = p.Stack[1], p.Stack[0]
		p.Host[0], p.Host[1] = p.Host[1], p.Host[0]
	}
	return nil
}

// lastOf is the IPv4 broadcast address of a subnet.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	v := binary.BigEndian.Uint32(b[:]) | (1<<(32-p.Bits()) - 1)
	binary.BigEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}

// twin is the IPv6 prefix of an IPv4 one: a unique local /64 (RFC 4193) named after the subnet, "oca" in the
// global id, with the same host number. Two subnets never share a twin.
func twin(v4 netip.Prefix) netip.Prefix {
	var b [16]byte
	b[0], b[1], b[2], b[3] = 0xfd, 'o', 'c', 'a'
	subnet, addr := v4.Masked().Addr().As4(), v4.Addr().As4()
	copy(b[4:8], subnet[:])
	number := binary.BigEndian.Uint32(addr[:]) - binary.BigEndian.Uint32(subnet[:])
	binary.BigEndian.PutUint32(b[12:16], number)
	return netip.PrefixFrom(netip.AddrFrom16(b), 64)
}
