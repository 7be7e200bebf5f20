package ktls

import "ocaserve/tcpstack/stream"

// A cutter walks over pieces and cuts runs from them. It was given one hold on each piece; a piece that ends
// up in several records gets one more for each further record.
type cutter struct {
	pieces []stream.Piece
	at     int // next piece
	off    int // bytes of it already cut; > 0 means its hold has been given away
}

// cut appends the next n bytes to dst.
func (c *cutter) cut(dst []stream.Piece, n int) []stream.Piece {
	for n > 0 {
		p := c.pieces[c.at]
		take := min(n, len(p.Data)-c.off)
		if take > 0 {
			if c.off > 0 {
				p.Retain()
			}
			dst = append(dst, stream.Piece{Data: p.Data[c.off : c.off+take], Ref: p.Ref})
			n -= take
		}
		if c.off += take; c.off == len(p.Data) {
			c.skip()
		}
	}
	return dst
}

// skip leaves the current piece, dropping its hold if nothing was cut from it.
func (c *cutter) skip() {
	if c.off == 0 {
		c.pieces[c.at].Release()
	}
	c.at, c.off = c.at+1, 0
}

// release drops the holds that were not given away.
func (c *cutter) release() {
	for c.at < len(c.pieces) {
		c.skip()
	}
}
