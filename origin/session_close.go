package origin

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// maxDiscard bounds what a client may send us after our last response before we stop listening.
const maxDiscard = 1 << 20

// shutdown ends our side in order: close_notify, then FIN, behind everything queued. Then we linger: closing
// with bytes unread would turn into a RST, which can overtake the response in the peer's stack (RFC 9112
// section 9.6).
func (s *session) shutdown(now mono.Time) {
	if s.state == stateLinger || s.state == stateOver {
		return
	}
	s.framer.CloseNotify((*queue)(s))
	s.c.CloseWrite()
	s.in.drop(&s.sh.buffers)
	s.dropRaw()
	s.early = nil
	s.state, s.waiting = stateLinger, false
	s.mark, s.started = s.acked(), now
	s.deadline = now.Add(s.sh.srv.opts.Linger)
	s.discard()
}

// discard throws away what arrives while we linger.
func (s *session) discard() {
	n := s.c.Readable()
	for left := n; left > 0; {
		m := min(left, max(len(s.c.Peek()), 1))
		s.c.Discard(m)
		left -= m
	}
	if s.refusals += int64(n); s.refusals > maxDiscard {
		s.abort()
	}
}

// abort cuts the connection.
func (s *session) abort() {
	s.release()
	s.c.Abort()
}

// drain is told that the server wants to stop.
func (s *session) drain(now mono.Time) {
	s.closing = true
	if s.idle() {
		s.shutdown(now)
		s.arm(now)
	}
}

// due is when the session's patience ends. It is computed rather than stored while waiting for requests,
// because it depends on what has arrived.
func (s *session) due() mono.Time {
	o := &s.sh.srv.opts
	switch {
	case s.state == stateOver:
		return 0
	case s.state == stateHead && s.in.len() == 0 && s.used:
		return s.started.Add(o.IdleTimeout)
	case s.state == stateHead:
		return s.started.Add(o.HeadTimeout)
	}
	return s.deadline
}

// arm sets the connection's timer, if it would otherwise fire too late. One that fires too early is set
// again then: cheaper than moving it with every request.
func (s *session) arm(now mono.Time) {
	if s.state == stateLook && s.deadline.Before(now) {
		s.deadline = now.Add(s.sh.srv.opts.SendWindow)
	}
	due := s.due()
	if due == 0 || s.armed != 0 && !due.Before(s.armed) {
		return
	}
	s.armed = due
	s.c.SetTimer(due)
}

// timer is the connection's timer event.
func (s *session) timer(now mono.Time) {
	s.armed = 0
	if due := s.due(); due == 0 || now.Before(due) {
		s.arm(now)
		return
	}
	switch s.state {
	case stateHead:
		s.headTimeout(now)
	case stateLook, stateBody:
		s.checkRate(now)
	case stateLinger:
		s.lingerTimeout(now)
	}
	s.arm(now)
}

// headTimeout ends a connection that sends no request. A head that was begun is answered with 408 (RFC 9110
// section 15.5.9); a connection that is merely idle is closed without a word, because a request may be
// crossing, and a 408 would be taken for its answer.
func (s *session) headTimeout(now mono.Time) {
	s.sh.stats.timeouts.Add(1)
	if s.in.len() == 0 {
		s.shutdown(now)
		return
	}
	s.refuse(now, 408)
	s.run(now)
}

// checkRate cuts a client that takes less than the minimum rate over a whole window. Time spent waiting for
// the disk or the catalogue is ours, not the client's.
func (s *session) checkRate(now mono.Time) {
	if s.waiting {
		s.sh.pressed(now)
	}
	if !s.waiting && s.tooSlow() {
		s.sh.stats.slow.Add(1)
		if s.res != nil {
			s.finish(now, true)
		}
		s.abort()
		return
	}
	s.mark, s.deadline = s.acked(), now.Add(s.sh.srv.opts.SendWindow)
}

// tooSlow judges a window at its end.
func (s *session) tooSlow() bool {
	o := &s.sh.srv.opts
	want := int64(o.SendWindow/time.Second) * o.MinSendRate
	return s.acked()-s.mark < max(want, 1)
}

// lingerTimeout gives up on a peer that does not close, but not on one that is still taking the response:
// that has as much time as it would have had while we were appending it.
func (s *session) lingerTimeout(now mono.Time) {
	o := &s.sh.srv.opts
	over := !now.Before(s.started.Add(o.SendWindow))
	if s.c.Queued() > 0 && !(over && s.tooSlow()) {
		if over {
			s.mark, s.started = s.acked(), now
		}
		s.deadline = now.Add(o.Linger)
		return
	}
	s.release()
	if s.c.Queued() > 0 {
		s.sh.stats.slow.Add(1)
		s.c.Abort()
		return
	}
	s.c.Close()
}
