package origin

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// What a client has not taken yet pins pages, a few per connection, for as long as it takes the minimum rate.
// A thousand clients that do just that hold a cache of 256 MiB, and nobody else gets a byte. So the minimum
// rises while the cache is starved.

const (
	pressureRate  = 16 << 10        // bytes/s that a client must take while others get nothing
	pressureAfter = 5 * time.Second // of a rate window, before which nobody is judged
	pressurePause = time.Second     // between two rounds
)

// pressed is called when a response has to wait for a page. If the cache is starved it has every shard look
// for clients that are too slow, now that others pay for it.
func (sh *shard) pressed(now mono.Time) {
	srv := sh.srv
	if !srv.starved() {
		return
	}
	last := srv.pressedAt.Load()
	if last != 0 && now.Sub(mono.Time(last)) < pressurePause || !srv.pressedAt.CompareAndSwap(last, int64(now)) {
		return
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for _, other := range srv.shards {
		other.post(other.relieve)
	}
}

// relieve cuts the clients of the shard that hold pages and are too slow.
func (sh *shard) relieve(now mono.Time) {
	for s := sh.sessions; s != nil; {
		next := s.next
		if s.holdsUp(now) {
			sh.stats.slow.Add(1)
			if s.res != nil {
				s.finish(now, true)
			}
			s.abort()
		}
		s = next
	}
}

// holdsUp reports whether the session has bytes queued that its client takes more slowly than pressureRate.
func (s *session) holdsUp(now mono.Time) bool {
	since := s.deadline.Add(-s.sh.srv.opts.SendWindow) // when the rate window began
	if s.state == stateLinger {
		since = s.started
	}
	window := now.Sub(since)
	if s.deadline == 0 || s.waiting || s.c.Queued() == 0 || window < pressureAfter { // 0: it has asked for nothing yet
		return false
	}
	return s.acked()-s.mark < int64(window/time.Millisecond)*pressureRate/1000
}
