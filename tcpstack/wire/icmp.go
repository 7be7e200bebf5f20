package wire

import "encoding/binary"

// ICMPKind is what an ICMP message means to a host, the same for both versions.
type ICMPKind uint8

const (
	ICMPOther       ICMPKind = iota // nothing for us: redirects, source quench (RFC 6633), NDP, ...
	ICMPEchoRequest                 // answer with PutEchoReply
	ICMPEchoReply                   // nobody here asks
	ICMPUnreachable                 // destination unreachable but for frag-needed; see ICMP.Hard
	ICMPTooBig                      // fragmentation needed and DF set, or packet too big; see ICMP.MTU
	ICMPTimeExceeded
	ICMPParamProblem
)

// String returns the kind in words.
func (k ICMPKind) String() string {
	names := [...]string{"other", "echo request", "echo reply", "unreachable", "too big", "time exceeded", "parameter problem"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

const (
	icmpHeaderLen = 8

	icmp4EchoReply    = 0
	icmp4Unreachable  = 3
	icmp4EchoRequest  = 8
	icmp4TimeExceeded = 11
	icmp4ParamProblem = 12

	icmp6Unreachable  = 1
	icmp6TooBig       = 2
	icmp6TimeExceeded = 3
	icmp6ParamProblem = 4
	icmp6EchoRequest  = 128
	icmp6EchoReply    = 129

	icmp4CodePort       = 3 // of unreachable
	icmp4CodeFragNeeded = 4
	icmp6CodePort       = 4
)

// An ICMP is a parsed ICMP message (RFC 792, RFC 4443).
//
// An error quotes the packet it is about, and anybody can send one: the stack must act on it only if Quoted
// is set, Flow is one of its connections, and Seq lies in what that connection has in flight (RFC 5927
// section 4.1).
type ICMP struct {
	Kind       ICMPKind
	Type, Code uint8
	Hard       bool   // unreachable in a way that does not pass by itself (RFC 1122 section 4.2.3.9)
	EchoID     uint16 // echo: identifier
	EchoSeq    uint16 // echo: sequence number
	MTU        uint32 // too big: next-hop MTU as stated, unchecked; 0: not stated (RFC 1191 section 5)
	Data       []byte // echo: the data; errors: the quoted packet. Aliases the frame.

	Quoted    bool // an error that quotes a TCP segment, with the fields below
	Flow      Flow // Local is the quoted source: we sent the segment
	Seq       Seq  // its sequence number
	QuotedLen int  // the IP packet length that the quoted header states, bytes: the limit when MTU is 0
}

// ParseICMP fills m from ICMP message b, which ParseIP returned with h. The checksum is always verified:
// no device vouches for that of ICMP. If the result is not DropNone, m holds nothing of use.
func ParseICMP(h *IPHeader, b []byte, m *ICMP) Drop {
	if len(b) < icmpHeaderLen {
		return DropICMPShort
	}
	var start Sum // only ICMPv6 covers a pseudo-header (RFC 4443 section 2.3)
	switch {
	case h.V6 && h.Protocol == ProtoICMPv6:
		start = PseudoHeader(h, len(b))
	case h.V6 || h.Protocol != ProtoICMP:
		return DropICMPProtocol
	}
	if !Checksum(b, start).Valid() {
		return DropICMPChecksum
	}
	*m = ICMP{Type: b[0], Code: b[1], Data: b[icmpHeaderLen:]}
	if h.V6 {
		m.classify6(b)
	} else {
		m.classify4(b)
	}
	switch m.Kind {
	case ICMPEchoRequest, ICMPEchoReply:
		m.EchoID = binary.BigEndian.Uint16(b[4:])
		m.EchoSeq = binary.BigEndian.Uint16(b[6:])
	case ICMPUnreachable, ICMPTooBig, ICMPTimeExceeded, ICMPParamProblem:
		m.parseQuote(h)
	}
	return DropNone
}

// classify4 sets Kind and what belongs to it (RFC 792).
func (m *ICMP) classify4(b []byte) {
	switch m.Type {
	case icmp4EchoRequest:
		m.Kind = ICMPEchoRequest
	case icmp4EchoReply:
		m.Kind = ICMPEchoReply
	case icmp4TimeExceeded:
		m.Kind = ICMPTimeExceeded
	case icmp4ParamProblem:
		m.Kind = ICMPParamProblem
	case icmp4Unreachable:
		if m.Code == icmp4CodeFragNeeded {
			m.Kind = ICMPTooBig
			m.MTU = uint32(binary.BigEndian.Uint16(b[6:])) // RFC 1191 section 4
			return
		}
		m.Kind = ICMPUnreachable
		m.Hard = hard4(m.Code)
	}
}

// hard4 follows RFC 1122 section 4.2.3.9 (protocol and port unreachable) and adds, as Linux does, hosts
// that do not exist and administrative prohibition (RFC 1812 section 5.2.7.1).
func hard4(code uint8) bool {
	switch code {
	case 2, 3, 6, 7, 8, 9, 10, 13, 14, 15:
		return true
	}
	return false
}

// classify6 sets Kind and what belongs to it (RFC 4443).
func (m *ICMP) classify6(b []byte) {
	switch m.Type {
	case icmp6EchoRequest:
		m.Kind = ICMPEchoRequest
	case icmp6EchoReply:
		m.Kind = ICMPEchoReply
	case icmp6TimeExceeded:
		m.Kind = ICMPTimeExceeded
	case icmp6ParamProblem:
		m.Kind = ICMPParamProblem
	case icmp6TooBig:
		m.Kind = ICMPTooBig
		m.MTU = binary.BigEndian.Uint32(b[4:])
	case icmp6Unreachable:
		m.Kind = ICMPUnreachable
		// Administratively prohibited, port, ingress/egress policy, reject route (section 3.1).
		m.Hard = m.Code == 1 || m.Code == icmp6CodePort || m.Code == 5 || m.Code == 6
	}
}

// parseQuote reads the packet that an error quotes. Only the IP header and 8 bytes behind it are sure to
// be there (RFC 792); for TCP these are the ports and the sequence number.
func (m *ICMP) parseQuote(outer *IPHeader) {
	var q IPHeader
	length, ok := parseQuotedIP(m.Data, outer.V6, &q)
	if !ok || q.Protocol != ProtoTCP || len(m.Data) < q.HeaderLen+8 {
		return
	}
	// An error goes to the source of the packet it quotes (RFC 1122 section 3.2.2, RFC 4443 section 2.2).
	if q.Src != outer.Dst {
		return
	}
	t := m.Data[q.HeaderLen:]
	m.Quoted = true
	m.QuotedLen = length
	m.Seq = Seq(binary.BigEndian.Uint32(t[4:]))
	m.Flow = Flow{
		Local:      q.Src,
		Remote:     q.Dst,
		LocalPort:  binary.BigEndian.Uint16(t[0:]),
		RemotePort: binary.BigEndian.Uint16(t[2:]),
	}
}

// parseQuotedIP is ParseIP for a header that came back in an error: cut short, and possibly with a
// checksum, TTL or length that a router on the way has changed, so that these are not judged.
func parseQuotedIP(b []byte, v6 bool, q *IPHeader) (length int, ok bool) {
	if v6 {
		if len(b) < ipv6HeaderLen || b[0]>>4 != 6 {
			return 0, false
		}
		*q = IPHeader{Src: Addr(b[8:24]), Dst: Addr(b[24:40]), Protocol: b[6], V6: true, HeaderLen: ipv6HeaderLen}
		// We send no extension headers, so that a quote with others than TCP next is not ours.
		return ipv6HeaderLen + int(binary.BigEndian.Uint16(b[4:])), true
	}
	if len(b) < ipv4HeaderLen || b[0]>>4 != 4 || b[0]&15 < 5 {
		return 0, false
	}
	if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 { // a later fragment has no TCP header
		return 0, false
	}
	*q = IPHeader{
		Src:       addrFrom4([4]byte(b[12:16])),
		Dst:       addrFrom4([4]byte(b[16:20])),
		Protocol:  b[9],
		HeaderLen: int(b[0]&15) * 4,
	}
	return int(binary.BigEndian.Uint16(b[2:])), true
}
