package syn

import (
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// bucket returns the index of the first slot of the flow's bucket.
func (c *Cache) bucket(f *wire.Flow) uint32 {
	return (uint32(hashFlow(&c.key, f)) & c.mask) * ways
}

// at returns the slot of a link.
func (c *Cache) at(l uint32) *slot { return &c.slots[l-1] }

// find returns the link of a flow's slot, 0 if there is none.
func (c *Cache) find(f *wire.Flow) uint32 {
	if c.n == 0 {
		return 0 // spares the hash for every stray ACK while nobody is connecting
	}
	b := c.bucket(f)
	for l := b + 1; l <= b+ways; l++ {
		if s := c.at(l); s.flags&slotUsed != 0 && s.flow == *f {
			return l
		}
	}
	return 0
}

// put fills the free slot l and appends it to the queue of unretried entries.
func (c *Cache) put(l uint32, e *Entry) {
	s := c.at(l)
	*s = slot{
		flow: e.Flow, irs: e.IRS, iss: e.ISS, tsRecent: e.TSRecent, mss: e.MSS,
		scale: e.WScale & 15,
		flags: slotUsed | flag(e.HasWScale, slotWScale) | flag(e.SACK, slotSACK) | flag(e.TS, slotTS) |
			flag(e.ECN, slotECN) | flag(e.Again, slotAgain) | flag(e.FastOpen, slotFastOpen),
	}
	c.n++
	c.link(l)
}

func flag(set bool, bit uint8) uint8 {
	if set {
		return bit
	}
	return 0
}

// entry unpacks a slot.
func (c *Cache) entry(s *slot) Entry {
	return Entry{
		Flow: s.flow, IRS: s.irs, ISS: s.iss, TSRecent: s.tsRecent, MSS: s.mss,
		WScale:    s.scale & 15,
		HasWScale: s.flags&slotWScale != 0,
		SACK:      s.flags&slotSACK != 0,
		TS:        s.flags&slotTS != 0,
		ECN:       s.flags&slotECN != 0,
		Again:     s.flags&slotAgain != 0,
		FastOpen:  s.flags&slotFastOpen != 0,
		Sent:      c.sentAt(s),
		Retries:   s.scale >> 4,
	}
}

// drop takes the slot l out of its queue and frees it.
func (c *Cache) drop(l uint32) {
	c.unlink(l)
	c.free(c.at(l))
}

// free marks a slot that is in no queue as unused.
func (c *Cache) free(s *slot) {
	s.flags = 0
	c.n--
}

// link stamps the slot l with the time and appends it to the queue of its number of retries.
func (c *Cache) link(l uint32) {
	s := c.at(l)
	s.sent = micros(c.base)
	q := &c.queues[s.scale>>4]
	s.prev, s.next = q.tail, 0
	if q.tail == 0 {
		q.head = l
	} else {
		c.at(q.tail).next = l
	}
	q.tail = l
}

// unlink takes the slot l out of its queue.
func (c *Cache) unlink(l uint32) {
	s := c.at(l)
	q := &c.queues[s.scale>>4]
	if s.prev == 0 {
		q.head = s.next
	} else {
		c.at(s.prev).next = s.next
	}
	if s.next == 0 {
		q.tail = s.prev
	} else {
		c.at(s.next).prev = s.prev
	}
}

// due is the deadline of a slot with the given number of retries.
func (c *Cache) due(s *slot, retries int) mono.Time {
	return c.sentAt(s).Add(min(c.rto<<retries, maxWait))
}

// older reports whether s has waited longer than t: by the number of retries, then by the last one.
func (c *Cache) older(s, t *slot) bool {
	if a, b := s.scale>>4, t.scale>>4; a != b {
		return a > b
	}
	return c.sentAt(s) < c.sentAt(t)
}

// sentAt restores the time of which the slot holds the low bits: the last such time not after base.
func (c *Cache) sentAt(s *slot) mono.Time {
	now := c.base / mono.Time(time.Microsecond)
	age := uint32(now) - s.sent
	return (now - mono.Time(age)) * mono.Time(time.Microsecond)
}

// micros is t in microseconds, low 32 bits.
func micros(t mono.Time) uint32 { return uint32(t / mono.Time(time.Microsecond)) }
