package tcpstack

import (
	"cmp"
	"errors"
	"time"
)

// ErrNoMemory ends a connection that held memory without moving while the shard had none left.
var ErrNoMemory = errors.New("connection aborted: the stack is out of memory, and the peer takes nothing")

// An account is the memory budget of a shard. In it is what peers can make the shard hold:
//
//   - send queues: the charges of spans appended and not yet acknowledged (see stream.Charger), or acknowledged and
//     still in the link's ring, and the queues' rings;
//   - reassembly: whole blocks, however few bytes are in them;
//   - connections, in TIME-WAIT too.
//
// The SYN cache and the batch have a fixed size. A control segment is built in the batch, so that ACKs and RSTs
// need none of it. As usage rises,
//
//  1. from half the budget on, until it is down to three eighths, there is pressure (Linux's tcp_mem): no
//     connection queues more than the peer's window admits, nor more than a share of what is free up to nine
//     sixteenths (dynamic thresholds, Choudhury and Hahne 1998), but for a segment or two; and receive buffers do not grow. A
//     connection whose peer reads does not notice, since it is asked for more when bytes leave; one whose
//     peer does not holds next to nothing, and the half that is left has room for many of these;
//  2. from 15/16 on no connection is accepted, out-of-order data is refused, a connection whose peer's window
//     is shut, or who does not answer, gets nothing, and those of long standing are reset;
//  3. at the budget nobody may queue anything. Who asked waits in line and is told when memory is free again,
//     a few in each turn, so that it does not go to whoever runs first.
//
// Append takes more than Room all the same, so that the budget is kept to within what one call overdraws.
type account struct {
	budget   int64    // bytes
	promised int64    // bytes that receive buffers have grown by
	pressed  bool     // from half of it on until, on the way down, three eighths
	waiting  connList // Room returned 0 for lack of memory
	stalled  waitList // the peer takes nothing, for the longest time at the head
}

const (
	connCharge    = 2560     // a connection with its congestion control and its place in the tables, bytes
	minSendBuffer = 64 << 10 // bytes that may be queued whatever the congestion window is
	minUnsent     = 32 << 10 // and never transmitted, whatever is in flight
	shareParts    = 16       // of the free memory, what one connection may have unsent
	wakePerTurn   = 4        // connections told in one turn of the shard that there is memory again
	evictPerTurn  = 4
	evictScan     = 32 // stalled connections looked at for one that nobody owns

	// A peer that takes nothing for longer than evictAfter costs the connection when memory is short; at the
	// wall, for longer than evictAtWall.
	evictAfter  = 10 * time.Second
	evictAtWall = time.Second
)

func (m *account) high() int64 { return m.budget / 16 * 15 }

// shared is up to where connections share what is free; what is above is for the segment or two of those that come later.
func (m *account) shared() int64 { return m.budget / 16 * 9 }

// divideMemory settles what each shard may hold.
func (c *Config) divideMemory(shards int) {
	c.MemoryBudget = cmp.Or(c.MemoryBudget/int64(shards), 512<<20)
	c.MaxReassembly = cmp.Or(c.MaxReassembly, int(min(256<<20, c.MemoryBudget/2)))
}

// memoryUsed is the account, in bytes.
func (s *Shard) memoryUsed() int64 {
	return int64(s.blocks.InUse()) + s.blocks.Queued() + int64(len(s.flows))*connCharge
}

// underPressure reports whether memory is short.
func (s *Shard) underPressure() bool {
	switch used := s.memoryUsed(); {
	case used < s.mem.budget/8*3:
		s.mem.pressed = false
	case used > s.mem.budget/2 && !s.mem.pressed:
		s.mem.pressed = true
		s.stats.MemoryPressures++
	}
	return s.mem.pressed
}

// memoryHigh reports whether new work is refused.
func (s *Shard) memoryHigh() bool { return s.memoryUsed() >= s.mem.high() }

