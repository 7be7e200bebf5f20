package cache

// starvedTicks of no progress in a shard's line make the cache starved: a second, in units of lapse.
const starvedTicks = 100

// Starved reports whether requests have waited for a second because every slot is held, by responses that
// somebody takes slowly or not at all. A disk that is slow does not count. It costs one atomic load.
func (c *Cache) Starved() bool { return c.starved.Load() > 0 }

// stood counts a tick during which the line did not move. Caller holds mu.
func (s *shard) stood() {
	if s.fills > 0 {
		return // a fill will end and free its slot sooner or later
	}
	if s.stuck++; s.stuck == starvedTicks {
		s.cache.starved.Add(1)
	}
}

// moved notes that a request in line was served, or that there is none. Caller holds mu.
func (s *shard) moved() {
	if s.stuck >= starvedTicks {
		s.cache.starved.Add(-1)
	}
	s.stuck = 0
}
