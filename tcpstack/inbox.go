package tcpstack

import "sync/atomic"

// A Message is work that another goroutine hands to a shard.
type Message interface {
	// Run is called once, on the shard.
	Run(s *Shard)
}

// MessageFunc is a Message from a function.
type MessageFunc func(s *Shard)

// Run calls f.
func (f MessageFunc) Run(s *Shard) { f(s) }

// inbox is a queue with many producers and one consumer, without locks: a stack that the consumer takes
// whole and turns around.
type inbox struct {
	head     atomic.Pointer[letter]
	sleeping atomic.Bool // the owner is, or is about to be, in Device.Wait
}

type letter struct {
	m    Message
	next *letter
}

// post adds m and reports whether the owner has to be woken.
func (b *inbox) post(m Message) bool {
	l := &letter{m: m}
	for {
		l.next = b.head.Load()
		if b.head.CompareAndSwap(l.next, l) {
			return b.sleeping.Load()
		}
	}
}

// take returns all messages, oldest first.
func (b *inbox) take() *letter {
	if b.head.Load() == nil {
		return nil
	}
	var oldest *letter
	for l := b.head.Swap(nil); l != nil; {
		next := l.next
		l.next, oldest = oldest, l
		l = next
	}
	return oldest
}
