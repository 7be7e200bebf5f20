package script

import (
	"fmt"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/congestion"
)

// A sockopt is one option of setsockopt and getsockopt. Both are called on the shard.
type sockopt struct {
	set func(s *socket, v int64) // nil: it cannot be set
	get func(s *socket) int64    // nil: it cannot be asked for
}

// sockoptKey is a level and an option by number.
type sockoptKey struct{ level, name string }

// sockopts lists the options. SOL_TCP is IPPROTO_TCP by another name.
var sockoptTable = map[sockoptKey]sockopt{
	{"SOL_SOCKET", "SO_REUSEADDR"}: {set: func(*socket, int64) {}}, // the stack never holds a port back
	{"SOL_SOCKET", "SO_SNDBUF"}:    {set: func(*socket, int64) {}}, // see callWrite
	{"SOL_SOCKET", "SO_RCVBUF"}:    {set: setReceiveBuffer},
	{"SOL_SOCKET", "SO_ERROR"}:     {get: func(s *socket) int64 { return errnoText[s.takeError()] }},
	{"SOL_SOCKET", "SO_KEEPALIVE"}: {
		set: func(s *socket, v int64) { s.opts.keepAlive = v != 0; s.applyKeepAlive() },
		get: func(s *socket) int64 { return truth(s.opts.keepAlive) },
	},
	{"SOL_SOCKET", "SO_MAX_PACING_RATE"}: { // bytes per second; ours count payload only
		set: func(s *socket, v int64) { s.opts.pace = pacing.Rate(v); s.apply() },
		get: func(s *socket) int64 { return int64(s.opts.pace) },
	},
	{"IPPROTO_TCP", "TCP_NODELAY"}: {
		set: func(s *socket, v int64) { s.opts.noDelay = v != 0; s.apply() },
		get: func(s *socket) int64 { return truth(s.opts.noDelay) },
	},
	{"IPPROTO_TCP", "TCP_KEEPIDLE"}:  keepOption(func(s *socket) *time.Duration { return &s.opts.keep.Idle }),
	{"IPPROTO_TCP", "TCP_KEEPINTVL"}: keepOption(func(s *socket) *time.Duration { return &s.opts.keep.Interval }),
	{"IPPROTO_TCP", "TCP_KEEPCNT"}: {
		set: func(s *socket, v int64) { s.opts.keep.Count = int(v); s.applyKeepAlive() },
		get: func(s *socket) int64 { return int64(s.opts.keep.Count) },
	},
	{"IPPROTO_TCP", "TCP_FASTOPEN"}: {set: func(s *socket, v int64) { s.opts.fastOpen = int(v) }},
	{"IPPROTO_TCP", "TCP_NOTSENT_LOWAT"}: {
		set: func(s *socket, v int64) { s.opts.lowat = v; s.apply() },
		get: func(s *socket) int64 { return s.opts.lowat },
	},
	{"IPPROTO_TCP", "TCP_MAXSEG"}: {get: func(s *socket) int64 {
		if s.conn == nil {
			return 536
		}
		return int64(s.conn.MSS())
	}},
}

