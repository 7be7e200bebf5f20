package netsim

import "ocaserve/tcpstack/mono"

// A handler is what an event calls. Packets in flight are events too; for others p is nil.
type handler interface {
	fire(now mono.Time, p *Packet)
}

// An event is due at an instant; seq makes events of one instant happen in the order they were made.
type event struct {
	at  mono.Time
	seq uint64
	h   handler
	p   *Packet
}

func (e *event) before(f *event) bool { return e.at < f.at || e.at == f.at && e.seq < f.seq }

// An eventQueue is a binary heap, the earliest event on top. (container/heap would box every event.)
type eventQueue struct {
	heap []event
	seq  uint64
}

func (q *eventQueue) push(at mono.Time, h handler, p *Packet) {
	e := event{at, q.seq, h, p}
	q.seq++
	i := len(q.heap)
	q.heap = append(q.heap, e)
	for i > 0 {
		up := (i - 1) / 2
		if !e.before(&q.heap[up]) {
			break
		}
		q.heap[i] = q.heap[up]
		i = up
	}
	q.heap[i] = e
}

// next is when the earliest event is due; mono.Never if there is none.
func (q *eventQueue) next() mono.Time {
	if len(q.heap) == 0 {
		return mono.Never
	}
	return q.heap[0].at
}

func (q *eventQueue) pop() event {
	top := q.heap[0]
	n := len(q.heap) - 1
	last := q.heap[n]
	q.heap[n] = event{}
	q.heap = q.heap[:n]
	if n > 0 {
		q.sink(last)
	}
	return top
}

// sink puts e into the hole at the top.
func (q *eventQueue) sink(e event) {
	i := 0
	for {
		child := 2*i + 1
		if child >= len(q.heap) {
			break
		}
		if child+1 < len(q.heap) && q.heap[child+1].before(&q.heap[child]) {
			child++
		}
		if !q.heap[child].before(&e) {
			break
		}
		q.heap[i] = q.heap[child]
		i = child
	}
	q.heap[i] = e
}

// call makes a plain function an event's handler.
type call func(now mono.Time)

func (f call) fire(now mono.Time, _ *Packet) { f(now) }
