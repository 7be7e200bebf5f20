package stream

// The table of a Reassembly: which block holds which bytes. Entry i holds the bytes from
// origin + i*BlockSize; an entry is nil until a byte for it arrives.

// place returns the table entry that holds off, and the index of the byte in its block.
func (r *Reassembly) place(off int64) (entry uint32, at int) {
	d := uint64(off - r.origin)
	return uint32(d / BlockSize), int(d % BlockSize)
}

// slot returns where entry i of the table stands in the ring.
func (r *Reassembly) slot(i uint32) **block {
	return &r.table[(r.head+i)&uint32(len(r.table)-1)]
}

// entry returns the block of entry i.
func (r *Reassembly) entry(i uint32) *block { return *r.slot(i) }

// reserve makes sure that the bytes of seg have blocks, from the first on. It returns the end of the bytes
// that have: seg.To, or less if the pool is at its bound.
func (r *Reassembly) reserve(seg Range, inOrder bool) int64 {
	first, _ := r.place(seg.From)
	last, _ := r.place(seg.To - 1)
	if int(last) >= len(r.table) {
		r.growTable(last + 1)
	}
	for i := first; i <= last; i++ {
		s := r.slot(i)
		if *s == nil {
			if *s = r.pool.get(inOrder); *s == nil {
				return max(seg.From, r.origin+int64(i)*BlockSize)
			}
			r.blocks++
		}
		r.n = max(r.n, i+1)
	}
	return seg.To
}

// growTable makes room for n entries.
func (r *Reassembly) growTable(n uint32) {
	table := r.pool.tables.get(int(n))
	k := copy(table, r.table[r.head:])
	copy(table[k:], r.table[:r.head])
	clear(r.table)
	r.pool.tables.put(r.table)
	r.table, r.head = table, 0
}

// store copies p to off. The blocks are there.
func (r *Reassembly) store(off int64, p []byte) {
	i, at := r.place(off)
	for len(p) > 0 {
		n := copy(r.entry(i)[at:], p)
		p, at = p[n:], 0
		i++
	}
}

// free gives the block of entry i back, if there is one.
func (r *Reassembly) free(i uint32) {
	if s := r.slot(i); *s != nil {
		r.pool.put(*s)
		*s = nil
		r.blocks--
	}
}

// freeBelow frees the entries that lie wholly before off and makes the next one entry 0.
func (r *Reassembly) freeBelow(off int64) {
	for off-r.origin >= BlockSize {
		if r.n > 0 {
			r.free(0)
			r.head = (r.head + 1) & uint32(len(r.table)-1)
			r.n--
		}
		r.origin += BlockSize
	}
}

// freeAbove frees the entries that lie wholly at or after off.
func (r *Reassembly) freeAbove(off int64) {
	keep := uint32((off - r.origin + BlockSize - 1) / BlockSize)
	for r.n > keep {
		r.n--
		r.free(r.n)
	}
}

// freeUnused frees the blocks of seg, a range beyond next, that hold no byte.
func (r *Reassembly) freeUnused(seg Range) {
	for off := seg.From; off < seg.To; {
		i, at := r.place(off)
		b := Range{off - int64(at), off - int64(at) + BlockSize}
		if _, used := r.strays.set.Overlap(b); !used && b.From >= r.next {
			r.free(i)
		}
		off = b.To
	}
}

// freeAll frees everything and lets the next block begin at read.
func (r *Reassembly) freeAll() {
	r.freeAbove(r.origin)
	r.pool.tables.put(r.table)
	r.table, r.head = nil, 0
	r.origin = r.read
}
