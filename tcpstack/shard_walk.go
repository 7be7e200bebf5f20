package tcpstack

import (
	"context"

	"ocaserve/tcpstack/wire"
)

const (
	// WalkAll is the cursor that a walk begins with.
	WalkAll = int(^uint(0) >> 1)
	// walkSlice is how many connections a shard shows in one turn: some 50 us, so that packets do not wait.
	walkSlice = 256
)

// enlist enters c into the shard's list of all connections; unlist takes it out, and the last one in the list
// gets its place.
func (s *Shard) enlist(c *Conn) {
	c.listed = int32(len(s.all))
	s.all = append(s.all, c)
}

func (s *Shard) unlist(c *Conn) {
	if int(c.listed) >= len(s.all) || s.all[c.listed] != c {
		return
	}
	last := len(s.all) - 1
	s.all[c.listed] = s.all[last]
	s.all[c.listed].listed = c.listed
	s.all[last] = nil
	s.all = s.all[:last]
}

// Walk calls visit for the n connections below the cursor, from the top, and returns the cursor to go on
// with; 0: that was all. A walk over several turns sees each connection that lives throughout: one that moves
// into a gap comes from above and was seen before, and so may be seen twice. On the shard only.
func (s *Shard) Walk(cursor, n int, visit func(*Conn)) int {
	cursor = min(cursor, len(s.all))
	for ; n > 0 && cursor > 0; n-- {
		cursor--
		visit(s.all[cursor])
	}
	return cursor
}

// Walk shows every connection to visit, on the shard that owns it, a slice per turn of the shard's loop, and
// once only. After each slice it calls pause on the caller's goroutine; what visit has collected is safe to
// read there. An error of pause ends the walk.
func (st *Stack) Walk(ctx context.Context, visit func(*Conn), pause func() error) error {
	for _, s := range st.shards {
		seen := make(map[wire.Flow]*Conn)
		once := func(c *Conn) {
			if seen[c.flow] != c {
				seen[c.flow] = c
				visit(c)
			}
		}
		got := make(chan int, 1)
		for cursor := WalkAll; cursor > 0; {
			at := cursor
			s.Post(MessageFunc(func(s *Shard) { got <- s.Walk(at, walkSlice, once) }))
			select {
			case cursor = <-got:
			case <-ctx.Done():
				return ctx.Err()
			case <-st.stopped:
				return ErrStopped
			}
			if err := pause(); err != nil {
				return err
			}
		}
	}
	return nil
}
