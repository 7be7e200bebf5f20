//go:build ocaserve_debug

package tcpstack

// This file holds books to their laws while the stack runs: a connection's when it ends, a shard's now and then.
// The panic is the law with its sums.

// checkFrames is how many frames go in or out between two checks of a shard.
const checkFrames = 64

// checkBook panics if a law of c's book does not hold.
func (c *Conn) checkBook() {
	if c.book == nil {
		return
	}
	must(c.book.Check(c.Live()))
}

// turned is called at the end of each turn.
func (s *Shard) turned() {
	if (s.stats.FramesReceived+s.stats.FramesSent)%checkFrames == 0 {
		s.checkBook()
	}
}

// checkBook is Conn.checkBook for the sums.
func (s *Shard) checkBook() { must(s.book.Check(s.Live())) }

func must(err error) {
	if err != nil {
		panic("tcpstack: " + err.Error())
	}
}