// keepOption is a keepalive time in seconds.
func keepOption(field func(*socket) *time.Duration) sockopt {
	return sockopt{
		set: func(s *socket, v int64) { *field(s) = time.Duration(v) * time.Second; s.applyKeepAlive() },
		get: func(s *socket) int64 { return int64(*field(s) / time.Second) },
	}
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// setReceiveBuffer sets the window that the stack's connections offer; it is fixed with the stack.
func setReceiveBuffer(s *socket, v int64) {
	if s.r.stack != nil {
		s.r.fail("SO_RCVBUF can be set only before the first listen or connect")
	}
	s.r.buffer = int(min(max(v, 512), 64<<20))
}

// lookup finds the option that a call names.
func (r *runner) lookup(c *call) (sockopt, string) {
	words := [2]string{}
	for i, x := range c.args[1:3] {
		if x.kind != exprWord || len(x.words) != 1 {
			r.fail("%s: %v is not the name of a level or an option", c.name, x)
		}
		words[i] = x.words[0]
	}
	if words[0] == "SOL_TCP" {
		words[0] = "IPPROTO_TCP"
	}
	o, ok := sockoptTable[sockoptKey{words[0], words[1]}]
	if special := words[1] == "TCP_CONGESTION" || words[1] == "SO_LINGER"; !ok && !special {
		r.fail("%s: the option %s, %s is not supported", c.name, words[0], words[1])
	}
	return o, words[1]
}

// callSetsockopt takes [value] as the value, or a text, or a linger.
func callSetsockopt(r *runner, c *call) attempt {
	s := r.socket(c.args[0])
	o, name := r.lookup(c)
	x := c.args[3]
	switch {
	case name == "TCP_CONGESTION":
		return r.setCongestion(x)
	case name == "SO_LINGER":
		return r.setLinger(s, x)
	case o.set == nil:
		r.fail("%s cannot be set", name)
	case x.kind != exprList || len(x.list) != 1:
		r.fail("%s: the value is [number], not %v", name, x)
	}
	v := r.number(x.list[0])
	return once(func() outcome {
		o.set(s, v)
		return outcome{}
	})
}

// setCongestion chooses congestion control, which is the stack's.
func (r *runner) setCongestion(x expr) attempt {
	if x.kind == exprList && len(x.list) == 1 {
		x = x.list[0]
	}
	name := congestionName(x.text)
	if r.stack != nil {
		r.fail("TCP_CONGESTION can be set only before the first listen or connect")
	}
	if _, err := congestion.New(name, 1460); err != nil || name == "" {
		r.fail("TCP_CONGESTION: %q is not known", x.text)
	}
	r.config.sysctl.congestion = name
	return once(func() outcome { return outcome{} })
}

// setLinger takes {onoff=1, linger=0}: close resets. Lingering for a time is not supported.
func (r *runner) setLinger(s *socket, x expr) attempt {
	if x.kind != exprStruct || len(x.list) != 2 || x.names[0] != "onoff" || x.names[1] != "linger" {
		r.fail("SO_LINGER: the value is {onoff=N, linger=N}, not %v", x)
	}
	on, seconds := r.number(x.list[0]) != 0, r.number(x.list[1])
	if on && seconds > 0 {
		r.fail("SO_LINGER with a time is not supported")
	}
	return once(func() outcome {
		s.opts.abortive = on
		return outcome{}
	})
}

// callGetsockopt compares the value with what the script expects in [value].
func callGetsockopt(r *runner, c *call) attempt {
	s := r.socket(c.args[0])
	o, name := r.lookup(c)
	x := c.args[3]
	switch {
	case o.get == nil:
		r.fail("%s cannot be asked for", name)
	case x.kind != exprList || len(x.list) != 1:
		r.fail("%s: the value is [number], not %v", name, x)
	}
	return once(func() outcome {
		got, out := o.get(s), outcome{}
		if want := x.list[0]; want.kind != exprEllipsis && r.number(want) != got {
			out.bad = fmt.Sprintf("[%d]", got)
		}
		return out
	})
}

// callIoctl asks how much is queued, in either direction.
func callIoctl(r *runner, c *call) attempt {
	s, x := r.socket(c.args[0]), c.args[2]
	if x.kind != exprList || len(x.list) != 1 {
		r.fail("ioctl: the value is [number], not %v", x)
	}
	cmd, want := r.number(c.args[1]), r.number(x.list[0])
	return once(func() outcome {
		if s.conn == nil {
			return failure("EINVAL")
		}
		got := int64(0)
		switch cmd {
		case constants["SIOCINQ"]:
			got = int64(s.conn.Readable())
		case constants["SIOCOUTQ"]:
			got = s.conn.Queued()
		case constants["SIOCOUTQNSD"]:
			got = s.conn.Unsent()
		default:
			r.fail("ioctl: %v is not supported", c.args[1])
		}
		if got != want {
			return outcome{bad: fmt.Sprintf("[%d]", got)}
		}
		return outcome{}
	})
}

// A polled is one entry of poll.
type polled struct {
	s            *socket
	events, want int64
}

// callPoll waits until one of the descriptors has an event, for no longer than its time-out in ms.
func callPoll(r *runner, c *call) attempt {
	if c.args[0].kind != exprList || int64(len(c.args[0].list)) != r.number(c.args[1]) {
		r.fail("poll takes a list, and its length")
	}
	var fds []polled
	for _, x := range c.args[0].list {
		fds = append(fds, r.polled(x))
	}
	timeout := r.number(c.args[2])
	end := r.now.Add(time.Duration(timeout) * time.Millisecond)
	return func() (outcome, bool) {
		out := outcome{}
		for i, p := range fds {
			got := p.s.ready(p.events)
			if got != 0 {
				out.n++
			}
			if got != p.want {
				out.bad = fmt.Sprintf("descriptor %d of the list: revents 0x%x", i, got)
			}
		}
		return out, out.n > 0 || timeout >= 0 && r.now >= end
	}
}

// polled reads {fd=4, events=POLLIN, revents=POLLIN}.
func (r *runner) polled(x expr) (p polled) {
	for i, name := range x.names {
		switch name {
		case "fd":
			p.s = r.socket(x.list[i])
		case "events":
			p.events = r.number(x.list[i])
		case "revents":
			p.want = r.number(x.list[i])
		default:
			r.fail("poll: %q is not supported", name)
		}
	}
	if p.s == nil {
		r.fail("poll: %v has no fd", x)
	}
	return p
}

// ready is which of the events hold, as poll(2) says it of a TCP socket.
func (s *socket) ready(events int64) (got int64) {
	set := func(name string, on bool) {
		if v := constants[name]; on && (events|constants["POLLERR"]|constants["POLLHUP"])&v != 0 {
			got |= v
		}
	}
	if s.conn == nil {
		set("POLLIN", len(s.backlog) > 0)
		set("POLLHUP", s.listener == nil)
		return got
	}
	finished := s.closed || s.conn.EOF() && s.writeShut
	set("POLLIN", s.conn.Readable() > 0 || !s.connecting && s.eof())
	set("POLLOUT", !s.connecting && (s.closed || s.conn.Room() > 0))
	set("POLLRDHUP", !s.connecting && s.eof())
	set("POLLERR", s.err != nil)
	set("POLLHUP", finished)
	return got
}
