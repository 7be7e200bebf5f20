package tcpstack

import "ocaserve/tcpstack/mono"

// quantum is what a turn is worth, in bytes: nearly a superframe, so that connections with much to send
// take turns frame by frame. Who has overdrawn by all of it sits one turn out, which happens in less than
// every tenth turn: a turn costs O(1).
const quantum = 60_000

// headerCost is what a frame is charged for its headers, in bytes: IPv4 and TCP with timestamps.
const headerCost = 52

// output lets the connections build frames, in order and by equal shares of bytes, and hands them to the
// link. It reports whether the link took any.
//
// Connections stand in the line of those with something to send until they have nothing, or may not send
// it. When the ring is full everybody keeps their place and what is left of their turn, so that nobody
// runs when it frees up. What a link has taken is out of a connection's account only when its bytes have
// been acknowledged, and out of the shard's when the link is done with them too.
func (s *Shard) output() (bool, error) {
	moved, err := s.flush()
	if c := s.pend.head; c != nil {
		c.prefetchFrame()
	}
	budget := outputBudget
	s.egress.wake = mono.Never
	for budget > 0 && err == nil && !s.pend.empty() && s.egress.mayEgress(s.now) {
		if !s.batch.hasRoom() {
			var m bool
			if m, err = s.flush(); !s.batch.hasRoom() {
				return moved || m, err
			}
			moved = moved || m
		}
		budget -= s.outputNext()
	}
	if err != nil {
		return moved, err
	}
	m, err := s.flush()
	return moved || m, err
}

// outputNext lets the first connection in line build one frame and returns what it cost. This is deficit
// round robin (Shreedhar and Varghese 1996): a connection goes on as long as its deficit lasts and then to
// the end of the line, so that small segments and small bursts get the same bytes as superframes. We
// deviate: a frame is built before its size is known, so that it may overdraw the deficit; that is taken
// off the next turns. A connection that runs out of data leaves, and saves nothing up.
func (s *Shard) outputNext() int {
	c := s.pend.head
	if c.deficit <= 0 {
		c.deficit += quantum
	}
	if c.deficit <= 0 {
		s.pend.push(s.pend.pop())
		return headerCost
	}
	s.pend.prefetchTurns()
	before, segments := s.stats.BytesSent, s.stats.SegmentsSent
	more := !c.gone && c.output(s.now)
	cost := int(s.stats.BytesSent-before) + headerCost
	s.egress.sent(s.now, int64(s.stats.BytesSent-before+headerCost*(s.stats.SegmentsSent-segments)))
	c.deficit -= int32(cost)
	switch {
	case !more:
		s.pend.pop()
		c.pending, c.deficit = false, min(c.deficit, 0)
	case c.deficit <= 0:
		s.pend.push(s.pend.pop())
	}
	if c.events&eventWritable != 0 { // refill before the queue runs dry on a partial segment
		c.deliver()
	}
	return cost
}

// flush hands the batch to the link; what the ring refuses stays.
func (s *Shard) flush() (bool, error) {
	if len(s.batch.frames) == 0 {
		return false, nil
	}
	n, err := s.dev.Transmit(s.batch.frames)
	if n < len(s.batch.frames) {
		s.stats.QueueStopped++
	}
	s.stats.FramesSent += uint64(n)
	s.batch.sent(n)
	s.reap()
	return n > 0, err
}

// reap lets go what the link is done with.
func (s *Shard) reap() {
	done := s.batch.taken
	if s.completer != nil {
		done = s.completer.Completed()
	}
	s.batch.reap(done)
}
