package wire

import (
	"encoding/binary"
	"math/bits"
)

const (
	ipv4HeaderLen = 20
	ipv6HeaderLen = 40
	maxPacketLen  = 65535 // of an IPv4 packet, and of what follows a fixed IPv6 header
)

// ParseIP checks the IP header of packet b, fills h, and returns the upper layer's bytes, which alias b:
// without the link's padding, options and extension headers. If it does not return DropNone, h and the
// payload hold nothing of use.
func ParseIP(b []byte, h *IPHeader) (payload []byte, d Drop) {
	// The body is IPv4's (RFC 791 section 3.1), which saves the common case a call.
	if len(b) < ipv4HeaderLen || b[0]>>4 != 4 {
		return parseNotIPv4(b, h)
	}
	n := int(b[0]&15) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if n < ipv4HeaderLen || n > len(b) {
		return nil, DropIPHeaderLen
	}
	if total < n || total > len(b) {
		return nil, DropIPTruncated
	}
	// RFC 1122 section 3.2.1.2: "A host MUST verify the IP header checksum on every received datagram".
	sum := sumIPv4((*[ipv4HeaderLen]byte)(b))
	if n > ipv4HeaderLen {
		sum = Checksum(b[ipv4HeaderLen:n], sum)
	}
	if !sum.Valid() {
		return nil, DropIPChecksum
	}
	frag := binary.BigEndian.Uint16(b[6:])
	if frag&0x3fff != 0 { // more fragments, or an offset
		return nil, DropFragment
	}
	if n > ipv4HeaderLen && !acceptIPv4Options(b[ipv4HeaderLen:n]) {
		return nil, DropIPOptions
	}
	src := binary.BigEndian.Uint32(b[12:])
	if !isIPv4Host(src) {
		return nil, DropIPSource
	}
	// Field by field and in whole words: composing the struct elsewhere and copying it costs more than
	// all checks above, since its parts are stored narrow and loaded wide.
	h.Src.set4(src)
	h.Dst.set4(binary.BigEndian.Uint32(b[16:]))
	h.Protocol = b[9]
	h.HopLimit = b[8]
	h.TOS = b[1]
	h.ID = binary.BigEndian.Uint16(b[4:])
	h.DontFragment = frag&0x4000 != 0
	h.FlowLabel = 0
	h.V6 = false
	h.HeaderLen = n
	return b[n:total:total], DropNone
}

// parseNotIPv4 is ParseIP for all but IPv4 headers of 20 bytes or more.
func parseNotIPv4(b []byte, h *IPHeader) ([]byte, Drop) {
	if len(b) == 0 {
		return nil, DropIPShort
	}
	switch b[0] >> 4 {
	case 4:
		return nil, DropIPShort
	case 6:
		return parseIPv6(b, h)
	}
	return nil, DropIPVersion // RFC 1122 section 3.2.1.1: MUST be silently discarded
}

// sumIPv4 is Checksum of a header without options.
func sumIPv4(b *[ipv4HeaderLen]byte) Sum {
	v, c := bits.Add64(binary.LittleEndian.Uint64(b[0:]), binary.LittleEndian.Uint64(b[8:]), 0)
	v, c = bits.Add64(v, uint64(binary.LittleEndian.Uint32(b[16:])), c)
	return Sum(v + c)
}

// isIPv4Host reports whether one host may have address a. RFC 1122 section 3.2.1.3: a datagram MUST be
// discarded silently if its source is broadcast, multicast or "this network". Loopback is accepted:
// in-process links use it.
func isIPv4Host(a uint32) bool { return a>>24 != 0 && a>>28 != 0xe && a != 0xffffffff }

// acceptIPv4Options walks the options (RFC 791 section 3.1). None has a meaning for us, but a source route
// must not steer replies around filters (RFC 7126 section 4.3: drop), and a bad length means that the
// sender and we do not agree where the header ends; Linux drops both too.
func acceptIPv4Options(o []byte) bool {
	for len(o) > 0 {
		switch o[0] {
		case 0: // end of list
			return true
		case 1: // no operation
			o = o[1:]
			continue
		case 131, 137: // loose, strict source route
			return false
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return false
		}
		o = o[o[1]:]
	}
	return true
}

// HeaderLen is the number of bytes that PutIP writes for h.
func HeaderLen(h *IPHeader) int {
	if h.V6 {
		return ipv6HeaderLen
	}
	return ipv4HeaderLen
}

// PutIP writes an IP header without options in front of payloadLen bytes and returns its length. h.V6
// chooses the version; IPv4 gets its header checksum. b must have room for HeaderLen(h) bytes, and the
// payload must fit the 16-bit length field: anything else breaks the caller's contract and panics.
func PutIP(b []byte, h *IPHeader, payloadLen int) int {
	if payloadLen < 0 || payloadLen > MaxPayload(h) {
		panic("wire: invariant broken: an IP payload must fit the header's 16-bit length")
	}
	if h.V6 {
		return putIPv6(b, h, payloadLen)
	}
	return putIPv4(b, h, payloadLen)
}

// MaxPayload is the largest payload in bytes that an IP header can state.
func MaxPayload(h *IPHeader) int {
	if h.V6 {
		return maxPacketLen
	}
	return maxPacketLen - ipv4HeaderLen
}

func putIPv4(b []byte, h *IPHeader, payloadLen int) int {
	b = b[:ipv4HeaderLen]
	first := uint64(4<<4|ipv4HeaderLen/4)<<56 | uint64(h.TOS)<<48 |
		uint64(uint16(ipv4HeaderLen+payloadLen))<<32 | uint64(h.ID)<<16
	if h.DontFragment {
		first |= 0x4000
	}
	second := uint64(h.HopLimit)<<56 | uint64(h.Protocol)<<48 | uint64(binary.BigEndian.Uint32(h.Src[12:]))
	third := binary.BigEndian.Uint32(h.Dst[12:])
	// Summed while the words are in registers, big-endian lanes this time, so that Fold swaps once too often.
	v, c := bits.Add64(first, second, 0)
	v, c = bits.Add64(v, uint64(third), c)
	sum := bits.ReverseBytes16(Sum(v + c).Fold())
	binary.BigEndian.PutUint64(b[0:], first)
	binary.BigEndian.PutUint64(b[8:], second|uint64(^sum)<<32)
	binary.BigEndian.PutUint32(b[16:], third)
	return ipv4HeaderLen
}

func putIPv6(b []byte, h *IPHeader, payloadLen int) int {
	b = b[:ipv6HeaderLen]
	binary.BigEndian.PutUint32(b, 6<<28|uint32(h.TOS)<<20|h.FlowLabel&0xfffff)
	binary.BigEndian.PutUint16(b[4:], uint16(payloadLen))
	b[6] = h.Protocol
	b[7] = h.HopLimit
	copy(b[8:24], h.Src[:])
	copy(b[24:40], h.Dst[:])
	return ipv6HeaderLen
}
