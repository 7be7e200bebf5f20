package tcpstack

import (
	"context"
	"runtime"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/recovery"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/syn"
	"ocaserve/tcpstack/wire"
)

const (
	receiveBudget = 64      // frames taken off the ring per turn
	outputBudget  = 1 << 20 // payload bytes built per turn before the ring is looked at again
)

// A Shard is one event loop: it owns a link queue, its connections, its timing wheel and its counters.
// All its methods but Post are for code that runs on it.
type Shard struct {
	stack *Stack
	id    int
	dev   link.Device
	// completer is dev, if it reads frames after it took them; nil: it copies them.
	completer link.Completer
	limiter   link.RateLimiter // dev, if it spreads frames; nil: it does not
	now       mono.Time        // of the current turn

	flows    map[wire.Flow]*Conn
	all      []*Conn // the same connections in a list, for walks
	syns     *syn.Cache
	cookies  *syn.Cookies
	wheel    pacing.Wheel
	pend     connList // connections with something to send, in order
	events   connList // connections with events to deliver
	waits    waitList // connections in TIME-WAIT
	mem      account
	unread   map[*Conn]struct{} // over, but with bytes to be read
	afterISS wire.Seq           // the next connection opened must begin beyond this, if reused is set
	reused   bool
	batch    batch
	opens    openState
	egress   egress
	inbox    inbox
	blocks   stream.BlockPool
	boards   recovery.Pool
	frames   [receiveBudget]link.Frame
	sacks    [4]stream.Range // scratch of sackRanges
	seg      wire.Segment    // scratch of input
	ip       wire.IPHeader
	icmp     wire.ICMP
	packet   [1600]byte // scratch for packets built whole: ICMP replies
	resets   tokenBucket
	echoes   tokenBucket

	stats   ShardStats
	book    ledger.Book // sums of the connections' books
	tracing *shardTrace // nil: no trace is running
	local   any         // what the application keeps per shard
	stopped bool
}

// ID is the shard's number, from 0.
func (s *Shard) ID() int { return s.id }

// Stack returns the stack the shard belongs to.
func (s *Shard) Stack() *Stack { return s.stack }

// Now is the time of the shard's current turn.
func (s *Shard) Now() mono.Time { return s.now }

// Local returns what SetLocal stored: an application's per-shard pools and counters.
func (s *Shard) Local() any { return s.local }

// SetLocal stores a value for the application.
func (s *Shard) SetLocal(v any) { s.local = v }

// Post hands m to the shard. It may be called from any goroutine and never blocks. Messages from one
// goroutine run in order. After the stack has stopped they run no more.
func (s *Shard) Post(m Message) {
	if s.inbox.post(m) {
		s.dev.Wake()
	}
}

// run is the loop. It keeps its thread: what the link's ring and the scratch hold in cache stays there.
func (s *Shard) run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	stop := context.AfterFunc(ctx, func() { s.Post(MessageFunc(func(s *Shard) { s.stopped = true })) })
	defer stop()
	defer s.close()
	for !s.stopped {
		busy, err := s.Step(s.stack.cfg.Clock())
		if err != nil {
			return err
		}
		if busy {
			continue
		}
		if err := s.sleep(); err != nil {
			return err
		}
	}
	return nil
}

// sleep waits for the link, the inbox or the next deadline. The flag goes up before the inbox is looked
// at a last time, so that a message posted in between is either seen or wakes us.
func (s *Shard) sleep() error {
	s.inbox.sleeping.Store(true)
	defer s.inbox.sleeping.Store(false)
	if s.inbox.head.Load() != nil {
		return nil
	}
	s.wheel.Postpone(deadlineNow)
	return s.dev.Wait(s.Deadline())
}

// deadlineNow is when the connection of a timer has to be looked at, as far as is known now.
func deadlineNow(t *pacing.Timer) mono.Time { return t.User.(*Conn).deadline() }

