package script

import (
	"fmt"

	"ocaserve/tcpstack/mono"
)

// An outcome is what a call has returned.
type outcome struct {
	n     int64
	errno string // "": none
	bad   string // what else the call has returned and the script does not expect
}

func (o outcome) String() string {
	if o.errno != "" {
		return "-1 " + o.errno
	}
	return fmt.Sprint(o.n)
}

func failure(errno string) outcome { return outcome{n: -1, errno: errno} }

// An attempt tries a call on the shard; false means that it blocks, and is tried again later.
type attempt func() (outcome, bool)

// A waitingCall blocks, and has to end at a time that the script says.
type waitingCall struct {
	e    *event
	try  attempt
	ends mono.Time
	out  outcome
	done mono.Time // not set: it still blocks
}

// startCall makes a socket call. One that the script does not let block must return at once.
func (r *runner) startCall(e *event, at mono.Time) {
	spec := calls[e.call.name]
	if n := len(e.call.args); n != spec.args && spec.args >= 0 {
		r.fail("%s takes %d arguments, not %d", e.call.name, spec.args, n)
	}
	try := spec.make(r, e.call)
	w := &waitingCall{e: e, try: try, ends: at}
	if e.blocks {
		w.ends = at.Add(e.blocking - e.at)
	}
	done := false
	first := func() {
		if w.out, done = try(); done {
			w.done = r.now
		}
	}
	if r.stack == nil && !spec.stack {
		first()
	} else {
		r.do(first)
	}
	switch {
	case done:
		r.checkCall(w)
	case e.blocks:
		r.waiting = w
		r.pollCall()
	default:
		r.mismatch(e.call.String(), "it blocks", "the call does not return")
	}
}

// pollCall tries the blocked call again, after the stack has done something.
func (r *runner) pollCall() {
	w := r.waiting
	if w == nil || w.done.IsSet() {
		return
	}
	if out, done := w.try(); done {
		w.out, w.done = out, r.now
		r.settle() // what the call has set off
	}
}

// finishCall waits for a blocked call to end and checks it: the next call, or the end of the script, needs
// the thread that it holds.
func (r *runner) finishCall() {
	w := r.waiting
	if w == nil {
		return
	}
	line := r.line
	r.line = w.e.line
	for limit := w.ends.Add(r.config.tolerance); !w.done.IsSet() && r.tick(limit); {
	}
	r.waiting = nil
	if !w.done.IsSet() {
		r.mismatch(w.e.call.String()+" by "+stamp(w.ends), "it still blocks", "the call does not return")
	}
	r.checkCall(w)
	r.line = line
}

// checkCall compares what a call has returned, and when.
func (r *runner) checkCall(w *waitingCall) {
	want := w.e.call
	ok := want.errno == w.out.errno
	if ok && want.result.kind != exprEllipsis {
		ok = r.number(want.result) == w.out.n
	}
	switch off := w.done.Sub(w.ends); {
	case !ok:
		r.mismatch(want.String(), w.out.String(), "%s returns something else", want.name)
	case w.out.bad != "":
		r.mismatch(want.String(), w.out.bad, "%s returns another value", want.name)
	case off.Abs() > r.config.tolerance:
		r.mismatch(want.String()+" at "+stamp(w.ends), "at "+stamp(w.done), "the call returns %v off its time", off)
	}
}

// number is the value of an argument: a number, or names joined by |.
func (r *runner) number(x expr) int64 {
	switch x.kind {
	case exprInt:
		return x.num
	case exprWord:
		n := int64(0)
		for _, w := range x.words {
			v, ok := constants[w]
			if !ok {
				r.fail("the name %s is not known", w)
			}
			n |= v
		}
		return n
	}
	r.fail("expected a number, got %v", x)
	return 0
}

// ellipsis insists on "...": addresses and buffers are the runner's own.
func (r *runner) ellipsis(x expr) {
	if x.kind != exprEllipsis {
		r.fail("only ... is supported here, not %v", x)
	}
}

// socket finds the descriptor that a call names.
func (r *runner) socket(x expr) *socket {
	s := r.fds[int(r.number(x))]
	if s == nil {
		r.fail("descriptor %v is not open", x)
	}
	return s
}

// open gives a socket the number that the script expects the call to return.
func (r *runner) open(c *call, s *socket) outcome {
	fd := int(r.number(c.result))
	if fd < 0 || r.fds[fd] != nil {
		r.mismatch(c.String(), "a new descriptor", "%s returns a descriptor, and %d is none or taken", c.name, fd)
	}
	r.fds[fd] = s
	return outcome{n: int64(fd)}
}

// errnoText has the errors that scripts may expect, with their numbers on Linux.
var errnoText = map[string]int64{
	"EINTR": 4, "EAGAIN": 11, "EWOULDBLOCK": 11, "EFAULT": 14, "EINVAL": 22, "EPIPE": 32, "ENOPROTOOPT": 92,
	"EOPNOTSUPP": 95, "EADDRINUSE": 98, "ENETUNREACH": 101, "ECONNABORTED": 103, "ECONNRESET": 104,
	"EISCONN": 106, "ENOTCONN": 107, "ETIMEDOUT": 110, "ECONNREFUSED": 111, "EHOSTUNREACH": 113,
	"EALREADY": 114, "EINPROGRESS": 115,
}

// constants are the names that calls may use, with their values on Linux where these can be seen.
var constants = map[string]int64{
	"AF_INET": 2, "AF_INET6": 10, "SOCK_STREAM": 1, "SOCK_NONBLOCK": 0o4000, "IPPROTO_TCP": 6, "IPPROTO_IP": 0,
	"SOL_SOCKET": 1, "SOL_TCP": 6,
	"SO_REUSEADDR": 2, "SO_ERROR": 4, "SO_SNDBUF": 7, "SO_RCVBUF": 8, "SO_KEEPALIVE": 9, "SO_LINGER": 13,
	"TCP_NODELAY": 1, "TCP_MAXSEG": 2, "TCP_KEEPIDLE": 4, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 6,
	"TCP_CONGESTION": 13, "TCP_NOTSENT_LOWAT": 25,
	"F_GETFL": 3, "F_SETFL": 4, "O_RDWR": 2, "O_NONBLOCK": 0o4000,
	"SHUT_RD": 0, "SHUT_WR": 1, "SHUT_RDWR": 2,
	"MSG_DONTWAIT": 0x40, "MSG_NOSIGNAL": 0x4000,
	"POLLIN": 1, "POLLOUT": 4, "POLLERR": 8, "POLLHUP": 0x10, "POLLRDHUP": 0x2000,
	"SIOCINQ": 0x541b, "FIONREAD": 0x541b, "SIOCOUTQ": 0x5411, "SIOCOUTQNSD": 0x894b,
	"ECONNREFUSED": 111, "ECONNRESET": 104, "ETIMEDOUT": 110, "EHOSTUNREACH": 113, "ENETUNREACH": 101,
}
