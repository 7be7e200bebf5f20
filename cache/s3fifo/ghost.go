package s3fifo

// ways is the number of entries in a bucket: one cache line.
const ways = 8

// A ghostEntry remembers an evicted key by 32 bits of its hash and by the number of the eviction.
type ghostEntry struct {
	print uint32 // zero: empty
	at    uint32 // evictions counted when it was added; wraps, and only differences are used
}

// A ghost is the set of keys evicted from the small queue during the last `span` such evictions. It is a table
// of fingerprints without links: an entry leaves by growing old. A false positive (about 2^-29 per lookup) puts a
// page into the main queue one round early, which is harmless; a bucket that overflows forgets its oldest entry.
type ghost struct {
	entries []ghostEntry
	mask    uint64 // of bucket numbers
	span    uint32
	clock   uint32
}

func (g *ghost) init(span int) {
	buckets := 1
	for buckets*ways < 2*span { // at most half full, so that a bucket seldom overflows
		buckets *= 2
	}
	*g = ghost{entries: make([]ghostEntry, buckets*ways), mask: uint64(buckets - 1), span: uint32(span)}
}

// split separates a hash into a bucket and a fingerprint that share no bits of it.
func (g *ghost) split(hash uint64) (bucket []ghostEntry, print uint32) {
	at := (hash & g.mask) * ways
	print = uint32(hash >> 32)
	if print == 0 {
		print = 1
	}
	return g.entries[at : at+ways : at+ways], print
}

// add remembers an evicted key.
func (g *ghost) add(hash uint64) {
	bucket, print := g.split(hash)
	g.clock++
	oldest := 0
	for i := range bucket {
		if e := &bucket[i]; e.print == print || e.print == 0 {
			*e = ghostEntry{print, g.clock}
			return
		}
		if g.clock-bucket[i].at > g.clock-bucket[oldest].at {
			oldest = i
		}
	}
	bucket[oldest] = ghostEntry{print, g.clock}
}

// take reports whether the key was evicted within the span, and forgets it: it is in the cache again.
func (g *ghost) take(hash uint64) bool {
	bucket, print := g.split(hash)
	for i := range bucket {
		if e := &bucket[i]; e.print == print {
			recent := g.clock-e.at < g.span
			*e = ghostEntry{}
			return recent
		}
	}
	return false
}
