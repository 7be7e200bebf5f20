package tcpstack

import (
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/trace"
)

// SetHandler replaces the handler. What has already arrived is announced to the new one by a Readable.
func (c *Conn) SetHandler(h Handler) {
	c.handler = h
	if c.in.Readable() > 0 || c.rcv.finDone {
		c.raise(eventReadable)
	}
	if c.gone || c.state == StateTimeWait {
		c.raise(eventClosed)
	}
}

// Handler returns the current handler.
func (c *Conn) Handler() Handler { return c.handler }

// Readable is the number of bytes that can be read now.
func (c *Conn) Readable() int { return c.in.Readable() }

// Peek returns the first run of readable bytes without consuming them; valid until the next call on c.
func (c *Conn) Peek() []byte { return c.in.Peek() }

// Discard consumes n readable bytes.
func (c *Conn) Discard(n int) {
	c.in.Discard(n)
	c.wasRead(n)
}

// Read moves readable bytes into p and returns how many; 0 means none are there, see EOF.
func (c *Conn) Read(p []byte) int {
	n := c.in.Read(p)
	c.wasRead(n)
	return n
}

func (c *Conn) wasRead(n int) {
	if n == 0 {
		return
	}
	c.tuneReceive(c.shard.now)
	c.windowOpened()
	if c.unread && c.in.Readable() == 0 {
		c.raise(eventClosed)
	}
}

// EOF reports that the peer has closed its side and everything before was read.
func (c *Conn) EOF() bool { return c.rcv.finDone && c.in.Readable() == 0 }

// Append queues a span to be sent; c owns it from here and releases it when it is acknowledged or the
// connection ends. On a connection whose sending side is closed it is released at once.
func (c *Conn) Append(s stream.Span) {
	c.bookQueued(s)
	if !c.state.canSend() || c.snd.closing || s.Len() == 0 {
		c.Book().Add(ledger.Unqueued, s.Len())
		s.Release()
		return
	}
	c.queue.Append(s)
	if c.heldBy <= trace.LimitApp { // from now on it is not the application
		c.limit(c.shard.now, trace.LimitDevice)
	}
	c.wantOutput()
}

// Room is how many bytes may be appended before NotsentLowat is reached, or less than that while the
// congestion window or the shard's free memory is small. After it returned 0 a Writable event follows when
// the unsent bytes have fallen below half of the limit (TCP_NOTSENT_LOWAT), or when there is memory again.
// Append takes more than Room all the same: the limit is a signal, not a wall.
func (c *Conn) Room() int64 {
	limit := c.unsentLimit()
	if room := limit - c.unsent(); room > 0 {
		return room
	}
	c.snd.wantWritable = true
	if limit <= 0 {
		c.awaitMemory()
	}
	return 0
}

// Unsent is the number of bytes queued and never transmitted.
func (c *Conn) Unsent() int64 { return c.unsent() }

// InFlight is the number of bytes recovery believes to be in the network.
func (c *Conn) InFlight() int64 { return c.rec.Pipe() }

// Queued is the number of bytes appended and not yet acknowledged.
func (c *Conn) Queued() int64 { return c.queue.Len() }

// SetNotsentLowat sets the limit of unsent bytes (TCP_NOTSENT_LOWAT), in bytes.
func (c *Conn) SetNotsentLowat(n int64) { c.snd.lowat = max(n, 1) }

// SetNoDelay turns Nagle's algorithm off (true, the default) or on.
func (c *Conn) SetNoDelay(on bool) { c.opt.noDelay = on }

// Now is the time of the shard's current turn.
func (c *Conn) Now() mono.Time { return c.shard.now }
