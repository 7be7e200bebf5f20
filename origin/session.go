package origin

import (
	"errors"

	"ocaserve/cache"
	"ocaserve/ktls"
	"ocaserve/sendfile"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// state is where a session stands in its cycle.
//
//	       complete head        answer settled
//	head ----------------> look ---------------> body
//	 ^ \                                           |  \ peer wants no more, we drain,
//	 |  \ idle or EOF      last byte appended      |   \ or the head was unacceptable
//	 |   \-------------------------------.         |    \
//	 +------------------------------------\--------+     v
//	                                       '-----------> linger ---> over
type state uint8

const (
	stateHead   state = iota // reading a head; nothing received: idle
	stateLook                // a head is complete; waiting for room, or for the catalogue
	stateBody                // a response is running
	stateLinger              // our side is closed; what arrives is discarded until the peer closes too
	stateOver                // given up or gone; no event does anything any more
)

func (s state) String() string {
	return [...]string{"head", "look", "body", "linger", "over"}[s]
}

// A session is one connection. It belongs to its shard, except for Filled and retry, which others may call.
type session struct {
	// What a response on its way needs.

	sh         *shard
	c          conn
	framer     *ktls.Framer
	res        *response // nil between responses
	queued     int64     // wire bytes appended, in all
	mark       int64     // of them acknowledged when the current rate window began
	started    mono.Time // first byte of the current head, or the end of the last response; lingering: of the window
	deadline   mono.Time // what state we are in must not last longer
	armed      mono.Time // what the connection's timer is set to
	headLen    int32
	state      state
	used       bool // a response was sent: an idle time-out is an orderly end
	waiting    bool // for a page or the catalogue: events of the connection do not help
	closing    bool // this response is the last
	paced      bool // this response has a pace of its own
	peerClosed bool // close_notify came

	// What is received, and the rest.

	opener     *ktls.Opener // nil: plain HTTP
	in         inbox        // plaintext received
	raw        []byte       // a TLS record being put together; nil unless it is spread over several runs
	early      []byte       // records received before hand-over and not yet opened; nil once the session caught up
	scan       headScan
	refusals   int64    // bytes discarded while lingering
	retry      func()   // s.Filled, made with the first request
	info       *tlsInfo // what the log says about TLS; nil: plain HTTP
	prev, next *session // the shard's list
}

// tlsInfo is what is known of a TLS connection, for the log.
type tlsInfo struct{ version, suite, serverName string }

// newSession starts a session on its shard. left is plaintext received before, framer and opener are nil
// for plain HTTP.
func (sh *shard) newSession(now mono.Time, c conn, framer *ktls.Framer, opener *ktls.Opener, info *tlsInfo) *session {
	s := &session{sh: sh, c: c, framer: framer, opener: opener, info: info, started: now}
	if framer == nil {
		s.framer, _ = ktls.NewFramer(ktls.ModeOff, nil, sh.pool) // fails for TLS modes only
	} else {
		opener.Follow(framer)
		framer.SetBook(c.Book())
		sh.stats.tls.begun(framer)
	}
	sh.link(s)
	sh.stats.connections.Add(1)
	return s
}

// readable, writable and resumed are the events that move a session on.
func (s *session) readable(now mono.Time) {
	switch s.state {
	case stateLinger:
		s.discard()
		return
	case stateBody, stateLook:
		s.readAhead(now)
	}
	s.run(now)
}

func (s *session) writable(now mono.Time) { s.run(now) }

// resumed follows Filled or retry, on the shard.
func (s *session) resumed(now mono.Time) {
	s.waiting = false
	s.run(now)
}

// Filled implements [cache.Waiter]: it may run on any goroutine.
func (s *session) Filled() { s.sh.wake(s) }

// retryFunc is Filled as a function value, which would otherwise be allocated for every request.
func (s *session) retryFunc() func() {
	if s.retry == nil {
		s.retry = s.Filled
	}
	return s.retry
}

// closed is the connection's last event.
func (s *session) closed(now mono.Time) {
	if s.res != nil {
		s.finish(now, true)
	}
	s.release()
}

// release gives back everything, once.
func (s *session) release() {
	if s.state == stateOver {
		return
	}
	s.state = stateOver
	s.in.drop(&s.sh.buffers)
	s.dropRaw()
	s.framer.Close()
	s.early, s.framer, s.opener = nil, nil, nil
	s.sh.unlink(s)
}

// run takes steps until one of them has to wait.
func (s *session) run(now mono.Time) {
	if s.state == stateOver {
		return
	}
	s.framer.Touch(now)
	for s.step(now) {
	}
	s.arm(now)
}

// step does what the state asks for and reports whether to go on.
func (s *session) step(now mono.Time) bool {
	if s.waiting {
		return false
	}
	switch s.state {
	case stateHead:
		return s.readHead(now)
	case stateLook:
		return s.answer(now)
	case stateBody:
		return s.pump(now)
	}
	return false
}

// readHead receives until a head is complete or known to be bad.
func (s *session) readHead(now mono.Time) bool {
	for {
		if s.in.len() > 0 {
			n, status := s.scan.scan(s.in.bytes())
			if status != 0 {
				s.refuse(now, status)
				return true
			}
			if n > 0 {
				s.headLen, s.state = int32(n), stateLook
				return true
			}
		}
		before := s.in.len()
		if !s.receive(now) {
			break
		}
		if before == 0 {
			s.started = now // the first byte of a head starts its time
		}
	}
	if s.state == stateHead && (s.eof() || s.idle() && s.sh.srv.draining.Load()) {
		s.shutdown(now)
	}
	return false
}

// idle reports whether the session waits for a request of which nothing is there yet.
func (s *session) idle() bool { return s.state == stateHead && s.in.len() == 0 }

// pipelined is how many bytes of earlier responses may be unsent when another one is begun. A short response
// costs several times its length in memory, so there must not be hundreds of them.
const pipelined = 16 << 10

// answer makes the response to the head at the front of the inbox. While the catalogue is busy the head
// stays there and is parsed again later; that is rare, and saves keeping a request per session.
func (s *session) answer(now mono.Time) bool {
	s.c.SetNotsentLowat(pipelined)
	if s.c.Room() <= 0 {
		return false // back-pressure: a client that does not read its responses gets no further ones
	}
	req := s.sh.req
	if !req.parse(s.in.bytes()[:s.headLen], &s.scan) {
		s.refuse(now, 400)
		return true
	}
	s.sh.refresh(now)
	s.res = s.sh.response()
	s.closing = req.close || s.scan.body || s.eof() && s.in.len() == int(s.headLen) || s.sh.srv.draining.Load()
	if err := s.route(req); err != nil {
		s.sh.recycle(s.res)
		s.res, s.waiting = nil, true
		return false
	}
	s.beginPace(now, req)
	s.logRequest(now, req)
	s.in.consume(&s.sh.buffers, int(s.headLen))
	s.begun(now)
	return true
}

// refuse answers a head that cannot be parsed, and ends the connection: where the next request would begin
// is unknown (RFC 9112 section 9.3).
func (s *session) refuse(now mono.Time, status int) {
	s.sh.refresh(now)
	s.res = s.sh.response()
	s.closing = true
	s.sh.req.reset()
	s.failure(s.sh.req, status)
	s.logRefused(now)
	s.in.drop(&s.sh.buffers)
	s.begun(now)
}

// begun enters the body state.
func (s *session) begun(now mono.Time) {
	s.scan, s.headLen = headScan{}, 0
	s.state, s.started = stateBody, now
	s.mark = s.acked()
	s.deadline = now.Add(s.sh.srv.opts.SendWindow)
	s.c.SetNotsentLowat(s.sh.srv.opts.SendQueue)
	s.framer.SetBook(s.c.Book())
	s.framer.SetSegment(s.c.MSS(), s.c.MaxBurst())
}

// pump moves the response on.
func (s *session) pump(now mono.Time) bool {
	err := s.res.xfer.Pump((*sink)(s), s)
	switch err {
	case nil:
		s.finish(now, false)
		if s.closing {
			s.shutdown(now)
			return false
		}
		s.state, s.started = stateHead, now
		return true
	case sendfile.ErrAgain:
		return false
	case cache.ErrBusy:
		s.waiting = true
		s.sh.pressed(now)
		return false
	}
	return s.broken(now, err)
}

// broken ends a response whose file cannot deliver. Before its first byte another answer is still possible;
// after it the only honest thing is to cut the connection, so that the client sees that bytes are missing.
func (s *session) broken(now mono.Time, err error) bool {
	if s.res.xfer.Sent() == 0 && !errors.Is(err, ktls.ErrClosed) && !errors.Is(err, ktls.ErrKeyWorn) {
		s.sh.reset(s.res)
		s.closing = true
		s.failure(s.sh.req.reset(), 500)
		return true
	}
	s.finish(now, true)
	s.abort()
	return false
}

// finish ends the response: counted, logged, everything it held given back. The bytes appended stay the
// connection's until they are acknowledged.
func (s *session) finish(now mono.Time, aborted bool) {
	r, st := s.res, &s.sh.stats
	s.res = nil
	s.used = true
	s.endPace()
	st.requests.Add(1)
	st.classes[r.status/100%len(st.classes)].Add(1)
	st.bytes.Add(uint64(r.xfer.Sent()))
	if aborted {
		st.aborted.Add(1)
	}
	s.logResponse(now, r, aborted)
	s.sh.recycle(r)
}

// sink is a session as the transfer and the framer see it: what they append is counted on its way.
type sink session

func (k *sink) Room() int64 { return k.c.Room() }

func (k *sink) Whole(n int64) int64 { return k.framer.Whole(n) }

func (k *sink) Book() *ledger.Book { return k.c.Book() }

func (k *sink) Append(pieces []stream.Piece) error {
	k.c.Book().Add(ledger.CopiedShort, k.sh.unpin(pieces))
	return k.framer.Append((*queue)(k), pieces)
}

// queue is the connection's send queue with a counter.
type queue session

func (q *queue) Append(s stream.Span) {
	q.queued += int64(s.Len())
	q.c.Append(s)
}

// acked is the number of wire bytes that the peer has acknowledged, less those of the handshake: only its
// differences mean something. Bytes transmitted would not do: a window's worth of them can be on a slow path
// for a long time after the last one left.
func (s *session) acked() int64 { return s.queued - s.c.Queued() }
