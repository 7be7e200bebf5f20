package s3fifo

// none ends a list: no slot.
const none = ^uint32(0)

// place says in which queue a slot is.
type place uint8

const (
	nowhere place = iota
	inSmall
	inMain
)

// A node is a slot's place in a queue. Links are indices, not pointers: half the size, and nothing for the
// garbage collector to follow.
type node struct {
	hash       uint64 // of the key, for the ghost table
	prev, next uint32 // towards the head (newer), towards the tail (older)
	freq       uint8  // accesses since it came into its queue, at most maxFreq
	place      place
}

// A queue is a FIFO of slots, linked through their nodes. The head is the newest.
type queue struct {
	head, tail uint32
	len        int
	place      place
}

func (q *queue) init(p place) { *q = queue{head: none, tail: none, place: p} }

// push makes slot i the newest of q.
func (q *queue) push(nodes []node, i uint32) {
	n := &nodes[i]
	n.prev, n.next, n.place = none, q.head, q.place
	if q.head != none {
		nodes[q.head].prev = i
	} else {
		q.tail = i
	}
	q.head = i
	q.len++
}

// remove takes slot i out of q.
func (q *queue) remove(nodes []node, i uint32) {
	n := &nodes[i]
	if n.prev != none {
		nodes[n.prev].next = n.next
	} else {
		q.head = n.next
	}
	if n.next != none {
		nodes[n.next].prev = n.prev
	} else {
		q.tail = n.prev
	}
	n.place = nowhere
	q.len--
}