// unsentLimit is how many bytes may be queued and not yet transmitted: no more than NotsentLowat; no more than
// leaves twice the congestion window in the send buffer, as much again as an ACK clock's turn sends; and what
// the shard's memory allows. The congestion window grows only while it is what limits (RFC 7661), so that the
// buffer follows the path and not the application. We deviate from Linux (tcp_sndbuf_expand), where it never
// shrinks again.
func (c *Conn) unsentLimit() int64 {
	n := c.snd.lowat
	if c.cc != nil {
		n = min(n, max(max(2*c.cc.Window(), minSendBuffer)-c.rec.Flight(), minUnsent))
	}
	return c.memoryLimit(n)
}

// memoryLimit is what memory allows of n unsent bytes.
func (c *Conn) memoryLimit(n int64) int64 {
	s := c.shard
	if !s.underPressure() {
		return n
	}
	used, shut := s.memoryUsed(), c.snd.shutSince.IsSet()
	if used >= s.mem.budget || shut && used >= s.mem.high() {
		return 0
	}
	share := min((s.mem.shared()-used)/shareParts, c.windowRoom())
	// Two segments are what the peer's delayed ACK waits for; at a shut window there must be one, or nothing
	// would probe it (RFC 9293 section 3.8.6.1) and a lost window update would be the end.
	least := int64(max(c.snd.mss, defaultMSS4))
	if !shut {
		least *= 2
	}
	return min(n, max(share, least))
}

// awaitMemory puts c in the line of those who are told when there is memory.
func (c *Conn) awaitMemory() {
	if !c.memWait {
		c.memWait = true
		c.shard.mem.waiting.push(c)
	}
}

// noteWindow keeps the list of stalled connections: the peer's window is zero, or too small to send to (RFC 9293
// section 3.8.6.2.1), or a retransmission time-out has passed without progress since.
func (c *Conn) noteWindow() {
	w := c.snd.wnd
	shut := w == 0 || w < int64(c.snd.mss) && 2*w < c.snd.maxWnd || c.snd.stalledSince.IsSet()
	if shut == c.snd.shutSince.IsSet() || c.state == StateTimeWait {
		return
	}
	if shut {
		c.snd.shutSince = c.shard.now
		c.shard.mem.stalled.push(c)
		return
	}
	c.snd.shutSince = 0
	c.shard.mem.stalled.remove(c)
}

// relieve frees memory where there is none left, and passes on what is free to those in line. It reports
// whether anybody was told.
func (s *Shard) relieve() (told bool) {
	s.underPressure()
	for range evictPerTurn {
		if !s.memoryHigh() || !s.evict() {
			break
		}
	}
	for range wakePerTurn {
		if s.mem.waiting.empty() || s.memoryUsed() >= s.mem.budget {
			break
		}
		c := s.mem.waiting.pop()
		c.memWait = false
		if c.gone || !c.snd.wantWritable {
			continue
		}
		switch limit := c.unsentLimit(); {
		case limit <= 0: // its window is shut: others first
			c.awaitMemory()
		case limit > c.unsent(): // else noteUnsent will tell
			c.snd.wantWritable = false
			c.raise(eventWritable)
			told = true
		}
	}
	return told
}

// evict resets the connection that has been stalled for the longest time, or one of the longest that nobody
// owns any more. It reports false if none has been for long enough.
func (s *Shard) evict() bool {
	after := evictAfter
	if s.memoryUsed() >= s.mem.budget {
		after = evictAtWall
	}
	victim := s.mem.stalled.head
	for c, n := victim, 0; c != nil && n < evictScan; c, n = c.waitNext, n+1 {
		if c.orphan && s.now.Sub(c.snd.shutSince) >= after {
			victim = c
			break
		}
	}
	if victim == nil || s.now.Sub(victim.snd.shutSince) < after {
		return false
	}
	s.stats.AbortOnMemory++
	victim.abort(s.now, ErrNoMemory)
	return true
}

// refusesText reports whether memory is too short for payload: for what is out of order sooner than for what is
// next. A connection without unread bytes may have the next ones even at the wall: it is the application's turn,
// and it is quick.
func (c *Conn) refusesText(inOrder bool) bool {
	s := c.shard
	switch {
	case !s.memoryHigh():
		return false
	case !inOrder:
		s.stats.OFODrop++
		return true
	case s.memoryUsed() >= s.mem.budget && c.in.Readable() > 0:
		s.stats.RcvQDrop++
		return true
	}
	return false
}
