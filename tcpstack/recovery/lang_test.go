package recovery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// A story drives a Sender step by step on a virtual clock. Each step is narrated, each Outcome is compared
// whole (what is not expected fails just like what is missing), and the scoreboard's sums are checked
// against a recount after each step.
type story struct {
	*testing.T
	s   Sender
	now mono.Time
}

const (
	mss = 1000
	ms  = time.Millisecond
)

func tell(t *testing.T, c Config) *story {
	if c.MSS == 0 {
		c.MSS = mss
	}
	x := &story{T: t, now: mono.Time(time.Hour)}
	x.s.Init(c)
	return x
}

func (x *story) note(format string, args ...any) {
	x.Helper()
	x.Logf("%8v  %s", time.Duration(x.now)-time.Hour, fmt.Sprintf(format, args...))
	if err := recount(&x.s); err != nil {
		x.Fatal(err)
	}
}

// send sends n new bytes as one burst.
func (x *story) send(n int64) {
	x.Helper()
	from := x.s.Next()
	x.s.Sent(x.now, from, from+n)
	x.note("send %d..%d, pipe %d", from, from+n, x.s.Pipe())
}

// resend sends [from, to) again.
func (x *story) resend(from, to int64) {
	x.Helper()
	x.s.Sent(x.now, from, to)
	x.note("resend %d..%d, pipe %d", from, to, x.s.Pipe())
}

func (x *story) advance(d time.Duration) { x.now = x.now.Add(d) }

// ack delivers an ACK with SACK blocks given as pairs, and compares the whole Outcome.
func (x *story) ack(ack int64, sacks []int64, want string) {
	x.Helper()
	x.ackInfo(AckInfo{Ack: ack, SACK: blocks(sacks), IsDup: ack == x.s.Una()}, want)
}

func (x *story) ackInfo(a AckInfo, want string) {
	x.Helper()
	x.expect(fmt.Sprintf("ack %d %v", a.Ack, a.SACK), x.s.Ack(x.now, a), want)
}

// timeout advances to the deadline, which must be d away, and fires it.
func (x *story) timeout(d time.Duration, want string) {
	x.Helper()
	if got := x.s.Deadline().Sub(x.now); got != d {
		x.Fatalf("deadline in %v, want %v", got, d)
	}
	x.advance(d)
	x.expect("time-out", x.s.Timeout(x.now), want)
}

func (x *story) expect(what string, o Outcome, want string) {
	x.Helper()
	got := describe(o)
	x.note("%s: %s, %v, pipe %d", what, got, x.s.State(), x.s.Pipe())
	if got != want {
		x.Fatalf("%s\n got: %s\nwant: %s", what, got, want)
	}
}

// lost asks for what to retransmit, at most max, compares, and sends it if there is anything.
func (x *story) lost(max, from, to int64) {
	x.Helper()
	r, ok := x.s.Retransmit(max)
	if want := (stream.Range{From: from, To: to}); r != want || ok != (from < to) {
		x.Fatalf("Retransmit(%d) = %v, %v, want %v", max, r, ok, want)
	}
	if ok {
		x.resend(r.From, r.To)
	} else if x.s.MustRetransmit() {
		x.Fatal("MustRetransmit, and nothing to retransmit")
	}
}

// wantUrgent checks MustRetransmit.
func (x *story) wantUrgent(want bool) {
	x.Helper()
	if x.s.MustRetransmit() != want {
		x.Fatalf("MustRetransmit is %v", !want)
	}
}

// rescue is lost for Rescue.
func (x *story) rescue(from, to int64) {
	x.Helper()
	r, ok := x.s.Rescue(1 << 20)
	if want := (stream.Range{From: from, To: to}); r != want || ok != (from < to) {
		x.Fatalf("Rescue = %v, %v, want %v", r, ok, want)
	}
	if ok {
		x.resend(r.From, r.To)
	}
}

func (x *story) wantState(s State) {
	x.Helper()
	if x.s.State() != s {
		x.Fatalf("state %v, want %v", x.s.State(), s)
	}
}

func (x *story) wantPipe(n int64) {
	x.Helper()
	if x.s.Pipe() != n {
		x.Fatalf("pipe %d, want %d", x.s.Pipe(), n)
	}
}

func (x *story) wantRTO(d time.Duration) {
	x.Helper()
	if x.s.RTO() != d {
		x.Fatalf("RTO %v, want %v", x.s.RTO(), d)
	}
}

// wantIdle checks that nothing in flight leaves no timer and no memory.
func (x *story) wantIdle() {
	x.Helper()
	if x.s.Flight() != 0 || x.s.Pipe() != 0 || x.s.Deadline() != mono.Never || x.s.board.heap != nil {
		x.Fatalf("not idle: flight %d, pipe %d, deadline %v, %d entries on the heap",
			x.s.Flight(), x.s.Pipe(), x.s.Deadline(), len(x.s.board.heap))
	}
}

func blocks(pairs []int64) []stream.Range {
	var r []stream.Range
	for i := 0; i < len(pairs); i += 2 {
		r = append(r, stream.Range{From: pairs[i], To: pairs[i+1]})
	}
	return r
}

