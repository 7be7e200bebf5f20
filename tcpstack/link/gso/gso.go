// Package gso does in software what a network adapter does with a frame that asks for offloads: it cuts a
// TCP superframe into the packets that would go over a wire, and completes checksums.
//
//  1. [Segment] takes a frame as the stack transmits it (headers, pieces) or as a link delivers it (all in
//     Data, GSO set).
//  2. Each packet gets a copy of the headers with its own lengths, sequence number, IP identification and
//     flags, and its share of the payload.
//  3. The checksums are completed; the callback sees a packet as it would be on the wire.
//
// Linux does the same in net/ipv4/tcp_offload.c (tcp_gso_segment).
package gso

import (
	"encoding/binary"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/wire"
)

const (
	ipv4Header   = 20 // without options
	ipv6Header   = 40
	tcpHeaderMin = 20

	tcpSeq   = 4 // offsets in a TCP header
	tcpOff   = 12
	tcpFlags = 13
)

// A Segmenter holds the memory in which packets are built. The zero value is ready; it is not safe for
// concurrent use.
type Segmenter struct {
	buf    []byte
	pieces [][]byte // the payload of the frame under way
	next   int      // the first piece that has bytes left
}

// Segment calls emit with each wire packet of f, in order. The packet is the segmenter's memory, valid until
// emit returns, and emit may change it. A frame that is no superframe comes out as one packet; its checksum
// is completed if it is partial and left as it is otherwise.
//
// It reports false, having emitted nothing, if the frame is malformed: no TCP superframe although GSO is
// set, headers not within Data, or a checksum field outside.
func (s *Segmenter) Segment(f *link.Frame, emit func(packet []byte)) bool {
	if f.GSO == 0 {
		return s.single(f, emit)
	}
	var h headers
	if !h.parse(f) {
		return false
	}
	s.take(f, h.length)
	defer s.forget()
	left := f.Len() - h.length
	for i := 0; ; i++ {
		n := min(left, int(f.GSO))
		left -= n
		s.buf = append(s.buf[:0], f.Data[:h.length]...)
		s.gather(n)
		h.fix(s.buf, i, int(f.GSO), left == 0)
		emit(s.buf)
		if left == 0 {
			return true
		}
	}
}

// single is Segment for a frame that is one packet already.
func (s *Segmenter) single(f *link.Frame, emit func([]byte)) bool {
	s.buf = append(s.buf[:0], f.Data...)
	for _, p := range f.Pieces {
		s.buf = append(s.buf, p...)
	}
	if f.Csum == link.CsumPartial {
		if !wire.FillChecksum(s.buf, nil, int(f.CsumStart), int(f.CsumOffset)) {
			return false
		}
	}
	emit(s.buf)
	return true
}

// take starts on the payload of f: the rest of Data behind the headers, then the pieces.
func (s *Segmenter) take(f *link.Frame, headers int) {
	s.pieces = append(s.pieces[:0], f.Data[headers:])
	s.pieces = append(s.pieces, f.Pieces...)
	s.next = 0
}

// forget drops the references to the frame's payload.
func (s *Segmenter) forget() {
	clear(s.pieces)
	s.pieces = s.pieces[:0]
}

// gather moves the next n bytes of payload into buf.
func (s *Segmenter) gather(n int) {
	for n > 0 {
		p := s.pieces[s.next]
		m := min(n, len(p))
		s.buf = append(s.buf, p[:m]...)
		s.pieces[s.next] = p[m:]
		n -= m
		if m == len(p) {
			s.next++
		}
	}
}

// headers are what all packets of a superframe share.
type headers struct {
	v6     bool
	tcp    int // offset of the TCP header
	length int // of IP and TCP headers together
	id     uint16
	seq    uint32
	flags  wire.Flags
	ip     wire.IPHeader // addresses and protocol, for the pseudo-header
}

// parse reads the headers of superframe f, which must be whole within Data.
func (h *headers) parse(f *link.Frame) bool {
	b := f.Data
	if len(b) < ipv4Header {
		return false
	}
	h.ip = wire.IPHeader{Protocol: wire.ProtoTCP}
	switch b[0] >> 4 {
	case 4:
		if b[9] != wire.ProtoTCP {
			return false
		}
		h.tcp = int(b[0]&15) * 4
		h.id = binary.BigEndian.Uint16(b[4:])
		h.ip.Src[10], h.ip.Src[11] = 0xff, 0xff
		h.ip.Dst[10], h.ip.Dst[11] = 0xff, 0xff
		copy(h.ip.Src[12:], b[12:16])
		copy(h.ip.Dst[12:], b[16:20])
	case 6:
		if len(b) < ipv6Header || b[6] != wire.ProtoTCP { // nobody sends superframes with extension headers
			return false
		}
		h.v6, h.ip.V6 = true, true
		h.tcp = ipv6Header
		copy(h.ip.Src[:], b[8:24])
		copy(h.ip.Dst[:], b[24:40])
	default:
		return false
	}
	if h.tcp < ipv4Header || len(b) < h.tcp+tcpHeaderMin {
		return false
	}
	t := b[h.tcp:]
	n := int(t[tcpOff]>>4) * 4
	h.length = h.tcp + n
	h.seq = binary.BigEndian.Uint32(t[tcpSeq:])
	h.flags = wire.Flags(t[tcpFlags])
	return n >= tcpHeaderMin && h.length <= len(b)
}

// fix makes packet b, a copy of the headers with a share of the payload behind, the i-th of its superframe.
func (h *headers) fix(b []byte, i, gso int, last bool) {
	if h.v6 {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-ipv6Header))
	} else {
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		// RFC 6864 section 4.1 would allow any value with DF set; counting up is what Linux does.
		binary.BigEndian.PutUint16(b[4:], h.id+uint16(i))
		b[10], b[11] = 0, 0
		binary.BigEndian.PutUint16(b[10:], ^wire.Checksum(b[:h.tcp], 0).Fold())
	}
	t := b[h.tcp:]
	binary.BigEndian.PutUint32(t[tcpSeq:], h.seq+uint32(i*gso))
	flags := h.flags
	if !last {
		flags &^= wire.FIN | wire.PSH
	}
	if i > 0 {
		flags &^= wire.CWR // RFC 3168 section 6.1.2: CWR is for the first new data packet
	}
	t[tcpFlags] = byte(flags)
	t[wire.ChecksumOffset], t[wire.ChecksumOffset+1] = 0, 0
	sum := wire.Checksum(t, wire.PseudoHeader(&h.ip, len(t)))
	binary.BigEndian.PutUint16(t[wire.ChecksumOffset:], ^sum.Fold())
}
