package wire

// Flags are the control bits of a TCP header, in wire order (RFC 9293 section 3.1).
type Flags uint8

const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// Has reports whether every bit of f is set.
func (v Flags) Has(f Flags) bool { return v&f == f }

// An IPHeader is a parsed IPv4 or IPv6 header (extension headers skipped). To transmit, fill Src, Dst,
// Protocol, HopLimit, TOS, ID and DontFragment and let PutIP write it.
type IPHeader struct {
	Src, Dst     Addr
	Protocol     uint8 // upper layer: ProtoTCP, ProtoICMP, ProtoICMPv6, ...
	HopLimit     uint8
	TOS          uint8 // DSCP and ECN bits
	ID           uint16
	DontFragment bool
	FlowLabel    uint32 // IPv6 only, 20 bits (RFC 6437); 0: none
	V6           bool
	HeaderLen    int // bytes before the payload, options and extension headers included
}

const (
	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
)

// SACKBlock is one block of a SACK option: [Left, Right) (RFC 2018 section 3).
type SACKBlock struct{ Left, Right Seq }

// Options are the TCP options this stack knows; unknown ones are skipped on input.
type Options struct {
	MSS           uint16 // 0: absent
	WScale        uint8  // valid if HasWScale; at most 14 (RFC 7323 section 2.3)
	HasWScale     bool
	SACKPermitted bool
	HasTS         bool
	TSVal, TSEcr  uint32
	NSACK         uint8
	SACK          [4]SACKBlock // the first NSACK are valid, most recent first (RFC 2018 section 4)
	FastOpen      FastOpen     // on SYN only (RFC 7413)
	HasGuard      bool
	Guard         uint64 // connection cookie, experimental (RFC 6994); valid if HasGuard
}

// FastOpen is the Fast Open option (RFC 7413 section 2): a cookie, or without one the request for it.
type FastOpen struct {
	Has  bool
	Len  uint8 // bytes of Data; 0: a request
	Data [MaxFastOpen]byte
}

// MaxFastOpen is the longest Fast Open cookie (RFC 7413 section 4.1.1: 4 to 16 bytes, an even number).
const MaxFastOpen = 16

// NewFastOpen is the option with a cookie, which is cut at MaxFastOpen; none makes a request.
func NewFastOpen(cookie []byte) FastOpen {
	f := FastOpen{Has: true}
	f.Len = uint8(copy(f.Data[:], cookie))
	return f
}

// Cookie is the option's cookie; it aliases f.
func (f *FastOpen) Cookie() []byte { return f.Data[:f.Len] }

// A Segment is a TCP segment: its header as values and its payload by reference. A parsed segment's
// Payload aliases the frame it came from.
type Segment struct {
	SrcPort, DstPort uint16
	Seq              Seq
	Ack              Seq
	Flags            Flags
	Window           uint16 // as on the wire, unscaled
	Urgent           uint16
	Options          Options
	Payload          []byte
	// ECN is the IP header's ECN field (RFC 3168 section 5). ParseTCP takes it over from the header; who sends
	// puts it into IPHeader.TOS.
	ECN uint8
}

// Codepoints of the ECN field.
const (
	NotECT uint8 = 0
	ECT1   uint8 = 1
	ECT0   uint8 = 2
	CE     uint8 = 3 // congestion experienced
)

// Len is the sequence space the segment takes: payload plus SYN plus FIN (RFC 9293 section 3.4).
func (s *Segment) Len() int {
	n := len(s.Payload)
	if s.Flags&SYN != 0 {
		n++
	}
	if s.Flags&FIN != 0 {
		n++
	}
	return n
}
