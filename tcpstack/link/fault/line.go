package fault

import (
	"math/rand/v2"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/gso"
	"ocaserve/tcpstack/mono"
)

const (
	// overtakeBy is how much later than others a reordered packet arrives at most. Between 1.25 GB/s and
	// 1 MB/s that lets from 1700 packets down to one pass.
	overtakeBy = 2 * time.Millisecond

	// maxHeld bounds the bytes on the wire, per queue and direction: 10 Gb/s for 50 ms.
	maxHeld = 64 << 20
)

// A packet is on the wire.
type packet struct {
	data []byte    // its memory stays with it when it goes back to the free list
	due  mono.Time // when it arrives
	seq  uint64    // order among packets due at the same time
}

// A line is one direction of the wire: packets go in, their fate is decided, and they come out when due.
type line struct {
	cfg   *Config
	rnd   *rand.Rand
	stats *counters
	cut   gso.Segmenter

	now  mono.Time // during put
	emit func([]byte)

	held  []*packet // on the wire: a binary heap, the earliest on top
	out   []*packet // due, in order, from index first on
	first int
	free  []*packet
	bytes int    // in held and out
	seq   uint64 // of the next packet
}

// init makes the line; stream tells apart the random numbers of lines that share a seed.
func (l *line) init(cfg *Config, stream uint64, stats *counters) {
	l.cfg, l.stats = cfg, stats
	l.rnd = rand.New(rand.NewPCG(cfg.Seed, stream))
	l.emit = l.admit // once: a method value made per frame would be an allocation each
}

// put sends a frame down the line, packet by packet.
func (l *line) put(now mono.Time, f *link.Frame) {
	l.now = now
	if !l.cut.Segment(f, l.emit) {
		l.stats.malformed.Add(1)
	}
}

// admit decides what happens to one wire packet, whose checksum is complete. The dice are thrown in the
// same order for every packet, so that changing one share leaves the others' victims as they were.
func (l *line) admit(p []byte) {
	lost := l.rnd.Float64() < l.cfg.Loss
	reorder := l.rnd.Float64() < l.cfg.Reorder
	duplicate := l.rnd.Float64() < l.cfg.Duplicate
	corrupt := l.rnd.Float64() < l.cfg.Corrupt
	l.stats.packets.Add(1)
	if lost || l.bytes+len(p) > maxHeld {
		l.stats.lost.Add(1)
		return
	}
	due := l.now.Add(l.cfg.Delay)
	if duplicate {
		l.stats.duplicated.Add(1)
		l.hold(p, due) // the copy stays whole and in place even if the original does not
	}
	if reorder {
		l.stats.reordered.Add(1)
		due = due.Add(1 + time.Duration(l.rnd.Int64N(int64(overtakeBy))))
	}
	if corrupt && l.flip(p) {
		l.stats.corrupted.Add(1)
	}
	l.hold(p, due)
}

// hold copies p onto the wire.
func (l *line) hold(p []byte, due mono.Time) {
	var k *packet
	if n := len(l.free); n > 0 {
		k, l.free = l.free[n-1], l.free[:n-1]
	} else {
		k = new(packet)
	}
	k.data = append(k.data[:0], p...)
	k.due, k.seq = due, l.seq
	l.seq++
	l.bytes += len(p)
	l.push(k)
}

// advance moves what is due by now to out.
func (l *line) advance(now mono.Time) {
	for len(l.held) > 0 && l.held[0].due <= now {
		l.out = append(l.out, l.pop())
	}
}

// ready returns the packets that are due, in order.
func (l *line) ready() []*packet { return l.out[l.first:] }

// done takes the first n ready packets off the line and recycles them; their data stays as it is until
// the next put.
func (l *line) done(n int) {
	for _, p := range l.ready()[:n] {
		l.bytes -= len(p.data)
		l.free = append(l.free, p)
	}
	l.first += n
	if 2*l.first >= len(l.out) { // all of it, or enough to pay for moving the rest
		l.out, l.first = l.out[:copy(l.out, l.ready())], 0
	}
}

// next is when the next packet is due; mono.Never if none is on the wire.
func (l *line) next() mono.Time {
	if len(l.held) == 0 {
		return mono.Never
	}
	return l.held[0].due
}

func (p *packet) before(q *packet) bool {
	return p.due < q.due || p.due == q.due && p.seq < q.seq
}

// push adds p to the heap (container/heap would box every element).
func (l *line) push(p *packet) {
	i := len(l.held)
	l.held = append(l.held, p)
	for i > 0 {
		up := (i - 1) / 2
		if !p.before(l.held[up]) {
			break
		}
		l.held[i] = l.held[up]
		i = up
	}
	l.held[i] = p
}

// pop takes the earliest packet off the heap.
func (l *line) pop() *packet {
	top := l.held[0]
	n := len(l.held) - 1
	last := l.held[n]
	l.held[n] = nil
	l.held = l.held[:n]
	if n == 0 {
		return top
	}
	i := 0
	for {
		child := 2*i + 1
		if child >= n {
			break
		}
		if child+1 < n && l.held[child+1].before(l.held[child]) {
			child++
		}
		if !l.held[child].before(last) {
			break
		}
		l.held[i] = l.held[child]
		i = child
	}
	l.held[i] = last
	return top
}
