package cache

import "time"

// lapse is how long a page is kept for a waiter that was called, while others wait for a slot: one to two of
// these. It only matters when the waiter's connection is gone, and then costs the others this delay.
const lapse = 10 * time.Millisecond

// A waiting is who to call.
type waiting struct {
	file *File
	w    Waiter
}

// A request waits for a slot.
type request struct {
	waiting
	index int64
	hash  uint64
}

// notify calls the waiters, outside all locks.
func notify(ws []waiting) {
	for i := range ws {
		ws[i].w.Filled()
		ws[i] = waiting{}
	}
}

// enqueue puts a request at the end of the line. Caller holds mu, as for all below unless said otherwise.
func (s *shard) enqueue(r request) {
	r.file.keep()
	s.line = append(s.line, r)
	s.hungry.Store(true)
	// A page may have been let go between our search and the store: its Release saw no hunger. One more try.
	s.kickLocked()
	s.arm()
}

// kick asks a reader to serve the line. It needs no lock and never blocks: there is room in the work queue for
// one kick per shard.
func (s *shard) kick() {
	s.mu.Lock()
	s.kickLocked()
	s.mu.Unlock()
}

func (s *shard) kickLocked() {
	if s.inLine() > 0 && !s.closed && s.kicked.CompareAndSwap(false, true) {
		s.cache.work <- job{shard: s}
	}
}

// serve gives slots to those in line while there are any. It returns, appended to woken, whom to call.
func (s *shard) serve(woken []waiting) []waiting {
	for s.head < len(s.line) {
		var done bool
		if woken, done = s.serveOne(&s.line[s.head], woken); !done {
			break
		}
		s.line[s.head] = request{}
		s.head++
		s.moved()
	}
	if s.head > len(s.line)/2 { // moves each request at most once on average
		n := copy(s.line, s.line[s.head:])
		clear(s.line[n:])
		s.line, s.head = s.line[:n], 0
	}
	s.hungry.Store(s.inLine() > 0)
	return woken
}

func (s *shard) inLine() int { return len(s.line) - s.head }

// serveOne answers one request in line. It reports false if that must wait on.
func (s *shard) serveOne(r *request, woken []waiting) ([]waiting, bool) {
	f := r.file
	if f.closed.Load() {
		f.letGo()
		return woken, true
	}
	p := s.find(f.obj, r.index, r.hash)
	switch {
	case f.failed() != nil || f.obj.dead.Load():
		woken = append(woken, r.waiting) // Pin will tell
	case p != nil && p.state == ready:
		p.expected++
		p.epoch = s.epoch
		woken = append(woken, r.waiting)
	case p != nil:
		p.waiters = append(p.waiters, r.waiting)
	default:
		p, err := s.start(f, r.index, r.hash)
		if err != nil {
			f.fail(err)
			woken = append(woken, r.waiting)
			break
		}
		if p == nil {
			return woken, false
		}
		p.waiters = append(p.waiters, r.waiting)
	}
	f.letGo()
	return woken, true
}

// arm starts the clock that lapses reservations, if it does not run yet. It runs only while there is a line.
// (This is the one timer of the package. A reservation whose waiter is gone ends by no other event.)
func (s *shard) arm() {
	if s.armed || s.closed {
		return
	}
	s.armed = true
	if s.timer == nil {
		s.timer = time.AfterFunc(lapse, s.tick)
	} else {
		s.timer.Reset(lapse)
	}
}

// tick begins a new epoch of reservations: those made before the previous one are over. It takes mu itself.
func (s *shard) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = false
	if s.inLine() == 0 || s.closed {
		return
	}
	s.epoch, s.since = s.epoch+1, 0
	s.stood()
	s.kickLocked()
	s.arm()
}

// shut ends the line and closes the shard. It takes mu itself.
func (s *shard) shut(woken []waiting) []waiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	for _, r := range s.line[s.head:] {
		woken = append(woken, r.waiting)
		r.file.letGo()
	}
	s.line, s.head = nil, 0
	s.moved()
	s.hungry.Store(false)
	return woken
}

// countPinned counts the pages that outlive Close, and marks them. It takes mu itself.
func (s *shard) countPinned() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pages {
		if p.refs.Load() > 0 {
			p.counted = true
			n++
		}
	}
	return n
}

// afterClose is called by the last Release of a page of a closed cache. It takes mu itself.
func (s *shard) afterClose(p *page) {
	s.mu.Lock()
	last := p.counted && p.refs.Load() == 0
	if last {
		p.counted = false
	}
	s.mu.Unlock()
	if last {
		s.cache.unpinned()
	}
}
