package trace

// A Ring keeps the last events of a connection. It never grows and never blocks: when it is full the oldest
// event makes room, and if nobody has taken that, it counts as overwritten.
type Ring struct {
	events []Event // a power of two of them
	put    uint64  // events ever put in
	taken  uint64  // of these, taken out or overwritten; put - taken <= len(events)
	over   uint64  // overwritten since the last Take
}

// NewRing makes a ring for at least n events.
func NewRing(n int) *Ring {
	size := 2
	for size < n {
		size *= 2
	}
	return &Ring{events: make([]Event, size)}
}

// Put returns the place of the next event, for the caller to fill; it holds an old one.
func (r *Ring) Put() *Event {
	if r.put-r.taken == uint64(len(r.events)) {
		r.taken++
		r.over++
	}
	e := &r.events[r.put&uint64(len(r.events)-1)]
	r.put++
	return e
}

// Len is how many events wait to be taken.
func (r *Ring) Len() int { return int(r.put - r.taken) }

// Cap is how many events the ring holds.
func (r *Ring) Cap() int { return len(r.events) }

// Take moves the oldest events into dst and returns how many, and how many before them were overwritten.
func (r *Ring) Take(dst []Event) (n int, overwritten uint64) {
	for n < len(dst) && r.taken < r.put {
		dst[n] = r.events[r.taken&uint64(len(r.events)-1)]
		r.taken++
		n++
	}
	overwritten, r.over = r.over, 0
	return n, overwritten
}
