package nicoffload

import (
	"encoding/binary"

	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/wire"
)

const (
	ipv4Header = 20
	ipv6Header = 40
	tcpSeq     = 4 // offsets in a TCP header
	tcpOff     = 12
	tcpFlags   = 13
)

// super are the headers of a superframe, taken apart to be written anew for each segment. The adapter cuts with
// them, and so does the driver while TSO is switched off; verification cuts with tcpstack/link/gso instead, so
// that it does not check a mistake by itself.
type super struct {
	head   []byte
	ip     int // length of the IP header
	gso    int
	v6     bool
	pseudo wire.Sum // of addresses and protocol
}

// parse reads the headers of a TCP superframe; false: that is no such thing.
func (s *super) parse(head []byte, gso uint16) bool {
	*s = super{head: head, gso: int(gso)}
	if len(head) < ipv4Header || gso == 0 {
		return false
	}
	protocol := head[9]
	addresses := []byte(nil)
	switch head[0] >> 4 {
	case 4:
		s.ip = int(head[0]&15) * 4
		addresses = head[12:20]
	case 6:
		if len(head) < ipv6Header {
			return false
		}
		s.v6, s.ip = true, ipv6Header
		addresses, protocol = head[8:40], head[6]
	}
	if protocol != wire.ProtoTCP || s.ip < ipv4Header || len(head) < s.ip+wire.ChecksumOffset+2 {
		return false
	}
	s.pseudo = wire.Checksum([]byte{0, wire.ProtoTCP}, wire.Checksum(addresses, 0))
	return int(head[s.ip+tcpOff]>>4)*4 == len(head)-s.ip
}

// put writes the headers of segment i with n bytes of payload to b, which is as long as the superframe's. The
// checksum is partial: the sum of the pseudo-header.
func (s *super) put(b []byte, i, n int, last bool) {
	copy(b, s.head)
	if s.v6 {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-ipv6Header+n))
	} else {
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)+n))
		// Counting up is what Linux does; RFC 6864 section 4.1 allows any value with DF set.
		binary.BigEndian.PutUint16(b[4:], binary.BigEndian.Uint16(b[4:])+uint16(i))
		b[10], b[11] = 0, 0
		binary.BigEndian.PutUint16(b[10:], ^wire.Checksum(b[:s.ip], 0).Fold())
	}
	t := b[s.ip:]
	binary.BigEndian.PutUint32(t[tcpSeq:], binary.BigEndian.Uint32(t[tcpSeq:])+uint32(i*s.gso))
	if !last {
		t[tcpFlags] &^= byte(wire.FIN | wire.PSH)
	}
	if i > 0 {
		t[tcpFlags] &^= byte(wire.CWR) // RFC 3168 section 6.1.2: CWR is for the first new data packet
	}
	length := [2]byte{byte((len(t) + n) >> 8), byte(len(t) + n)}
	binary.BigEndian.PutUint16(t[wire.ChecksumOffset:], wire.Checksum(length[:], s.pseudo).Fold())
}

// A cursor walks over pieces without changing them.
type cursor struct {
	pieces [][]byte
	i, at  int
}

// next returns at most n bytes that lie together, at least one; the caller asks for no more than there is.
func (c *cursor) next(n int) []byte {
	for c.at == len(c.pieces[c.i]) {
		c.i, c.at = c.i+1, 0
	}
	p := c.pieces[c.i][c.at:]
	p = p[:min(n, len(p))]
	c.at += len(p)
	return p
}

// take appends the next n bytes to pieces, by reference.
func (c *cursor) take(pieces [][]byte, n int) [][]byte {
	for n > 0 {
		p := c.next(n)
		pieces = append(pieces, p)
		n -= len(p)
	}
	return pieces
}

// hostSegments is how many descriptors f takes: one, unless the driver has to cut it because TSO is switched off.
func (d *Device) hostSegments(f *link.Frame, payload int) int {
	if f.GSO == 0 || len(f.Data) == 0 || len(f.Data) > maxInline || d.nif.features.has(tsoFor(f.Data)) {
		return 1
	}
	return packets(f.GSO, payload)
}

// tsoFor is the feature that a superframe with these headers needs.
func tsoFor(head []byte) feature {
	if head[0]>>4 == 6 {
		return tso6
	}
	return tso4
}

// cutOnHost is Linux's GSO: superframe f goes to the adapter in segments, made of the same pieces. Runs are cut by wire
// bytes, pieces by what of these is plaintext. The time it takes is the host's.
func (d *Device) cutOnHost(f *link.Frame, payload int) {
	var s super
	if !s.parse(f.Data, f.GSO) {
		d.fillWhole(f, payload, size(f.Pieces))
		return
	}
	in := cursor{pieces: f.Pieces}
	seg := link.Frame{Rate: f.Rate, Flow: f.Flow, Book: f.Book, Seal: f.Seal, Csum: link.CsumPartial, CsumStart: uint16(s.ip), CsumOffset: wire.ChecksumOffset}
	for i, at := 0, 0; at < payload; i++ {
		n := min(s.gso, payload-at)
		seg.Data = d.head[:len(f.Data)]
		s.put(seg.Data, i, n, at+n == payload)
		d.cut = clip(d.cut[:0], d.runs, at, at+n)
		fetch := n
		if len(d.runs) > 0 {
			fetch = d.plainOf(d.cut)
		}
		d.pieces = in.take(d.pieces[:0], fetch)
		seg.Pieces = d.pieces
		e := d.next()
		e.runs = append(e.runs[:0], d.cut...)
		d.fill(e, &seg, n, fetch)
		at += n
	}
	clear(d.pieces[:cap(d.pieces)])
	d.count.gsoFrames.Add(1)
}

// clip appends to out what runs have in bytes [from, to) of the payload, record by record.
func clip(out, runs []run, from, to int) []run {
	at := 0 // of the record's first byte in the payload
	for i := range runs {
		for j := range runs[i].count {
			cut := runs[i].one(j)
			end := at + cut.size()
			if at < to && end > from {
				cut.from += uint16(max(0, from-at))
				cut.to -= uint16(max(0, end-to))
				out = append(out, cut)
			}
			at = end
		}
	}
	return out
}

// plainOf is the number of plaintext bytes of runs.
func (d *Device) plainOf(runs []run) (n int) {
	for i := range runs {
		r := &runs[i]
		n += d.table.rows[r.row].plainOf(int(r.count), int(r.length), int(r.from), int(r.to))
	}
	return n
}

// fillChecksum completes the checksum of e on the host, in the descriptor's own copy of the headers.
func (d *Device) fillChecksum(f *link.Frame, e *desc) {
	if len(f.Data) > maxInline {
		e.data = append([]byte(nil), f.Data...)
	}
	if wire.FillChecksum(e.data, e.pieces, int(e.csumStart), int(e.csumOffset)) {
		e.csum = link.CsumComplete
		f.Book.Add(ledger.Summed, e.payload)
	}
}
