package script

import (
	"errors"
	"net/netip"

	"ocaserve/pacing"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/stream"
)

// A socket is a descriptor of the script: unbound, listening, or a connection. It is the connection's
// handler, and reads only when the script calls read, so that the receive window is the script's affair.
type socket struct {
	r        *runner
	listener *tcpstack.Listener
	backlog  []*socket // connections waiting for accept
	conn     *tcpstack.Conn
	flow     *flow
	opts     sockopts

	connecting  bool
	told        bool // a call of connect has returned 0
	established bool
	closed      bool
	err         error // not reported yet
	readShut    bool  // shutdown(SHUT_RD)
	writeShut   bool
	read        uint32 // stream position of the next byte to read, as the peer's sequence number
}

// sockopts is what setsockopt and fcntl set; a listener's connections inherit it.
type sockopts struct {
	nonblock  bool
	noDelay   bool // Nagle's algorithm is on by default in the socket interface, unlike in our stack
	keepAlive bool
	keep      tcpstack.KeepAlive
	lowat     int64
	fastOpen  int
	pace      pacing.Rate // 0: no limit
	abortive  bool        // SO_LINGER with no time
}

// newSocket has Linux's defaults: two hours before the first keepalive probe, nine probes 75 s apart.
func (r *runner) newSocket() *socket {
	s := &socket{r: r, read: 1}
	s.opts.keep = tcpstack.KeepAlive{Idle: 7200e9, Interval: 75e9, Count: 9}
	return s
}

// Readable implements tcpstack.Handler: the bytes stay where they are until read.
func (s *socket) Readable(*tcpstack.Conn) {}

// Writable implements tcpstack.Handler: its first call ends an active open.
func (s *socket) Writable(*tcpstack.Conn) { s.connecting, s.established = false, true }

// Closed implements tcpstack.Handler.
func (s *socket) Closed(_ *tcpstack.Conn, err error) {
	s.connecting, s.closed, s.err = false, true, err
}

// accepted is the listener's Accept.
func (s *socket) accepted(c *tcpstack.Conn) tcpstack.Handler {
	n := s.r.newSocket()
	n.opts, n.established = s.opts, true
	n.opts.nonblock = false // not inherited on Linux
	n.attach(c)
	s.backlog = append(s.backlog, n)
	return n
}

// attach makes c the socket's connection and the one that the script speaks of.
func (s *socket) attach(c *tcpstack.Conn) {
	s.conn, s.flow = c, s.r.flowFor(*c.Flow())
	s.r.flow, s.r.under = s.flow, s
	s.apply()
}

// apply gives the options to the connection, if there is one.
func (s *socket) apply() {
	if s.conn == nil {
		return
	}
	s.conn.SetNoDelay(s.opts.noDelay)
	if s.opts.lowat > 0 {
		s.conn.SetNotsentLowat(s.opts.lowat)
	}
	if s.opts.pace > 0 {
		s.conn.SetMaxPacingRate(s.opts.pace)
	}
}

// applyKeepAlive starts or stops the probes; their clock begins now.
func (s *socket) applyKeepAlive() {
	if s.conn == nil {
		return
	}
	if s.opts.keepAlive {
		s.conn.SetKeepAlive(s.opts.keep)
	} else {
		s.conn.SetKeepAlive(tcpstack.KeepAlive{})
	}
}

// takeError returns the pending error by its name, once, as sockets do.
func (s *socket) takeError() string {
	err := s.err
	s.err = nil
	if err == nil {
		return ""
	}
	for _, e := range []struct {
		err  error
		name string
	}{
		{tcpstack.ErrReset, "ECONNRESET"}, {tcpstack.ErrRefused, "ECONNREFUSED"}, {tcpstack.ErrTimeout, "ETIMEDOUT"},
		{tcpstack.ErrAborted, "ECONNABORTED"},
	} {
		if errors.Is(err, e.err) {
			return e.name
		}
	}
	s.r.fail("the connection ended by an error that has no number: %v", err)
	return ""
}

// eof reports that nothing will come any more.
func (s *socket) eof() bool { return s.readShut || s.conn.EOF() || s.closed && s.conn.Readable() == 0 }

// receive moves up to n bytes to the application and checks that they are the peer's.
func (s *socket) receive(n int) int {
	buf := make([]byte, n)
	got := s.conn.Read(buf)
	for _, b := range buf[:got] {
		if b != peerByte(s.read) {
			s.r.mismatch("", "", "read: the byte at %d is not the one that the peer has sent", s.read)
		}
		s.read++
	}
	return got
}

// send queues text, or n bytes of the application's pattern.
func (s *socket) send(n int, text string) {
	p := make([]byte, n)
	for i := range p {
		p[i] = hostByte(len(s.flow.wrote) + i)
	}
	copy(p, text)
	s.flow.wrote = append(s.flow.wrote, p...)
	s.conn.Append(stream.Bytes(p))
}

// close is close(2): both directions for the application.
func (s *socket) close() {
	switch {
	case s.listener != nil:
		s.listener.Close() //nolint:errcheck // never fails
		for _, c := range s.backlog {
			c.conn.Abort()
		}
	case s.conn == nil || s.closed:
	case s.opts.abortive:
		s.conn.Abort()
	default:
		s.conn.Close()
	}
}

// listen makes the stack accept connections for s.
func (s *socket) listen() error {
	l, err := s.r.stack.Listen(netip.AddrPortFrom(s.localAddr(), localPort), tcpstack.ListenConfig{Accept: s.accepted, FastOpen: s.opts.fastOpen})
	s.listener = l
	return err
}

func (s *socket) localAddr() netip.Addr {
	k := s.r.key(0, 0)
	return k.Local.Netip()
}

// connect starts an active open to the port that scripts connect to.
func (s *socket) connect() error {
	k := s.r.key(connectFrom, localPort)
	c, err := s.r.shard.Dial(k.LocalAddrPort(), k.RemoteAddrPort(), s)
	if err != nil {
		return err
	}
	s.connecting = true
	s.attach(c)
	return nil
}

// connectFrom is the local port of active opens.
const connectFrom = 40000

var _ tcpstack.Handler = (*socket)(nil)