// Step takes one turn of the loop at the given time and reports whether there was anything to do. It is
// what run repeats, and what a simulation calls with a virtual clock.
func (s *Shard) Step(now mono.Time) (busy bool, err error) {
	s.now = now
	n, err := s.receive()
	if err != nil {
		return false, err
	}
	busy = n > 0
	if s.completer != nil {
		s.reap()
	}
	for l := s.inbox.take(); l != nil; l = l.next {
		l.m.Run(s)
		busy = true
	}
	s.wheel.Advance(now, fireTimer)
	s.pend.prefetchFirst()
	s.syns.Advance(now, s.resendSynAck)
	told := s.relieve()
	s.deliver()
	sent, err := s.output()
	s.deliver()
	s.turned()
	return busy || sent || told || !s.events.empty(), err
}

// Deadline is when the shard has to take its next turn, if nothing arrives before.
func (s *Shard) Deadline() mono.Time {
	d := min(s.wheel.Next(), s.syns.Deadline(), s.egress.wake)
	if s.batch.waits() {
		d = min(d, s.now.Add(reapDelay))
	}
	return d
}

// reapDelay is how soon a shard that sleeps looks what the device has completed: pages must not stay pinned for
// long, and it is not worth a wake-up of its own.
const reapDelay = time.Millisecond

func fireTimer(t *pacing.Timer) {
	c := t.User.(*Conn)
	c.advance(c.shard.now)
}

// receive takes frames off the ring and handles them.
func (s *Shard) receive() (int, error) {
	s.blocks.PrefetchCaptives()
	n, err := s.dev.Receive(s.frames[:])
	if err != nil {
		return 0, err
	}
	s.blocks.PrefetchMoreOfCaptives()
	for i := range s.frames[:n] {
		s.inputFrame(&s.frames[i])
	}
	return n, nil
}

// deliver calls the handlers of the connections with events. A handler may cause new events; they are
// delivered in the same turn, bounded so that the ring is not forgotten.
func (s *Shard) deliver() {
	for range 4 * receiveBudget {
		c := s.events.pop()
		if c == nil {
			return
		}
		c.inEvents = false
		c.deliver()
	}
}

// deliver calls the handler for the events noted.
func (c *Conn) deliver() {
	ev := c.events
	c.events = 0
	if ev&eventReadable != 0 && c.handler != nil {
		c.handler.Readable(c)
	}
	if ev&eventWritable != 0 && c.handler != nil && !c.gone {
		c.handler.Writable(c)
	}
	if ev&eventClosed == 0 {
		return
	}
	if c.hasUnread() {
		c.keepUnread()
		return
	}
	if c.unread {
		c.unread = false
		delete(c.shard.unread, c)
	}
	if h := c.handler; h != nil {
		c.handler = nil
		h.Closed(c, c.snd.err)
	}
	c.in.Drop()
}

// remove takes a finished connection out of the table.
func (s *Shard) remove(c *Conn) {
	if s.flows[c.flow] == c {
		delete(s.flows, c.flow)
	}
	c.leaveWait()
	s.mem.promised -= int64(c.rcv.limit - s.stack.cfg.ReceiveBuffer)
	s.unlist(c)
	if c.trace != nil {
		s.release(c)
	}
	c.leaveFast(false)
	if c.listener != nil {
		c.listener.open.Add(-1)
	}
}

// close ends every connection when the stack stops: the peers get a RST.
func (s *Shard) close() {
	for _, c := range s.flows {
		c.abort(s.now, ErrStopped)
	}
	for c := range s.unread {
		c.forgetUnread(ErrStopped)
	}
	s.deliver()
	for !s.events.empty() {
		s.deliver()
	}
	s.flush() //nolint:errcheck // the link may be gone already
	s.waitForDevice()
}

// waitForDevice lets go of what the device still read when the stack stopped. What it has not completed after a
// second stays pinned: a leak is better than memory that changes while it is read.
func (s *Shard) waitForDevice() {
	s.batch.drop()
	built := s.blocks.Built()
	if s.completer == nil {
		s.batch.reap(built)
		return
	}
	for end := s.stack.cfg.Clock().Add(time.Second); s.completer.Completed() < s.batch.taken; {
		now := s.stack.cfg.Clock()
		if now >= end || s.dev.Wait(now.Add(reapDelay)) != nil {
			break
		}
		if _, err := s.dev.Receive(s.frames[:]); err != nil { // or what arrived would keep Wait from waiting
			break
		}
	}
	if s.completer.Completed() >= s.batch.taken {
		s.batch.reap(built)
	}
}
