package wire

// A Drop says why a packet is not handled; DropNone says that it is. The stack counts each reason.
type Drop uint8

const (
	DropNone Drop = iota

	DropIPShort      // ends inside the fixed IP header
	DropIPVersion    // neither 4 nor 6
	DropIPHeaderLen  // IPv4 IHL below 5 words or beyond the packet
	DropIPTruncated  // the frame is shorter than the length its IP header states
	DropIPChecksum   // IPv4 header checksum is wrong
	DropIPOptions    // malformed IPv4 option, source route, or an IPv6 option that demands discarding
	DropIPExtensions // IPv6 extension header chain malformed, too long, or a routing header not at its end
	DropIPSource     // source address that no host may use
	DropIPMapped     // IPv4-mapped address in an IPv6 header
	DropFragment     // part of a fragmented packet; there is no reassembly

	DropTCPShort     // ends inside the fixed TCP header
	DropTCPHeaderLen // data offset below 5 words or beyond the segment
	DropTCPChecksum  // checksum is wrong
	DropTCPAddress   // TCP from nobody or to a group (RFC 9293 section 3.9.2.3)

	DropICMPShort    // ends inside the fixed ICMP header
	DropICMPChecksum // checksum is wrong
	DropICMPProtocol // ICMPv4 over IPv6, or the reverse

	NumDrops // how many reasons there are, DropNone included: the size of an array of counters
)

// dropNames are the spellings used for counters, in the order of the constants.
var dropNames = [NumDrops]string{
	DropNone:         "none",
	DropIPShort:      "ip_short",
	DropIPVersion:    "ip_version",
	DropIPHeaderLen:  "ip_header_len",
	DropIPTruncated:  "ip_truncated",
	DropIPChecksum:   "ip_checksum",
	DropIPOptions:    "ip_options",
	DropIPExtensions: "ip_extensions",
	DropIPSource:     "ip_source",
	DropIPMapped:     "ip_mapped",
	DropFragment:     "fragment",
	DropTCPShort:     "tcp_short",
	DropTCPHeaderLen: "tcp_header_len",
	DropTCPChecksum:  "tcp_checksum",
	DropTCPAddress:   "tcp_address",
	DropICMPShort:    "icmp_short",
	DropICMPChecksum: "icmp_checksum",
	DropICMPProtocol: "icmp_protocol",
}

// String returns the reason as a counter name, lower case with underscores.
func (d Drop) String() string {
	if d < NumDrops {
		return dropNames[d]
	}
	return "unknown"
}
