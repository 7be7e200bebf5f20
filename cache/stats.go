package cache

// Stats are counts since the cache was made, and gauges of now. They are summed over the shards one after the
// other, so sums may be off by what happens meanwhile.
type Stats struct {
	Hits      int64 // pins served from memory (a pin that waited for its fill is counted once, as a miss)
	Misses    int64 // pins answered with ErrBusy that started a fill
	Joined    int64 // pins answered with ErrBusy because the page was being read already
	Starved   int64 // pins answered with ErrBusy because no slot was to be had
	Fills     int64 // pages read and published
	FillBytes int64 // bytes of those pages: what was read from disk
	Failed    int64 // fills that failed
	ReadAhead int64 // fills that nobody had asked for yet
	Evictions int64
	Dropped   int64 // pages thrown away because their generation is over
	Lapsed    int64 // reservations that ran out: a waiter did not come back for its page in time

	Pages    int64 // resident, now
	Pinned   int64 // resident and held, now
	Filling  int64 // being filled, now
	Waiting  int64 // requests waiting for a slot, now
	Capacity int64 // pages the budget allows
	Mapped   int64 // bytes of arena mapped so far
}

// Stats sums the counters of the shards.
func (c *Cache) Stats() Stats {
	var t Stats
	for i := range c.shards {
		c.shards[i].addTo(&t)
	}
	t.Mapped = c.arena.bytes()
	return t
}

func (s *shard) addTo(t *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.stats
	t.Hits += c.Hits
	t.Misses += c.Misses
	t.Joined += c.Joined
	t.Starved += c.Starved
	t.Fills += c.Fills
	t.FillBytes += c.FillBytes
	t.Failed += c.Failed
	t.ReadAhead += c.ReadAhead
	t.Evictions += c.Evictions
	t.Dropped += c.Dropped
	t.Lapsed += c.Lapsed
	t.Capacity += int64(s.capacity)
	t.Filling += int64(s.fills)
	t.Waiting += int64(s.inLine())
	for _, p := range s.pages {
		if p.state == ready {
			t.Pages++
			if p.refs.Load() > 0 {
				t.Pinned++
			}
		}
	}
}
