package s3fifo

const (
	// maxFreq caps the count of hits at two bits, as the paper does: old fame does not last.
	maxFreq = 3
	// smallShare is the part of the capacity that the small queue may hold before it is evicted from: a tenth.
	smallShare = 10
	// maxPassed bounds how many busy slots one Evict passes over, so that a cache full of pinned pages costs a
	// bounded time per attempt.
	maxPassed = 256
)

// verdict is what one step of the eviction did.
type verdict uint8

const (
	moved verdict = iota
	passedOver
	evicted
)

// A Policy decides which of its slots goes next. Use one per lock; its methods are not safe for concurrent use.
type Policy struct {
	nodes       []node
	small, main queue
	ghost       ghost
	smallTarget int
}

// New returns a policy over capacity slots. The ghost table remembers as many keys as there are slots in the
// main queue, which the paper found to be enough.
func New(capacity int) *Policy {
	p := &Policy{nodes: make([]node, capacity), smallTarget: max(1, capacity/smallShare)}
	p.small.init(inSmall)
	p.main.init(inMain)
	p.ghost.init(max(1, capacity-p.smallTarget))
	return p
}

// Len is the number of slots in the queues.
func (p *Policy) Len() int { return p.small.len + p.main.len }

// Insert takes slot i in, under the hash of its key. The slot must not be in yet. The hash must be well mixed in
// all of its 64 bits.
func (p *Policy) Insert(i uint32, hash uint64) {
	n := &p.nodes[i]
	if n.place != nowhere {
		panic("s3fifo: a slot is inserted at most once")
	}
	n.hash, n.freq = hash, 0
	if p.ghost.take(hash) {
		p.main.push(p.nodes, i)
	} else {
		p.small.push(p.nodes, i)
	}
}

// Hit counts an access to slot i.
func (p *Policy) Hit(i uint32) {
	if n := &p.nodes[i]; n.freq < maxFreq {
		n.freq++
	}
}

// Remove takes slot i out without leaving a trace in the ghost table: its content is void, not merely unpopular.
// A slot that is not in is left alone.
func (p *Policy) Remove(i uint32) {
	switch p.nodes[i].place {
	case inSmall:
		p.small.remove(p.nodes, i)
	case inMain:
		p.main.remove(p.nodes, i)
	}
}

// Evict takes out the slot that goes next and returns it. It reports false if every slot it looked at is busy:
// all of them, or maxPassed in a row. busy must not call the policy.
func (p *Policy) Evict(busy func(slot uint32) bool) (slot uint32, ok bool) {
	// What is left to look at in each queue; at zero the queue is stuck (all busy) and the other one gives.
	small, main := p.small.len, p.main.len
	for passed := 0; passed < maxPassed; {
		var i uint32
		var v verdict
		switch {
		case small > 0 && (p.small.len > p.smallTarget || main == 0):
			if i, v = p.stepSmall(busy); v == moved {
				main = p.main.len // the promoted slot is a new candidate
			}
			if v != evicted {
				small--
			}
		case main > 0:
			if i, v = p.stepMain(busy); v == passedOver {
				main--
			}
		default:
			return 0, false
		}
		if v == evicted {
			return i, true
		}
		if v == passedOver {
			passed++
		}
	}
	return 0, false
}
