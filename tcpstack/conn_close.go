package tcpstack

import (
	"errors"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/trace"
	"ocaserve/tcpstack/wire"
)

// Why a connection ended.
var (
	ErrReset   = errors.New("connection reset by peer")
	ErrRefused = errors.New("connection refused")
	ErrTimeout = errors.New("connection timed out: the peer no longer answers")
	ErrAborted = errors.New("connection aborted")
	ErrStopped = errors.New("stack stopped")
)

// CloseWrite ends our side of the stream: a FIN follows what is queued (RFC 9293 section 3.6). Receiving
// goes on.
func (c *Conn) CloseWrite() {
	before := c.state
	if before == StateSynReceived { // the FIN waits for ESTABLISHED (section 3.10.4)
		c.snd.closing = true
		return
	}
	c.move(evClose)
	if c.state == before {
		return
	}
	if c.state == StateClosed { // CLOSE in SYN-SENT (section 3.10.4)
		c.finish(ErrAborted)
		return
	}
	c.wantOutput()
}

// Close ends both directions for the application: a FIN follows what is queued, and payload that arrives
// from now on is answered with a RST, since nobody will read it (RFC 9293 section 3.6.1, RFC 2525 section
// 2.16). With unread bytes at hand the RST goes out at once (section 2.17).
func (c *Conn) Close() {
	if c.in.Readable() > 0 {
		c.Abort()
		return
	}
	c.orphan = true
	c.CloseWrite()
	if c.state == StateFinWait2 {
		c.setTimer(timerTimeWait, c.shard.now.Add(finWait2Len))
	}
}

// Abort ends the connection at once: a RST goes out and everything queued is dropped (section 3.10.5).
func (c *Conn) Abort() {
	c.forgetUnread(ErrAborted)
	c.abort(c.shard.now, ErrAborted)
}

// abort sends a RST, in the states where the RFC asks for one, and finishes with err.
func (c *Conn) abort(now mono.Time, err error) {
	if c.gone {
		return
	}
	if c.state >= StateSynReceived && c.state != StateTimeWait {
		seg := c.header(now, c.rec.Next(), wire.RST|wire.ACK)
		c.shard.sendControl(&c.flow, &seg)
		c.shard.stats.ResetsSent++
	}
	c.finish(err)
}

// enterTimeWait frees what the connection no longer needs and waits 2 MSL (section 3.6.1). To the
// application the connection is over.
func (c *Conn) enterTimeWait(now mono.Time) {
	c.limit(now, trace.LimitIdle) // nothing is output any more that would say so
	c.stopTimers()
	c.restartTimeWait(now)
	c.dropQueue()
	c.cc = nil
	c.dropFunctions()
	c.raise(eventReadable)
	c.raise(eventClosed)
}

// finish removes the connection. The handler gets its Closed event, if it has not had it; err says why.
func (c *Conn) finish(err error) {
	if c.gone {
		return
	}
	wasOver := c.state == StateTimeWait
	c.gone = true
	c.state = StateClosed
	if c.snd.err == nil {
		c.snd.err = err
	}
	c.stopTimers()
	c.arm()
	c.dropQueue()
	c.dropFunctions()
	c.shard.remove(c)
	if !wasOver {
		c.raise(eventClosed)
	}
}

// stopTimers stops the connection's timers: it is over. The handler's own goes on while the handler has
// bytes to read, since it has not been told.
func (c *Conn) stopTimers() {
	user := c.timers[timerUser]
	c.timers = [timerCount]mono.Time{}
	c.shard.wheel.Stop(&c.timer)
	if c.hasUnread() {
		c.timers[timerUser] = user
	}
}

// hasUnread reports whether the application must get more bytes before a Closed: an orderly close ends the
// stream behind its last byte, not before.
func (c *Conn) hasUnread() bool {
	return c.snd.err == nil && !c.orphan && c.handler != nil && c.in.Readable() > 0
}

// keepUnread puts the Closed event off until everything was read.
func (c *Conn) keepUnread() {
	c.unread = true
	c.shard.unread[c] = struct{}{}
}

// forgetUnread drops what keepUnread kept; the Closed event follows.
func (c *Conn) forgetUnread(err error) {
	if !c.unread {
		return
	}
	if c.snd.err == nil {
		c.snd.err = err
	}
	c.in.Drop()
	c.raise(eventClosed)
}

// restartTimeWait starts 2 MSL, at the first FIN and again at each retransmission of it.
func (c *Conn) restartTimeWait(now mono.Time) {
	c.setTimer(timerTimeWait, now.Add(timeWaitLen))
	c.leaveWait()
	c.shard.waits.push(c)
}
