package origin

import "ocaserve/tcpstack/stream"

// copyBelow is the length under which runs of pages, on average over those that are appended together, are copied
// instead of pinning their pages: what is queued is counted by its bytes, and one byte that holds a page of 64 KiB, in
// responses that a client asks for by the hundred and does not read, would let a few connections hold the whole cache.
// The rest of a page that goes with the beginning of the next one is no such thing.
const copyBelow = 16 << 10

// A copied is a short run of a page in memory of the shard. It counts its holds and returns with the last one.
type copied struct {
	sh    *shard
	b     []byte // of sh.buffers
	holds int32
}

// Retain adds a hold.
func (c *copied) Retain() { c.holds++ }

// Release drops a hold; the last one gives the memory back.
func (c *copied) Release() {
	if c.holds--; c.holds > 0 {
		return
	}
	sh := c.sh
	sh.buffers.put(c.b)
	if c.b = nil; len(sh.copies) < keepFree {
		sh.copies = append(sh.copies, c)
	}
}

// unpin replaces the pieces that are short runs of pages by copies, and lets the pages go, unless they are long on
// average. It returns how many bytes that copied.
func (sh *shard) unpin(pieces []stream.Piece) (bytes int) {
	runs, length := 0, 0
	for i := range pieces {
		if ofPage(&pieces[i]) {
			runs, length = runs+1, length+len(pieces[i].Data)
		}
	}
	if length >= runs*copyBelow {
		return 0
	}
	for i, p := range pieces {
		if !ofPage(&p) || len(p.Data) >= copyBelow {
			continue
		}
		c := sh.newCopy()
		c.b = append(sh.buffers.get(len(p.Data)), p.Data...)
		pieces[i] = stream.Piece{Data: c.b, Ref: c}
		bytes += len(p.Data)
		p.Release()
	}
	return bytes
}

// ofPage reports whether p is a run of a page of the cache.
func ofPage(p *stream.Piece) bool {
	switch p.Ref.(type) {
	case nil, *block, *listingPage:
		return false
	}
	return true
}

func (sh *shard) newCopy() *copied {
	n := len(sh.copies)
	if n == 0 {
		return &copied{sh: sh, holds: 1}
	}
	c := sh.copies[n-1]
	sh.copies = sh.copies[:n-1]
	c.holds = 1
	return c
}
