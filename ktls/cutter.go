package ktls

import "ocaserve/tcpstack/stream"

// A cutter walks over pieces and cuts runs from them. It was given one hold on each piece; a piece that ends
// up in several records gets one more for each record but the last. The given hold leaves last: a record may
// be sealed and let go of its pieces before the next one is cut.
type cutter struct {
	pieces []stream.Piece
	at     int // next piece
	off    int // bytes of it already cut
}

// cut gives the next n bytes to r.
func (c *cutter) cut(r *record, n int) {
	r.expect(c.parts(n))
	for n > 0 {
		p := c.take(n)
		r.add(p)
		n -= len(p.Data)
	}
}

// take returns what lies together of the next n bytes, with a hold.
func (c *cutter) take(n int) stream.Piece {
	for len(c.pieces[c.at].Data) == 0 {
		c.pieces[c.at].Release() // no record takes its hold
		c.at++
	}
	p := c.pieces[c.at]
	data := p.Data[c.off:min(c.off+n, len(p.Data))]
	if c.off += len(data); c.off < len(p.Data) {
		p.Retain()
	} else {
		c.at, c.off = c.at+1, 0
	}
	return stream.Piece{Data: data, Ref: p.Ref}
}

// parts is how many pieces the next n bytes lie in.
func (c *cutter) parts(n int) (parts int) {
	for at, off := c.at, c.off; n > 0; at, off = at+1, 0 {
		if size := len(c.pieces[at].Data) - off; size > 0 {
			n -= size
			parts++
		}
	}
	return parts
}

// together is how many bytes the next n pieces hold that are not empty.
func (c *cutter) together(n int) (bytes int) {
	for at, off := c.at, c.off; n > 0 && at < len(c.pieces); at, off = at+1, 0 {
		if size := len(c.pieces[at].Data) - off; size > 0 {
			bytes += size
			n--
		}
	}
	return bytes
}

// release drops the holds that were not given away.
func (c *cutter) release() {
	for ; c.at < len(c.pieces); c.at, c.off = c.at+1, 0 {
		c.pieces[c.at].Release()
	}
}
