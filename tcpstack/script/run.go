package script

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"ocaserve/tcpstack"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// Options steer a run. The zero value is useful.
type Options struct {
	Congestion string    // congestion control, unless the script chooses; "": the stack's default
	Trailing   bool      // packets that are left at the end and no line expects are no mismatch
	Print      io.Writer // where %{ print }% writes; nil: nowhere
	Trace      io.Writer // each event and packet as it happens; nil: none
}

// A Mismatch is a script that the stack does not fulfil.
type Mismatch struct {
	File     string
	Line     int
	What     string // what differs
	Expected string // in the script's notation; "": nothing to show
	Actual   string
}

func (m *Mismatch) Error() string {
	s := fmt.Sprintf("%s:%d: %s", m.File, m.Line, m.What)
	if m.Expected != "" {
		s += "\n  expected  " + m.Expected + "\n  actual    " + m.Actual
	}
	return s
}

// A Report says what a run that passed has gone through.
type Report struct {
	Events int
	Took   time.Duration // virtual
}

// Run runs the script src; name stands in messages. The error is a *Mismatch, a *SyntaxError, or the failure
// of the stack itself.
func Run(name string, src []byte, o Options) (rep Report, err error) {
	p, err := parse(name, src)
	if err != nil {
		return rep, err
	}
	return runProgram(p, o)
}

// runProgram runs a parsed script. Mismatches and mistakes end it by a panic, which becomes the error here.
func runProgram(p *program, o Options) (rep Report, err error) {
	r := &runner{program: p, opt: o, now: began, fds: make(map[int]*socket), flows: make(map[wire.Flow]*flow)}
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *SyntaxError:
			err = e
		case *Mismatch:
			err = e
		case stackError:
			err = e.error
		default:
			panic(e)
		}
	}()
	r.run()
	return Report{Events: len(p.events), Took: r.now.Sub(began)}, nil
}

// began is when every script begins: not at 0, which means "not set".
const began = mono.Time(time.Hour)

// stackError wraps a failure of the stack or of the virtual link, for panic.
type stackError struct{ error }

// The ports and addresses are packetdrill's.
const localPort, remotePort = 8080, 50000

var (
	local4, remote4 = netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("192.0.2.1")
	local6, remote6 = netip.MustParseAddr("fd3d:fa7b:d17d::1"), netip.MustParseAddr("2001:db8::1")
)

// A runner is one run of one script. Mismatches are panics that Run recovers: they end the run from anywhere.
type runner struct {
	*program
	opt    Options
	now    mono.Time
	dev    *device
	stack  *tcpstack.Stack
	shard  *tcpstack.Shard
	flows  map[wire.Flow]*flow
	flow   *flow // the one that the script speaks of: the last opened
	fds    map[int]*socket
	cookie []byte  // the last Fast Open cookie that the stack has given
	under  *socket // whose tcp_info code sees: the last connection
	vars   map[string]value
	next   int // index of the event after the current one

	buffer  int // SO_RCVBUF, before the stack is made
	waiting *waitingCall
	last    *event    // the event before
	lastAt  mono.Time // and its time by the script
	line    int
}

func (r *runner) run() {
	for i := range r.events {
		e := &r.events[i]
		r.line, r.next = e.line, i+1
		r.event(e)
		r.last = e
	}
	r.finishCall()
	r.checkTrailing()
}

// event runs one event at its time.
func (r *runner) event(e *event) {
	if e.call != nil || e.code != nil {
		r.finishCall()
	}
	at := r.timeOf(e, e.at)
	if e.outbound() {
		r.expectPacket(e, at)
	} else {
		r.advance(at)
		r.checkOverdue()
		r.trace(e)
		switch {
		case e.packet != nil:
			r.inject(e)
		case e.call != nil:
			r.startCall(e, at)
		default:
			r.runCode(e.code)
		}
	}
	r.lastAt = at
}

// timeOf is an event's time d on the clock. As in packetdrill, relative times count from when the last event
// really happened, but a series of inbound packets keeps to the script.
func (r *runner) timeOf(e *event, d time.Duration) mono.Time {
	inbound := func(e *event) bool { return e != nil && e.packet != nil && !e.packet.out }
	at := began.Add(d)
	switch {
	case e.when == whenAny:
		return r.now
	case e.when == whenRelative && inbound(e) && inbound(r.last):
		at = r.lastAt.Add(d)
	case e.when == whenRelative:
		at = r.now.Add(d)
	}
	if late := r.now.Sub(at); late > r.config.tolerance && !e.outbound() {
		r.mismatch("", "", "the event should be at %s, but it is %s already", stamp(at), stamp(r.now))
	}
	return at
}

// stamp is a time as the script counts it, in seconds.
func stamp(t mono.Time) string { return fmt.Sprintf("%.6f", t.Sub(began).Seconds()) }

// mismatch ends the run.
func (r *runner) mismatch(expected, actual, format string, args ...any) {
	panic(&Mismatch{File: r.file, Line: r.line, What: fmt.Sprintf(format, args...), Expected: expected, Actual: actual})
}

func (r *runner) fail(format string, args ...any) { fail(r.file, r.line, format, args...) }

