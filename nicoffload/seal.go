package nicoffload

import (
	"encoding/binary"

	"ocaserve/tcpstack/stream"
)

const (
	tls12     = 0x0303
	tls13     = 0x0304
	headerLen = 5
	// explicitLen is the part of the nonce that TLS 1.2 sends with each record (RFC 5288 section 3).
	explicitLen = 8
	maxPrefix   = headerLen + explicitLen
	// typeData is the type on the outside of all records of TLS 1.3, application_data.
	typeData = 23
	// maxRecord is the longest record: RFC 8446 section 5.2, RFC 5246 section 6.2.3.
	maxRecord = headerLen + 1<<14 + 2048
)

// A place is where a cipher unit stands in the stream of records of its context: everything that the adapter
// keeps in its own memory between two frames.
type place struct {
	number uint64
	length int     // wire bytes of the record under way; 0: none is
	off    int     // wire bytes of it that have passed
	typ    [1]byte // content type of the record under way, where it can be sealed from
	prefix [maxPrefix]byte
	nonce  [nonceLen]byte
	aad    [maxPrefix]byte
	tag    [tagLen]byte
}

// at reports whether run r goes on where p stands.
func (p *place) at(r *run) bool {
	return p.number == r.number && p.off == int(r.from) && p.length == int(r.length) && p.typ[0] == r.typ
}

// pass makes the next wire bytes of the record under way, as many as dst holds. What of them is plaintext comes from in.
func (c *context) pass(dst []byte, in *cursor) {
	p := &c.place
	for len(dst) > 0 {
		n := c.step(dst, in)
		p.off += n
		dst = dst[n:]
		if p.off == p.length-tagLen {
			c.key.tag(&p.tag)
		}
	}
	if p.off == p.length {
		p.number, p.length, p.off = p.number+1, 0, 0
	}
}

// step makes what dst has room for of the part of the record that begins at the place: header, plaintext, inner content
// type or tag.
func (c *context) step(dst []byte, in *cursor) int {
	p := &c.place
	end := p.length - tagLen
	plain := end - c.inner
	switch {
	case p.off < c.prefixLen:
		return copy(dst, p.prefix[p.off:c.prefixLen])
	case p.off < plain:
		src := in.next(min(plain-p.off, len(dst)))
		c.key.seal(dst[:len(src)], src)
		return len(src)
	case p.off < end:
		c.key.seal(dst[:1], p.typ[:])
		return 1
	default:
		return copy(dst, p.tag[p.off-end:])
	}
}

// begin makes r's first record the one under way, from its first byte: its header, and the state of the cipher. The nonce
// is IV xor record number (RFC 8446 section 5.3); in TLS 1.2 the IV ends in zeros, so that the same sum is the salt
// followed by the number (RFC 5288 section 3), which the record carries.
func (c *context) begin(r *run) {
	p := &c.place
	p.number, p.length, p.off, p.typ[0] = r.number, int(r.length), 0, r.typ
	p.prefix[0], p.prefix[1], p.prefix[2] = r.typ, 3, 3
	if c.version == tls13 {
		p.prefix[0] = typeData
	}
	binary.BigEndian.PutUint16(p.prefix[3:], uint16(p.length-headerLen))
	binary.BigEndian.PutUint64(p.prefix[headerLen:], r.number)
	p.nonce = c.iv
	tail := p.nonce[nonceLen-8:]
	binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^p.number)
	c.key.begin(&p.nonce, c.additional())
}

// additional is the additional data: the header (RFC 8446 section 5.2), or number, type, version and length of
// the plaintext (RFC 5246 section 6.2.3.3).
func (c *context) additional() []byte {
	p := &c.place
	if c.version == tls13 {
		return append(p.aad[:0], p.prefix[:headerLen]...)
	}
	binary.BigEndian.PutUint64(p.aad[:], p.number)
	copy(p.aad[8:], p.prefix[:3])
	binary.BigEndian.PutUint16(p.aad[11:], uint16(p.length-c.prefixLen-tagLen))
	return p.aad[:]
}

// fits reports whether a run is of records that c can seal, and lies within them.
func (c *row) fits(s *stream.Sealing) bool {
	if s.Len < int(c.least) || s.Len > maxRecord || s.Count < 1 || s.Count > maxGSO {
		return false
	}
	return s.From >= 0 && s.From < s.Len && s.To >= 1 && s.To <= s.Len && (s.Count > 1 || s.From < s.To)
}

// plainOf is how many of the wire bytes of count records of that length are plaintext, from byte `from` of the first to byte
// `to` of the last.
func (c *row) plainOf(count, length, from, to int) int {
	plain := length - int(c.least)
	if from == 0 && to == length {
		return count * plain
	}
	before := int(c.before)
	return (count-1)*plain + min(max(to-before, 0), plain) - min(max(from-before, 0), plain)
}