func sack(pairs ...int64) []int64 { return pairs }

// describe names what is not zero in an Outcome; "-" if nothing is.
func describe(o Outcome) string {
	var parts []string
	add := func(ok bool, format string, args ...any) {
		if ok {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(o.Kind > TimerRTO, "%v", o.Kind)
	add(o.Acked != 0, "acked %d", o.Acked)
	add(o.Sacked != 0, "sacked %d", o.Sacked)
	add(o.Delivered != o.Acked+o.Sacked, "delivered %d", o.Delivered)
	add(o.Lost != 0, "lost %d", o.Lost)
	add(o.LostAgain != 0, "again %d", o.LostAgain)
	add(o.Reneged != 0, "reneged %d", o.Reneged)
	add(o.Undo.By != 0, "undo %v by %v", o.Undo.Episode, o.Undo.By)
	add(o.Exited, "exited")
	add(o.Entered, "entered")
	add(o.ProbeLoss, "probe loss")
	add(o.Tail, "tail")
	add(o.PartialAck, "partial")
	add(o.Duplicate != 0, "duplicate %d", o.Duplicate)
	add(o.DSACK.To > 0, "dsack %d..%d", o.DSACK.From, o.DSACK.To)
	add(o.Invalid != 0, "invalid %d", o.Invalid)
	add(o.RTT != 0, "rtt %v", o.RTT)
	if parts == nil {
		return "-"
	}
	return strings.Join(parts, ", ")
}

// recount checks every redundancy of s against the scoreboard.
func recount(s *Sender) error {
	all := s.board.all()
	at := s.una
	var sackedN, lostN, rexmitN int64
	for i, e := range all {
		n := e.end - at
		switch {
		case n <= 0:
			return fmt.Errorf("entry %d ends at %d, not above %d", i, e.end, at)
		case e.mark&sacked != 0 && e.mark != sacked:
			return fmt.Errorf("entry %d is SACKed and %b", i, e.mark)
		case e.mark&sacked != 0 && i > 0 && all[i-1].mark&sacked != 0:
			return fmt.Errorf("entries %d and %d are SACKed and not merged", i-1, i)
		case e.waits() && (at < s.cursor || e.end > s.lostEdge):
			return fmt.Errorf("entry %d..%d waits outside cursor %d..lostEdge %d", at, e.end, s.cursor, s.lostEdge)
		case e.mark&sacked != 0 && e.end > s.fack:
			return fmt.Errorf("entry %d is SACKed up to %d, above fack %d", i, e.end, s.fack)
		}
		if e.mark&sacked != 0 {
			sackedN += n
		}
		if e.mark&lost != 0 {
			lostN += n
		}
		if e.mark&rexmit != 0 {
			rexmitN += n
		}
		at = e.end
	}
	if at != s.next {
		return fmt.Errorf("entries end at %d, next is %d", at, s.next)
	}
	if sackedN != s.sackedBytes || lostN != s.lostBytes || rexmitN != s.rexmitBytes {
		return fmt.Errorf("recount: sacked %d lost %d rexmit %d, sums say %d %d %d",
			sackedN, lostN, rexmitN, s.sackedBytes, s.lostBytes, s.rexmitBytes)
	}
	if s.dupBytes < 0 || s.dupBytes > s.Flight() {
		return fmt.Errorf("dupBytes %d of %d in flight", s.dupBytes, s.Flight())
	}
	if (s.Flight() > 0) != (s.timer != mono.Never) {
		return fmt.Errorf("timer %v with %d in flight", s.timer, s.Flight())
	}
	return recountRACK(s, all)
}

// recountRACK checks what RACK and TLP keep beside the scoreboard.
func recountRACK(s *Sender, all []burst) error {
	if (s.aux == mono.Never) != (s.auxKind == TimerNone) || s.aux != mono.Never && (!s.rack.on || s.Flight() == 0) {
		return fmt.Errorf("timer %v at %v with %d in flight", s.auxKind, s.aux, s.Flight())
	}
	for i, e := range all {
		switch {
		case !s.rack.on:
		case e.mark == 0 && e.end <= s.rack.decided:
			return fmt.Errorf("entry %d is not judged, below decided %d", i, s.rack.decided)
		case e.mark&rexmit != 0 && e.sent < s.rack.oldest:
			return fmt.Errorf("entry %d was retransmitted before the oldest", i)
		}
	}
	return nil
}

// wantDeadline checks which timer is next, and when.
func (x *story) wantDeadline(kind Timer, d time.Duration) {
	x.Helper()
	got := TimerRTO
	if x.s.aux <= x.s.timer {
		got = x.s.auxKind
	}
	if in := x.s.Deadline().Sub(x.now); got != kind || in != d {
		x.Fatalf("%v in %v, want %v in %v", got, in, kind, d)
	}
}

func durations(n int) time.Duration { return time.Duration(n) }

func bounds(from, to int64) string { return fmt.Sprintf("%d..%d", from, to) }
