package wire

import "encoding/binary"

const tcpHeaderLen = 20

// ChecksumOffset is where the checksum field stands in a TCP header: what a device needs to know of a
// segment with a partial checksum.
const ChecksumOffset = 16

// ParseTCP fills s from TCP segment b, which ParseIP returned with h; s.Payload aliases b. The checksum is
// verified if the caller asks for it: it does not when the link vouches for it, or when the field is
// still partial. If the result is not DropNone, s holds nothing of use.
//
// Malformed options never cost the segment: see parseOptions.
func ParseTCP(h *IPHeader, b []byte, verifyChecksum bool, s *Segment) Drop {
	if len(b) < tcpHeaderLen {
		return DropTCPShort
	}
	n := int(b[12]>>4) * 4
	if n < tcpHeaderLen || n > len(b) {
		return DropTCPHeaderLen
	}
	// RFC 9293 section 3.9.2.3: a SYN from an invalid source or to a group MUST be ignored. No other
	// segment makes sense there either, and none must draw a reset. ParseIP has judged IPv4 sources.
	if h.V6 && !validEnds6(h) || !h.V6 && !isIPv4Host(binary.BigEndian.Uint32(h.Dst[12:])) {
		return DropTCPAddress
	}
	if verifyChecksum && !validTCP(h, b) {
		return DropTCPChecksum // RFC 9293 section 3.1: "the receiver MUST check it"
	}
	p := (*[tcpHeaderLen]byte)(b)
	s.SrcPort = binary.BigEndian.Uint16(p[0:])
	s.DstPort = binary.BigEndian.Uint16(p[2:])
	s.Seq = Seq(binary.BigEndian.Uint32(p[4:]))
	s.Ack = Seq(binary.BigEndian.Uint32(p[8:]))
	s.Flags = Flags(p[13])
	s.Window = binary.BigEndian.Uint16(p[14:])
	s.Urgent = binary.BigEndian.Uint16(p[18:])
	s.Payload = b[n:]
	s.ECN = h.TOS & 3
	s.Options = Options{}
	o := b[tcpHeaderLen:n]
	if len(o) >= 12 && binary.BigEndian.Uint32(o) == timestampsHead {
		s.Options.setTimestamps(o[4:12]) // nearly every segment of a connection, and nothing but that
		o = o[12:]
	}
	if len(o) > 0 {
		parseOptions(o, s.Flags.Has(SYN), &s.Options)
	}
	return DropNone
}

func validEnds6(h *IPHeader) bool { return h.Dst.isHost() && h.Src.isHost() }

// validTCP verifies the checksum of segment b.
func validTCP(h *IPHeader, b []byte) bool {
	if len(b) == tcpHeaderLen+12 && !h.V6 { // an ACK with timestamps, what a server receives most: no calls
		return pseudoHeader4(h, len(b)).add32((*[32]byte)(b)).Valid()
	}
	return Checksum(b, PseudoHeader(h, len(b))).Valid()
}

// HeaderLen is the length in bytes of the header that PutTCP writes for s: options included, padded to a
// multiple of 4, at most 60.
func (s *Segment) HeaderLen() int { return tcpHeaderLen + optionsLen(&s.Options) }

// PutTCP writes the header of s into b, for payloadLen bytes that follow it, and returns its length; b
// must have room for s.HeaderLen() bytes. s.Payload is not looked at.
//
// The checksum field gets the folded pseudo-header sum, not complemented: what a device that finishes the
// checksum expects (virtio NEEDS_CSUM, Linux CHECKSUM_PARTIAL), for a superframe with the length of the
// whole. For other devices call [CompleteTCP] next.
func PutTCP(b []byte, h *IPHeader, s *Segment, payloadLen int) int {
	n := tcpHeaderLen + putOptions(b[tcpHeaderLen:], &s.Options)
	p := (*[tcpHeaderLen]byte)(b)
	binary.BigEndian.PutUint64(p[0:], uint64(s.SrcPort)<<48|uint64(s.DstPort)<<32|uint64(s.Seq))
	binary.BigEndian.PutUint64(p[8:], uint64(s.Ack)<<32|uint64(n/4)<<28|uint64(s.Flags)<<16|uint64(s.Window))
	sum := PseudoHeader(h, n+payloadLen).Fold()
	binary.BigEndian.PutUint32(p[ChecksumOffset:], uint32(sum)<<16|uint32(s.Urgent))
	return n
}

// CompleteTCP finishes the checksum of a header that PutTCP wrote; header must be exactly that header,
// and payload the sum of the bytes behind it, begun at an even offset.
func CompleteTCP(header []byte, payload Sum) {
	binary.BigEndian.PutUint16(header[ChecksumOffset:], ^Checksum(header, payload).Fold())
}

// PutSegment writes a whole packet, IP header, TCP header and a copy of s.Payload, with a complete
// checksum, and returns its length; b must have room for it. It serves packets that no connection owns:
// resets, SYN cookies, tests.
func PutSegment(b []byte, h *IPHeader, s *Segment) int {
	n := PutIP(b, h, s.HeaderLen()+len(s.Payload))
	header := b[n : n+s.HeaderLen()]
	PutTCP(header, h, s, len(s.Payload))
	CompleteTCP(header, Checksum(s.Payload, 0))
	n += len(header)
	return n + copy(b[n:], s.Payload)
}
