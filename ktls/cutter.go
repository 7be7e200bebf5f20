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
		p := c.pieces[c.at]
		take := min(n, len(p.Data)-c.off)
		if take > 0 {
			if c.off+take < len(p.Data) {
				p.Retain()
			}
			r.add(stream.Piece{Data: p.Data[c.off : c.off+take], Ref: p.Ref})
			n -= take
		}
		if c.off += take; c.off == len(p.Data) {
			if take == 0 {
				p.Release() // an empty piece: no record took its hold
			}
			c.at, c.off = c.at+1, 0
		}
	}
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

// release drops the holds that were not given away.
func (c *cutter) release() {
	for ; c.at < len(c.pieces); c.at, c.off = c.at+1, 0 {
		c.pieces[c.at].Release()
	}
}
