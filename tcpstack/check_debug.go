//go:build ocaserve_debug

package tcpstack

import "ocaserve/tcpstack/ledger"

// This file holds books to their laws while the stack runs: a connection's when it ends, a shard's now and then.
// The panic is the law with its sums.

// checkFrames is how many frames go in or out between two checks of a shard.
const checkFrames = 64

// checkBook panics if a law of c's book does not hold.
func (c *Conn) checkBook() {
	if c.book == nil {
		return
	}
	must(c.book.Check(c.live()))
}

// turned is called at the end of each turn.
func (s *Shard) turned() {
	if (s.stats.FramesReceived+s.stats.FramesSent)%checkFrames == 0 {
		s.checkBook()
	}
}

// checkBook is Conn.checkBook for the sums.
func (s *Shard) checkBook() {
	var sum ledger.Live
	for _, c := range s.all {
		l := c.live()
		sum.Held, sum.Unsent = sum.Held+l.Held, sum.Unsent+l.Unsent
	}
	sum.Waiting = s.batch.waiting(nil)
	must(s.book.Check(sum))
}

// live are the values of c's laws now.
func (c *Conn) live() ledger.Live {
	return ledger.Live{Held: c.queue.Len(), Unsent: min(c.neverSent(), c.queue.Len()), Waiting: c.shard.batch.waiting(c.book)}
}

// waiting is the payload in the batch that is booked in b, or in any book.
func (b *batch) waiting(of *ledger.Book) (n int64) {
	for i := range b.frames {
		if f := &b.frames[i]; f.Book != nil && (of == nil || f.Book == of) {
			n += int64(f.Len() - len(f.Data))
		}
	}
	return n
}

func must(err error) {
	if err != nil {
		panic("tcpstack: " + err.Error())
	}
}
