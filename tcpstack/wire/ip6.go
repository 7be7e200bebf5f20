package wire

import "encoding/binary"

// IPv6 extension headers that are walked over (RFC 8200 section 4.1). Others, among them ESP and "no next
// header", end the walk as the upper-layer protocol, which the stack then does not know.
const (
	extHopByHop    = 0
	extRouting     = 43
	extFragment    = 44
	extDestination = 60
)

// maxExtensions bounds the walk: more headers than RFC 8200 section 4.1 lets a sender use, few enough
// that a packet made of them costs no time.
const maxExtensions = 8

// parseIPv6 is ParseIP for version 6 (RFC 8200 section 3).
func parseIPv6(b []byte, h *IPHeader) ([]byte, Drop) {
	if len(b) < ipv6HeaderLen {
		return nil, DropIPShort
	}
	end := ipv6HeaderLen + int(binary.BigEndian.Uint16(b[4:]))
	if end > len(b) {
		return nil, DropIPTruncated
	}
	first := binary.BigEndian.Uint32(b)
	*h = IPHeader{
		Src:       Addr(b[8:24]),
		Dst:       Addr(b[24:40]),
		Protocol:  b[6],
		HopLimit:  b[7],
		TOS:       uint8(first >> 20),
		FlowLabel: first & 0xfffff,
		V6:        true,
		HeaderLen: ipv6HeaderLen,
	}
	if h.Src[0] == 0xff { // RFC 4291 section 2.7: MUST NOT be a source address
		return nil, DropIPSource
	}
	// Never valid on the wire (RFC 4291 section 2.5.5.2 gives them to the API only), and here they
	// would be taken for IPv4 flows. Linux drops them as well.
	if h.Src.Is4() || h.Dst.Is4() {
		return nil, DropIPMapped
	}
	if isExtension(h.Protocol) {
		if d := skipExtensions(b[:end], h); d != DropNone {
			return nil, d
		}
	}
	return b[h.HeaderLen:end:end], DropNone
}

func isExtension(p uint8) bool {
	return p == extHopByHop || p == extRouting || p == extFragment || p == extDestination
}

// skipExtensions moves h.HeaderLen and h.Protocol past the extension headers of packet b.
func skipExtensions(b []byte, h *IPHeader) Drop {
	for i := 0; isExtension(h.Protocol); i++ {
		kind := h.Protocol
		// RFC 8200 section 4.1: hop-by-hop options stand immediately after the IPv6 header only.
		if i == maxExtensions || (kind == extHopByHop && i > 0) {
			return DropIPExtensions
		}
		e := b[h.HeaderLen:]
		if len(e) < 8 {
			return DropIPExtensions
		}
		n := 8
		if kind != extFragment { // whose second byte is reserved: its length is fixed
			n += int(e[1]) * 8
		}
		if n > len(e) {
			return DropIPExtensions
		}
		if d := checkExtension(kind, e[:n]); d != DropNone {
			return d
		}
		h.Protocol = e[0]
		h.HeaderLen += n
	}
	return DropNone
}

// checkExtension decides whether a packet with extension header e may be handled as if e were absent.
func checkExtension(kind uint8, e []byte) Drop {
	switch kind {
	case extFragment:
		// An atomic fragment, offset 0 and no more to come, is a whole packet and "must be processed
		// in isolation" (RFC 6946 section 4, RFC 8200 section 4.5).
		if binary.BigEndian.Uint16(e[2:])&0xfff9 != 0 {
			return DropFragment
		}
	case extRouting:
		// RFC 8200 section 4.4: skipped when no segments are left, else not for a host to process.
		if e[3] != 0 {
			return DropIPExtensions
		}
	default:
		if !acceptIPv6Options(e[2:]) {
			return DropIPOptions
		}
	}
	return DropNone
}

// acceptIPv6Options walks hop-by-hop or destination options. None is known here, so that the two highest
// bits of the type decide: 00 means skip, anything else discard (RFC 8200 section 4.2). We deviate: no
// ICMP parameter problem is sent, since it would answer to spoofed sources and nobody depends on it.
func acceptIPv6Options(o []byte) bool {
	for len(o) > 0 {
		if o[0] == 0 { // Pad1 has no length
			o = o[1:]
			continue
		}
		if len(o) < 2 || o[0]&0xc0 != 0 || 2+int(o[1]) > len(o) {
			return false
		}
		o = o[2+int(o[1]):]
	}
	return true
}
