package nicoffload

// rebuild makes the beginning of a record once more, for nothing but the state in which that leaves the cipher: the
// keystream's position and the hash of all ciphertext before.
func (n *nic) rebuild(d *desc) {
	r := &d.runs[0]
	c := r.ctx
	c.begin(r)
	in := cursor{pieces: d.pieces}
	for left := n.faults.staleDump(int(r.to)); left > 0; {
		k := min(left, len(n.trash))
		c.pass(n.trash[:k], &in)
		left -= k
	}
	if c.place.off != int(r.to) { // only a faulty adapter believes that it stands there
		c.place.off = int(r.to)
	}
}

// seal makes the payload of d, which is as long as dst, of its pieces. False: a run does not go on where its context
// stands, so that the driver has lost its way; the frame must not leave.
func (n *nic) seal(dst []byte, d *desc) bool {
	in := cursor{pieces: d.pieces}
	for i := range d.runs {
		for j := range d.runs[i].count {
			r := d.runs[i].one(j)
			if !r.ctx.enter(&r) {
				return false
			}
			plain, k := in, r.size()
			r.ctx.pass(dst[:k], &in)
			n.faults.spoilSealed(dst[:k], plain, &r)
			dst = dst[k:]
		}
	}
	return true
}

// enter puts the context to the beginning of r, which is where it stands, or a record's first byte.
func (c *context) enter(r *run) bool {
	if r.from == 0 {
		c.begin(r)
		return true
	}
	return c.place.at(r)
}