// ready makes the stack, which is put off until the script needs it: what it sets first is part of the
// stack's configuration.
func (r *runner) ready() {
	if r.stack != nil {
		return
	}
	addr := local4
	if r.config.v6 {
		addr = local6
	}
	clock := func() mono.Time { return r.now }
	r.dev = &device{
		caps: link.Caps{MTU: r.config.mtu, TSO4: true, TSO6: true, MaxGSO: 65535, TxCopies: true}, now: clock,
		mss: r.mssOf, note: r.noteSent,
	}
	st, err := tcpstack.New(tcpstack.Config{
		Functions: tcpstack.FunctionsBase, // until useUnpaced
		Addrs:     []netip.Addr{addr}, Clock: clock, ReceiveBuffer: r.buffer, ECN: r.config.sysctl.ecn, MTUProbing: r.config.sysctl.mtuProbing,
		MaxReceiveBuffer: cmp.Or(r.buffer, r.config.sysctl.maxReceive, 4<<20), // a window scale of 7
		Congestion:       cmp.Or(r.config.sysctl.congestion, r.opt.Congestion), Secret: [16]byte{1, 2, 3},
	}, []link.Device{r.dev})
	if err == nil && !r.config.sysctl.base {
		err = useUnpaced(st)
	}
	if err != nil {
		panic(stackError{err})
	}
	r.stack, r.shard = st, st.Shards()[0]
}

// useUnpaced makes the stack's default rack without pacing: scripts are written for hosts without it.
func useUnpaced(st *tcpstack.Stack) error {
	if err := st.RegisterFunctions(tcpstack.Rack("rack-unpaced", false)); err != nil {
		return err
	}
	return st.SetDefaultFunctions("rack-unpaced")
}

func (r *runner) mssOf(f *wire.Flow) int {
	if s := r.under; s != nil && s.conn != nil && *s.conn.Flow() == *f {
		return s.conn.MSS()
	}
	return 0
}

func (r *runner) noteSent(s *sent) {
	r.flowFor(s.flow).sentBy(&s.seg)
	if r.opt.Trace != nil {
		p := r.flowFor(s.flow).decode(s, &packet{})
		fmt.Fprintf(r.opt.Trace, "%s   %v\n", stamp(s.at), p)
	}
}

// flowFor finds a flow or begins it.
func (r *runner) flowFor(key wire.Flow) *flow {
	f := r.flows[key]
	if f == nil {
		f = newFlow(key)
		f.given = &r.cookie
		r.flows[key] = f
	}
	return f
}

// flowOf is the flow that a packet of the script belongs to: the one it has ports for, or the last.
func (r *runner) flowOf(p *packet) *flow {
	local, remote := uint16(localPort), uint16(remotePort)
	switch {
	case p.src != 0 && p.out:
		local, remote = p.src, p.dst
	case p.src != 0:
		local, remote = p.dst, p.src
	case r.flow != nil:
		return r.flow
	}
	f := r.flowFor(r.key(local, remote))
	r.flow = f
	return f
}

func (r *runner) key(local, remote uint16) wire.Flow {
	l, m := local4, remote4
	if r.config.v6 {
		l, m = local6, remote6
	}
	return wire.Flow{Local: wire.AddrFrom(l), Remote: wire.AddrFrom(m), LocalPort: local, RemotePort: remote}
}

// do runs f on the shard and lets the stack react.
func (r *runner) do(f func()) {
	r.ready()
	r.shard.Post(tcpstack.MessageFunc(func(*tcpstack.Shard) { f() }))
	r.settle()
}

// settle lets the stack run until it has nothing to do at this instant.
func (r *runner) settle() {
	if r.shard == nil {
		return
	}
	for range 10000 {
		busy, err := r.shard.Step(r.now)
		if err = cmp.Or(err, r.dev.err); err != nil {
			r.mismatch("", "", "%v", err)
		}
		if !busy {
			r.pollCall()
			return
		}
	}
	panic(stackError{fmt.Errorf("%s:%d: the stack does not come to rest", r.file, r.line)})
}

// advance lets the clock run to t, with every timer at its time.
func (r *runner) advance(t mono.Time) {
	for r.shard != nil && r.tick(t) {
	}
	if t > r.now {
		r.now = t
		r.settle()
	}
}

// tick goes to the next timer, if it is not later than t.
func (r *runner) tick(t mono.Time) bool {
	next := r.shard.Deadline()
	if w := r.waiting; w != nil && !w.done.IsSet() && w.ends > r.now { // poll has a time-out of its own
		next = min(next, w.ends)
	}
	next = max(next, r.now+1)
	if next > t {
		return false
	}
	r.now = next
	r.settle()
	return true
}

// inject gives a packet of the script to the stack.
func (r *runner) inject(e *event) {
	r.ready()
	f := r.flowOf(e.packet)
	if e.packet.icmp != nil {
		r.dev.in = append(r.dev.in, f.encodeICMP(e.packet))
		r.settle()
		return
	}
	raw, ok := f.encode(e.packet)
	if ts := timestamps(e.packet.opts); !ok && ts == nil {
		r.fail("the stack has given no Fast Open cookie yet")
	} else if !ok {
		r.fail("the script echoes timestamp %d, but no line with <TS val ...> has named one the stack has sent",
			ts.b)
	}
	r.dev.in = append(r.dev.in, raw)
	r.settle()
}

// trace narrates an event.
func (r *runner) trace(e *event) {
	if r.opt.Trace == nil {
		return
	}
	what := "%{ code }%"
	if e.packet != nil {
		what = e.packet.String()
	} else if e.call != nil {
		what = e.call.String()
	}
	fmt.Fprintf(r.opt.Trace, "%s   %s\n", stamp(r.now), strings.TrimSpace(what))
}
