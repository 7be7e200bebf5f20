package syn

import (
	"math/bits"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

const (
	ways      = 8  // slots in a bucket
	maxLevels = 16 // bound on MaxRetries + 1

	// maxWait bounds the time between two SYN-ACKs (RFC 6298 section 2.5: no less than 60 s), and with it
	// the life of an entry, to well below the 71 minutes after which a slot's clock wraps.
	maxWait = time.Minute
)

// Config bounds a Cache. The zero value takes the defaults.
type Config struct {
	Entries    int           // half-open connections kept, rounded up to a power of two; default 4096 (256 KiB)
	MaxRetries int           // times a SYN-ACK is sent again; default 5, as Linux: a peer has 63 s to answer
	RTO        time.Duration // until the first retransmission; default 1 s (RFC 6298 section 2.1); doubles each time
	// EvictOldest makes Add drop the oldest entry of a full bucket instead of refusing: for a listener without
	// cookies.
	EvictOldest bool
	Key         Key // secret of the hash; zero: a random one
}

// A Cache holds half-open connections in a fixed number of 64-byte slots, eight to a bucket. A flood fills it
// and changes nothing else: no memory grows, no operation gets slower. The hash is keyed, so that no
// one can aim at a bucket.
//
// Entries with equally many retries have equal time-outs, so that a list per number of retries in order
// of sending is also in order of deadlines: due entries stand at the heads, and every operation is O(1).
type Cache struct {
	slots  []slot
	mask   uint32 // buckets - 1
	key    Key
	rto    time.Duration
	levels int       // MaxRetries + 1
	evict  bool      // Config.EvictOldest
	base   mono.Time // latest time seen: slots hold only the low bits of theirs
	n      int
	stats  Stats
	queues [maxLevels]queue // by number of retries
}

// Stats count what became of half-open connections since the start.
type Stats struct {
	Added     uint64 // entries taken in
	Refused   uint64 // Add found no room
	Evicted   uint64 // dropped for a newer one
	Resent    uint64 // SYN-ACKs sent again
	Expired   uint64 // nobody answered
	Completed uint64 // taken out by Remove
}

// A queue is a list of slots, the one sent longest ago first. Links are slot index + 1; 0 ends the list.
type queue struct{ head, tail uint32 }

// A slot is an Entry packed into a cache line. With the times in microseconds modulo 2^32 (71 minutes, an
// entry lives for about one) and the booleans in one byte, it is exactly 64 bytes and holds no pointer.
type slot struct {
	flow       wire.Flow
	irs, iss   wire.Seq
	tsRecent   uint32
	sent       uint32 // microseconds, low 32 bits
	prev, next uint32 // links of its queue
	mss        uint16
	flags      uint8 // used, and the booleans of Entry
	scale      uint8 // WScale in the low, Retries in the high four bits
}

const (
	slotUsed uint8 = 1 << iota
	slotWScale
	slotSACK
	slotTS
	slotECN
	slotAgain
	slotFastOpen
)

// NewCache returns an empty cache.
func NewCache(c Config) *Cache {
	if c.Entries <= 0 {
		c.Entries = 4096
	}
	if c.MaxRetries <= 0 {
		c.MaxRetries = 5
	}
	if c.RTO <= 0 {
		c.RTO = time.Second
	}
	if c.Key == (Key{}) {
		c.Key = NewKey()
	}
	buckets := 1 << bits.Len(uint((max(c.Entries, ways)-1)/ways))
	return &Cache{
		slots:  make([]slot, buckets*ways),
		mask:   uint32(buckets - 1),
		key:    c.Key.derive('b', 0),
		rto:    c.RTO,
		levels: min(c.MaxRetries+1, maxLevels),
		evict:  c.EvictOldest,
	}
}

// Len is the number of entries held.
func (c *Cache) Len() int { return c.n }

// Cap is the largest number of entries the cache can hold.
func (c *Cache) Cap() int { return len(c.slots) }

// Stats returns the counters.
func (c *Cache) Stats() Stats { return c.stats }

// Add keeps e, whose SYN-ACK is sent now; e.Sent and e.Retries are not read. It reports false if there is no
// room: answer with a cookie, or not at all. An entry of the same flow is replaced.
func (c *Cache) Add(now mono.Time, e *Entry) bool {
	c.base = max(c.base, now)
	b := c.bucket(&e.Flow)
	i, oldest := uint32(0), uint32(0) // link of the place to take, of the oldest in the bucket
	for l := b + 1; l <= b+ways; l++ {
		s := c.at(l)
		switch {
		case s.flags&slotUsed == 0:
			i = max(i, l)
			continue
		case s.flow == e.Flow:
			c.drop(l)
			c.put(l, e)
			return true
		case oldest == 0 || c.older(s, c.at(oldest)):
			oldest = l
		}
	}
	if i == 0 {
		if !c.evict {
			c.stats.Refused++
			return false
		}
		c.drop(oldest)
		c.stats.Evicted++
		i = oldest
	}
	c.put(i, e)
	c.stats.Added++
	return true
}

// Lookup returns the entry of a flow.
func (c *Cache) Lookup(f *wire.Flow) (Entry, bool) {
	if l := c.find(f); l != 0 {
		return c.entry(c.at(l)), true
	}
	return Entry{}, false
}

// Again notes that the SYN of a flow came again and is answered again: the next ACK gives no RTT. ecn false
// takes ECN back: a SYN that is repeated without asking for it means that its sender has given it up (RFC 3168
// section 6.1.1.1).
func (c *Cache) Again(f *wire.Flow, ecn bool) {
	if l := c.find(f); l != 0 {
		s := c.at(l)
		s.flags |= slotAgain
		if !ecn {
			s.flags &^= slotECN
		}
	}
}

// Remove forgets the entry of a flow: the connection is established, or the peer reset it. It reports
// whether there was one.
func (c *Cache) Remove(f *wire.Flow) bool {
	l := c.find(f)
	if l == 0 {
		return false
	}
	c.drop(l)
	c.stats.Completed++
	return true
}

// Deadline is when Advance has something to do; mono.Never if the cache is empty. Advance may be late by minutes,
// but not by an hour: the clock of a slot wraps.
func (c *Cache) Deadline() mono.Time {
	at := mono.Never
	for level := range c.levels {
		if l := c.queues[level].head; l != 0 {
			at = min(at, c.due(c.at(l), level))
		}
	}
	return at
}

// Advance calls resend for each entry whose SYN-ACK is to be sent again now, and forgets those that have been
// sent often enough. resend gets a copy; it may call Lookup and Remove.
func (c *Cache) Advance(now mono.Time, resend func(*Entry)) {
	c.base = max(c.base, now)
	last := c.lastLevel()
	// From the highest level down: an entry that moves up a level gets a new deadline and is not met again.
	for level := c.levels - 1; level >= 0; level-- {
		for l := c.queues[level].head; l != 0; l = c.queues[level].head {
			s := c.at(l)
			if c.due(s, level) > now {
				break
			}
			c.unlink(l)
			if level >= last {
				c.free(s)
				c.stats.Expired++
				continue
			}
			s.scale += 1 << 4
			c.link(l)
			c.stats.Resent++
			e := c.entry(s)
			resend(&e)
		}
	}
}

// lastLevel is the number of retries after which an entry is given up. When more than half the cache is taken
// it falls to two (7 s): real clients mostly answer the first SYN-ACK, and the places are needed, and the
// SYN-ACKs of a flood with forged addresses hit bystanders.
func (c *Cache) lastLevel() int {
	if c.n > len(c.slots)/2 {
		return min(2, c.levels-1)
	}
	return c.levels - 1
}
