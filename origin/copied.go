package origin

import "ocaserve/tcpstack/stream"

// copyBelow is the length under which a run of a page is copied instead of pinning the page: what is queued is
// counted by its bytes, and one byte that holds a page of 64 KiB, in responses that a client asks for by the
// hundred and does not read, would let a few connections hold the whole cache.
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

// unpin replaces the pieces that are short runs of pages by copies, and lets the pages go. It returns how many
// bytes that copied.
func (sh *shard) unpin(pieces []stream.Piece) (bytes int) {
	for i, p := range pieces {
		switch p.Ref.(type) {
		case nil, *block, *listingPage:
			continue
		}
		if len(p.Data) >= copyBelow {
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
