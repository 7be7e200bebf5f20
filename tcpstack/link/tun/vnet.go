package tun

import (
	"encoding/binary"

	"ocaserve/tcpstack/link"
)

// The virtio_net_hdr in front of every packet (virtio 1.2 section 5.1.6), 10 bytes, little-endian:
//
//	0 flags | 1 gso_type | 2 hdr_len | 4 gso_size | 6 csum_start | 8 csum_offset
const vnetLen = 10

const (
	needsCsum = 1 // flags: the checksum field holds the pseudo-header sum
	dataValid = 2 // flags: the checksum has been verified

	gsoNone  = 0
	gsoTCPv4 = 1
	gsoTCPv6 = 4
	gsoECN   = 0x80 // with a TCP type: the first segment carries CWR, and only it
)

const (
	maxPacket = 65535 // the length fields of IPv4 and virtio hold 16 bits

	tcpDataOffset = 12 // byte of the TCP header whose upper half is its length in words
	tcpFlags      = 13
	tcpCWR        = 0x80
	tcpHeaderMin  = 20
)

// parseVnet fills f from header h and packet p and reports whether the frame can be used: its packet is
// whole and of a kind that we asked for.
func parseVnet(h *[vnetLen]byte, p []byte, f *link.Frame) bool {
	if len(p) == 0 {
		return false
	}
	*f = link.Frame{Data: p}
	switch h[1] &^ gsoECN {
	case gsoNone:
	case gsoTCPv4, gsoTCPv6:
		f.GSO = binary.LittleEndian.Uint16(h[4:])
	default:
		return false // UDP superframes: not offered in TUNSETOFFLOAD
	}
	switch {
	case h[0]&needsCsum != 0:
		f.Csum = link.CsumPartial
		f.CsumStart = binary.LittleEndian.Uint16(h[6:])
		f.CsumOffset = binary.LittleEndian.Uint16(h[8:])
		return int(f.CsumStart)+int(f.CsumOffset)+2 <= len(p)
	case h[0]&dataValid != 0:
		f.Csum = link.CsumValid
	}
	return true
}

// putVnet writes the header for f, whose pieces follow Data, and reports whether f keeps the rules: a
// partial checksum lies within Data, a superframe has one and its TCP header is in Data.
func putVnet(h *[vnetLen]byte, f *link.Frame) bool {
	*h = [vnetLen]byte{}
	if f.Csum != link.CsumPartial {
		return f.GSO == 0
	}
	start := int(f.CsumStart)
	if start+int(f.CsumOffset)+2 > len(f.Data) {
		return false
	}
	h[0] = needsCsum
	binary.LittleEndian.PutUint16(h[6:], f.CsumStart)
	binary.LittleEndian.PutUint16(h[8:], f.CsumOffset)
	if f.GSO == 0 {
		return true
	}
	if start+tcpHeaderMin > len(f.Data) {
		return false
	}
	h[1] = gsoTCPv4
	if f.Data[0]>>4 == 6 {
		h[1] = gsoTCPv6
	}
	if f.Data[start+tcpFlags]&tcpCWR != 0 {
		h[1] |= gsoECN
	}
	// hdr_len tells the kernel how much to keep together at the front.
	headers := start + int(f.Data[start+tcpDataOffset]>>4)*4
	binary.LittleEndian.PutUint16(h[2:], uint16(headers))
	binary.LittleEndian.PutUint16(h[4:], f.GSO)
	return headers <= len(f.Data)
}
