package script

// A callSpec makes the attempt of a call, with its arguments checked.
type callSpec struct {
	args  int // -1: not always the same
	make  func(r *runner, c *call) attempt
	stack bool // it makes the stack, if there is none; the others shape it before
}

// calls are the socket calls that scripts may make.
var calls map[string]callSpec

func init() { // no initialiser: what a call does refers to the parser's tables again
	calls = map[string]callSpec{
		"socket":     {args: 3, make: callSocket},
		"bind":       {args: 3, make: callBind},
		"listen":     {args: 2, make: callListen, stack: true},
		"accept":     {args: 3, make: callAccept},
		"connect":    {args: 3, make: callConnect, stack: true},
		"read":       {args: 3, make: callRead},
		"recv":       {args: 4, make: callRead},
		"write":      {args: 3, make: callWrite},
		"send":       {args: 4, make: callWrite},
		"close":      {args: 1, make: callClose},
		"shutdown":   {args: 2, make: callShutdown},
		"setsockopt": {args: 5, make: callSetsockopt},
		"getsockopt": {args: 5, make: callGetsockopt},
		"fcntl":      {args: -1, make: callFcntl},
		"poll":       {args: 3, make: callPoll},
		"ioctl":      {args: 3, make: callIoctl},
	}
}

// once wraps what never blocks.
func once(f func() outcome) attempt { return func() (outcome, bool) { return f(), true } }

func callSocket(r *runner, c *call) attempt {
	r.ellipsis(c.args[0])
	kind := r.number(c.args[1])
	if kind&^constants["SOCK_NONBLOCK"] != constants["SOCK_STREAM"] || r.number(c.args[2]) != constants["IPPROTO_TCP"] {
		r.fail("only SOCK_STREAM with IPPROTO_TCP is supported")
	}
	s := r.newSocket()
	s.opts.nonblock = kind&constants["SOCK_NONBLOCK"] != 0
	out := r.open(c, s)
	return func() (outcome, bool) { return out, true }
}

func callBind(r *runner, c *call) attempt {
	s := r.socket(c.args[0])
	r.ellipsis(c.args[1])
	r.ellipsis(c.args[2])
	return once(func() outcome {
		if s.conn != nil || s.listener != nil {
			return failure("EINVAL")
		}
		return outcome{}
	})
}

func callListen(r *runner, c *call) attempt {
	s := r.socket(c.args[0])
	r.number(c.args[1]) // our stack keeps one queue for all
	return once(func() outcome {
		if s.listener != nil {
			return outcome{}
		}
		if s.conn != nil {
			return failure("EINVAL")
		}
		if err := s.listen(); err != nil {
			return failure("EADDRINUSE")
		}
		return outcome{}
	})
}

func callAccept(r *runner, c *call) attempt {
	s := r.socket(c.args[0])
	r.ellipsis(c.args[1])
	r.ellipsis(c.args[2])
	return func() (outcome, bool) {
		switch {
		case s.listener == nil:
			return failure("EINVAL"), true
		case len(s.backlog) == 0 && s.opts.nonblock:
			return failure("EAGAIN"), true
		case len(s.backlog) == 0:
			return outcome{}, false
		}
		n := s.backlog[0]
		s.backlog = s.backlog[1:]
		r.under, r.flow = n, n.flow
		return r.open(c, n), true
	}
}

func callConnect(r *runner, c *call) attempt {
	s := r.socket(c.args[0])
	r.ellipsis(c.args[1])
	r.ellipsis(c.args[2])
	told := false // this call began the open
	return func() (outcome, bool) {
		switch {
		case s.conn == nil:
			if err := s.connect(); err != nil {
				return failure("EADDRINUSE"), true
			}
			told = true
			if s.opts.nonblock {
				return failure("EINPROGRESS"), true
			}
			return outcome{}, false
		case s.connecting && s.opts.nonblock:
			return failure("EALREADY"), true
		case s.connecting:
			return outcome{}, false
		case s.err != nil:
			return failure(s.takeError()), true
		case told || !s.told:
			s.told = true
			return outcome{}, true
		}
		return failure("EISCONN"), true
	}
}

