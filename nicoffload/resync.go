package nicoffload

// rebuild reads the beginning of a record once more and passes it through the cipher, for nothing but the state
// in which that leaves it: the keystream's position and the hash of all ciphertext before.
func (n *nic) rebuild(d *desc) {
	r := &d.runs[0]
	c := r.ctx
	c.place.start(r.number, int(r.length))
	in := cursor{pieces: d.pieces}
	left := n.faults.staleDump(d.payload)
	for left > 0 {
		p := in.next(min(left, len(n.trash)))
		c.pass(n.trash[:len(p)], p)
		left -= len(p)
	}
	if c.place.off != d.payload { // only a faulty adapter believes that it stands there
		c.place.off = d.payload
	}
}

// seal passes the payload of d through the ciphers of its runs to dst. False: a run does not go on where its
// context stands, so that the driver has lost its way; the frame must not leave.
func (n *nic) seal(dst []byte, d *desc) bool {
	in := cursor{pieces: d.pieces}
	for i := range d.runs {
		for j := range d.runs[i].count {
			r := d.runs[i].one(j)
			if !r.ctx.enter(&r) {
				return false
			}
			from := dst
			for left := r.size(); left > 0; {
				p := in.next(left)
				r.ctx.pass(dst[:len(p)], p)
				dst = dst[len(p):]
				left -= len(p)
			}
			n.faults.spoilSealed(from, d, &r)
		}
	}
	return true
}

// enter puts the context to the beginning of r, which is where it stands, or a record's first byte.
func (c *context) enter(r *run) bool {
	if r.from == 0 {
		c.place.start(r.number, int(r.length))
		return true
	}
	return c.place.at(r)
}
