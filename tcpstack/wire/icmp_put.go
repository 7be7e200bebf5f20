package wire

import "encoding/binary"

// replyHopLimit is the TTL of what we send on our own account (RFC 1700's recommended default).
const replyHopLimit = 64

const (
	// An error must stay deliverable without fragmentation: 576 bytes as IPv4 packet (RFC 1812 section
	// 4.3.2.3), the minimum MTU as IPv6 packet (RFC 4443 section 2.4 (c)).
	maxError4 = 576
	maxError6 = 1280
)

// PutEchoReply writes the IP packet that answers echo request m, which came with h, and returns its
// length. It returns 0 if there must be no answer or if b is too small: pings to groups are not answered
// (RFC 1122 section 3.2.2.6 permits that; answering amplifies). The data is echoed whole; b and m.Data must
// not overlap.
func PutEchoReply(b []byte, h *IPHeader, m *ICMP) int {
	reply, ok := replyHeader(h)
	n := icmpHeaderLen + len(m.Data)
	if !ok || m.Kind != ICMPEchoRequest || n > MaxPayload(&reply) || HeaderLen(&reply)+n > len(b) {
		return 0
	}
	typ := uint8(icmp4EchoReply)
	if h.V6 {
		typ = icmp6EchoReply
	}
	return putICMP(b, &reply, typ, 0, uint32(m.EchoID)<<16|uint32(m.EchoSeq), m.Data)
}

// PutPortUnreachable writes the IP packet that tells the sender of packet, whose header is h, that nothing
// listens on its port, and returns the length. It quotes as much as is allowed and fits b. It returns 0 if
// no error may be sent about that packet (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e)) or b is too small.
// The caller limits the rate (RFC 4443 section 2.4 (f)).
func PutPortUnreachable(b []byte, h *IPHeader, packet []byte) int {
	if h.V6 {
		return putError(b, h.Dst, h, icmp6Unreachable, icmp6CodePort, 0, packet)
	}
	return putError(b, h.Dst, h, icmp4Unreachable, icmp4CodePort, 0, packet)
}

// PutPacketTooBig writes what the router with address from answers to a packet larger than the next link's
// mtu: fragmentation needed (RFC 1191 section 4) or packet too big (RFC 4443 section 3.2). Simulated routers
// and tests use it. It returns the length, or 0 as PutPortUnreachable does.
func PutPacketTooBig(b []byte, from Addr, h *IPHeader, packet []byte, mtu int) int {
	if h.V6 {
		return putError(b, from, h, icmp6TooBig, 0, uint32(mtu), packet)
	}
	return putError(b, from, h, icmp4Unreachable, icmp4CodeFragNeeded, uint32(min(mtu, 65535)), packet)
}

// putError writes an error about packet, sent by from.
func putError(b []byte, from Addr, h *IPHeader, typ, code uint8, word uint32, packet []byte) int {
	reply, ok := replyHeader(h)
	// Errors about errors would never end; echo needs none either, so that all of ICMP is excluded.
	if !ok || h.Protocol == ProtoICMP || h.Protocol == ProtoICMPv6 {
		return 0
	}
	reply.Src = from
	limit := maxError4
	if h.V6 {
		limit = maxError6
	}
	room := min(len(b), limit) - HeaderLen(&reply) - icmpHeaderLen
	quote := min(len(packet), room)
	if quote < min(len(packet), h.HeaderLen+8) { // less says too little to be matched (RFC 792)
		return 0
	}
	return putICMP(b, &reply, typ, code, word, packet[:quote])
}

// replyHeader is the header of an answer to a packet with header h; ok is false if the addresses allow no
// answer: it would go to or come from a group, or from nobody.
func replyHeader(h *IPHeader) (reply IPHeader, ok bool) {
	if !h.Src.isHost() || !h.Dst.isHost() {
		return reply, false
	}
	reply = IPHeader{Src: h.Dst, Dst: h.Src, Protocol: ProtoICMP, HopLimit: replyHopLimit, V6: h.V6}
	if h.V6 {
		reply.Protocol = ProtoICMPv6
	}
	return reply, true
}

// putICMP writes the whole packet; word is bytes 4 to 8 of the ICMP header.
func putICMP(b []byte, h *IPHeader, typ, code uint8, word uint32, data []byte) int {
	n := PutIP(b, h, icmpHeaderLen+len(data))
	m := b[n : n+icmpHeaderLen+len(data)]
	m[0], m[1], m[2], m[3] = typ, code, 0, 0
	binary.BigEndian.PutUint32(m[4:], word)
	copy(m[icmpHeaderLen:], data)
	var start Sum
	if h.V6 {
		start = PseudoHeader(h, len(m))
	}
	binary.BigEndian.PutUint16(m[2:], ^Checksum(m, start).Fold())
	return n + len(m)
}