// callRead is read and recv.
func callRead(r *runner, c *call) attempt {
	s := r.socket(c.args[0])
	r.ellipsis(c.args[1])
	n := int(r.number(c.args[2]))
	nonblock := r.flags(c)
	return func() (outcome, bool) {
		if s.conn == nil {
			return failure("ENOTCONN"), true
		}
		if !s.readShut {
			if got := s.receive(n); got > 0 {
				return outcome{n: int64(got)}, true
			}
		}
		switch {
		case s.err != nil:
			return failure(s.takeError()), true
		case s.eof():
			return outcome{}, true
		case s.opts.nonblock || nonblock:
			return failure("EAGAIN"), true
		}
		return outcome{}, false
	}
}

// flags are recv's and send's last argument; it reports MSG_DONTWAIT.
func (r *runner) flags(c *call) bool {
	if len(c.args) < 4 {
		return false
	}
	f := r.number(c.args[3])
	if f&^(constants["MSG_DONTWAIT"]|constants["MSG_NOSIGNAL"]) != 0 {
		r.fail("the flags %v are not supported", c.args[3])
	}
	return f&constants["MSG_DONTWAIT"] != 0
}

// callWrite is write and send. The stack takes all that is written: the send buffer has no limit of its own,
// see TCP_NOTSENT_LOWAT and poll.
func callWrite(r *runner, c *call) attempt {
	s, n, text := r.socket(c.args[0]), int(r.number(c.args[2])), ""
	switch x := c.args[1]; {
	case x.kind == exprString && len(x.text) != n:
		r.fail("the text is %d bytes long, not %d", len(x.text), n)
	case x.kind == exprString:
		text = x.text
	default:
		r.ellipsis(x)
	}
	nonblock := r.flags(c) || s.opts.nonblock
	return func() (outcome, bool) {
		switch {
		case s.err != nil:
			return failure(s.takeError()), true
		case s.conn == nil, s.writeShut, s.closed:
			return failure("EPIPE"), true
		case s.connecting && nonblock:
			return failure("EAGAIN"), true
		case s.connecting:
			return outcome{}, false
		}
		s.send(n, text)
		return outcome{n: int64(n)}, true
	}
}

func callClose(r *runner, c *call) attempt {
	s := r.socket(c.args[0])
	delete(r.fds, int(r.number(c.args[0])))
	return once(func() outcome {
		s.close()
		return outcome{}
	})
}

func callShutdown(r *runner, c *call) attempt {
	s, how := r.socket(c.args[0]), r.number(c.args[1])
	if how < constants["SHUT_RD"] || how > constants["SHUT_RDWR"] {
		r.fail("shutdown does not take %v", c.args[1])
	}
	return once(func() outcome {
		if s.conn == nil || s.closed {
			return failure("ENOTCONN")
		}
		if how != constants["SHUT_WR"] {
			s.readShut = true
		}
		if how != constants["SHUT_RD"] && !s.writeShut {
			s.writeShut = true
			s.conn.CloseWrite()
		}
		return outcome{}
	})
}

// callFcntl is fcntl with F_GETFL, which takes two arguments, or F_SETFL.
func callFcntl(r *runner, c *call) attempt {
	s := r.socket(c.args[0])
	nonblock := constants["O_NONBLOCK"]
	switch cmd := r.number(c.args[1]); {
	case cmd == constants["F_GETFL"]:
		flags := constants["O_RDWR"]
		if s.opts.nonblock {
			flags |= nonblock
		}
		return once(func() outcome { return outcome{n: flags} })
	case cmd == constants["F_SETFL"] && len(c.args) == 3:
		flags := r.number(c.args[2])
		if flags&^(nonblock|constants["O_RDWR"]) != 0 {
			r.fail("fcntl: the flags %v are not supported", c.args[2])
		}
		return once(func() outcome {
			s.opts.nonblock = flags&nonblock != 0
			return outcome{}
		})
	}
	r.fail("fcntl takes F_GETFL, or F_SETFL with flags")
	return nil
}
