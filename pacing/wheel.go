package pacing

import (
	"math"
	"math/bits"
	"unsafe"

	"ocaserve/internal/prefetch"
	"ocaserve/tcpstack/mono"
)

// The wheel's geometry. Eight levels of 64 slots at 65.5 us per tick span all of mono.Time, so that there
// is no overflow list. The tick says only how timers are grouped: they fire by their exact deadlines.
const (
	tickBits  = 16
	levelBits = 6
	slots     = 1 << levelBits
	levels    = 8
)

// A Timer is a node of a Wheel, embedded in what it wakes. The zero value is not armed. An armed timer
// must not be copied or move.
type Timer struct {
	User any // the owner's; the wheel never looks at it

	next *Timer
	prev **Timer // what points at this timer; nil: not armed
	at   mono.Time
	slot int16 // where it stands, or stood before it became due
}

// Armed reports whether t is set and has not fired.
func (t *Timer) Armed() bool { return t.prev != nil }

// At is the deadline that t was last set to.
func (t *Timer) At() mono.Time { return t.at }

// A Wheel is a hierarchical timing wheel (Varghese and Lauck 1987). A timer stands at the level of the
// highest digit, in base 64, in which its tick differs from the current one; all timers of a level are
// therefore due before those of the levels above, and none wraps around. When time enters a slot
// of a higher level, its timers move down. The zero value is ready.
type Wheel struct {
	cur      uint64    // the tick that time has reached; may lag behind while nothing is due
	earliest mono.Time // no timer is due before; meaningless when n is 0
	n        int
	occupied [levels]uint64
	slots    [levels * slots]*Timer
	due      *Timer
}

// Len is the number of armed timers.
func (w *Wheel) Len() int { return w.n }

// Set arms t for the instant at, or moves it there. mono.Never stops it. An instant that has passed
// fires at the next Advance, not within one that is running.
func (w *Wheel) Set(t *Timer, at mono.Time) {
	w.Stop(t)
	t.at = at
	if at == mono.Never {
		return
	}
	if w.n == 0 || at < w.earliest {
		w.earliest = at
	}
	w.n++
	w.insert(t)
}

// Stop disarms t; it may be called at any time, also from Advance's callback.
func (w *Wheel) Stop(t *Timer) {
	if t.prev == nil {
		return
	}
	w.n--
	t.unlink()
	if i := t.slot; w.slots[i] == nil {
		w.occupied[i/slots] &^= 1 << (i % slots)
	}
}

// Next is an instant at which Advance should be called: no timer is due before it, and it is mono.Never
// if no timer is armed. It is often earlier than the first deadline, when timers have to move down a
// level or the first one was stopped; then Advance hands over nothing and Next moves on.
func (w *Wheel) Next() mono.Time {
	if w.n == 0 {
		return mono.Never
	}
	return w.earliest
}

// prefetchOwner is how many bytes from the next timer on are asked for while one fires: it is a part of its owner, and where
// thousands wait for their departures that is out of cache each time. A connection's deadlines and windows stand there.
const prefetchOwner = 320

// Advance hands over each timer whose deadline is now or earlier, disarmed, so that fire may set it again;
// in order of their ticks, and in no particular order within one. Timers set by fire wait for the next
// Advance, so that it ends.
func (w *Wheel) Advance(now mono.Time, fire func(*Timer)) {
	if w.n == 0 || now < w.earliest {
		return
	}
	w.collect(now)
	w.earliest = w.lowerBound()
	for t := w.due; t != nil; t = w.due {
		w.n--
		t.unlink()
		if next := w.due; next != nil {
			prefetch.Range(unsafe.Pointer(next), prefetchOwner)
		}
		fire(t)
	}
}

// What one Postpone does at most: timers that it moves, and timers of a slot that it looks through for the first one.
const (
	postponed = 16
	crowd     = 64
)

// Postpone asks the owners of the timers that are due first for their deadlines, and moves those that are later by now,
// until one is not: an owner whose deadline moves back need not tell, and whoever sleeps until Next is not woken for
// nothing. later is called for few timers, not for those at higher levels, and for none where many share a tick: one of
// them will be due.
func (w *Wheel) Postpone(later func(*Timer) mono.Time) {
	for range postponed {
		level, i, _ := w.first()
		if level > 0 {
			w.earliest = w.lowerBound()
			return
		}
		t := soonest(w.slots[i], crowd)
		if t == nil {
			return
		}
		w.earliest = t.at
		at := later(t)
		if at <= t.at {
			return
		}
		w.Set(t, at)
	}
}

// soonest is the timer of a list that is due first; nil: there are more than `most` to look through.
func soonest(list *Timer, most int) *Timer {
	first := list
	for t := list; t != nil; t = t.next {
		if most--; most < 0 {
			return nil
		}
		if t.at < first.at {
			first = t
		}
	}
	return first
}

// collect moves what is due to the due list, and time to now.
func (w *Wheel) collect(now mono.Time) {
	target := tick(now)
	tail := &w.due
	for {
		level, i, start := w.first()
		if level == levels || start > target {
			break
		}
		w.cur = max(w.cur, start)
		list := w.take(level, i)
		for t := list; t != nil; {
			next := t.next
			if t.at <= now {
				t.link(tail)
				tail = &t.next
			} else {
				w.insert(t)
			}
			t = next
		}
		if level == 0 && start == target {
			break // what is left in this slot is due within the current tick, but not yet
		}
	}
	w.cur = max(w.cur, target)
}

// first finds the occupied slot that comes first: the level, the slot within it and its first tick.
// level is levels if there is none.
func (w *Wheel) first() (level, i int, start uint64) {
	for level := range w.occupied {
		if m := w.occupied[level]; m != 0 {
			i := bits.TrailingZeros64(m)
			shift := level * levelBits
			return level, i, (w.cur>>shift&^(slots-1) | uint64(i)) << shift
		}
	}
	return levels, 0, 0
}

// lowerBound is a time before which nothing in the slots is due: exact for the lowest level, whose slots
// hold few timers, the slot's beginning for others.
func (w *Wheel) lowerBound() mono.Time {
	level, i, start := w.first()
	switch {
	case level == levels:
		return mono.Never
	case level > 0:
		return mono.Time(start << tickBits)
	}
	return soonest(w.slots[i], math.MaxInt).at
}

// take empties a slot and returns its list.
func (w *Wheel) take(level, i int) *Timer {
	w.occupied[level] &^= 1 << i
	at := level*slots + i
	list := w.slots[at]
	w.slots[at] = nil
	return list
}

// insert links t into the slot of its deadline, as seen from the current tick.
func (w *Wheel) insert(t *Timer) {
	when := max(tick(t.at), w.cur)
	level := 0
	if d := when ^ w.cur; d != 0 {
		level = (bits.Len64(d) - 1) / levelBits
	}
	i := int(when >> (level * levelBits) & (slots - 1))
	w.occupied[level] |= 1 << i
	at := level*slots + i
	t.slot = int16(at)
	t.link(&w.slots[at])
}

func (t *Timer) link(p **Timer) {
	t.next, t.prev = *p, p
	if t.next != nil {
		t.next.prev = &t.next
	}
	*p = t
}

func (t *Timer) unlink() {
	*t.prev = t.next
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.next, t.prev = nil, nil
}

// tick is the tick that contains at; instants before the epoch belong to the first.
func tick(at mono.Time) uint64 { return uint64(max(at, 0)) >> tickBits }
