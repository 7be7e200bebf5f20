package nicoffload

import "encoding/binary"

const (
	tls12     = 0x0303
	tls13     = 0x0304
	headerLen = 5
	// explicitLen is the part of the nonce that TLS 1.2 sends with each record (RFC 5288 section 3).
	explicitLen = 8
	maxPrefix   = headerLen + explicitLen
	// maxRecord is the longest record: RFC 8446 section 5.2, RFC 5246 section 6.2.3.
	maxRecord = headerLen + 1<<14 + 2048
)

// A place is where a cipher unit stands in the stream of records of its context: everything that the adapter
// keeps in its own memory between two frames.
type place struct {
	number uint64
	length int // wire bytes of the record under way; 0: none is
	off    int // wire bytes of it that have passed
	prefix [maxPrefix]byte
	nonce  [nonceLen]byte
	aad    [maxPrefix]byte
	tag    [tagLen]byte
}

// at reports whether run r goes on where p stands.
func (p *place) at(r *run) bool {
	if p.number != r.number || p.off != int(r.from) {
		return false
	}
	return p.off == 0 || p.length == int(r.length)
}

// start makes record number, which is length bytes long, the one under way, from its first byte.
func (p *place) start(number uint64, length int) { p.number, p.length, p.off = number, length, 0 }

// pass takes the next bytes src of the unsealed record and puts the sealed ones into dst, which is as long: the
// header as it is, the plaintext (and in TLS 1.3 the inner content type) enciphered, and in place of anything at
// the end the tag. src ends within the record or with it.
func (c *context) pass(dst, src []byte) {
	p := &c.place
	for len(src) > 0 {
		n := c.step(dst, src)
		p.off += n
		dst, src = dst[n:], src[n:]
		if p.off == c.prefixLen {
			c.begin()
		}
		if p.off == p.length-tagLen {
			c.key.tag(&p.tag)
		}
	}
	if p.off == p.length {
		p.start(p.number+1, 0)
	}
}

// step takes what src has of the part of the record that begins at the place: header, body or tag.
func (c *context) step(dst, src []byte) int {
	p := &c.place
	end := p.length - tagLen
	switch {
	case p.off < c.prefixLen:
		n := min(c.prefixLen-p.off, len(src))
		copy(p.prefix[p.off:], src[:n])
		return copy(dst, src[:n])
	case p.off < end:
		n := min(end-p.off, len(src))
		c.key.seal(dst[:n], src[:n])
		return n
	default:
		return copy(dst[:len(src)], p.tag[p.off-end:])
	}
}

// begin starts the cipher when the header has passed. The nonce is IV xor record number (RFC 8446 section 5.3);
// in TLS 1.2 the IV ends in zeros, so that the same sum is the salt followed by the number (RFC 5288 section 3).
func (c *context) begin() {
	p := &c.place
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

// fits reports whether a record of this length can be sealed by c.
func (c *context) fits(length int) bool { return length >= int(c.least) && length <= maxRecord }
