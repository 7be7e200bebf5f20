package tcpstack

import (
	"errors"

	"ocaserve/tcpstack/mono"
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
func (c *Conn) Abort() { c.abort(c.shard.now, ErrAborted) }

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
	for k := range timerCount {
		c.stopTimer(k)
	}
	c.setTimer(timerTimeWait, now.Add(timeWaitLen))
	c.queue.Drop()
	c.cc = nil
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
	c.shard.wheel.Stop(&c.timer)
	c.timers = [timerCount]mono.Time{}
	c.shard.settle()
	c.queue.Drop()
	c.shard.remove(c)
	if !wasOver {
		c.raise(eventClosed)
	}
}
