package script

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// patience is how long a * waits.
const patience = time.Hour

// expectPacket waits for the packet of an outbound line and compares it.
func (r *runner) expectPacket(e *event, at mono.Time) {
	from, to := at, at
	if e.isRange {
		to = r.timeOf(e, e.until)
	}
	if e.when == whenAny {
		from, to = 0, at.Add(patience)
	}
	limit := to.Add(r.config.tolerance)
	for r.dev != nil && len(r.dev.out) == 0 && r.tick(limit) {
	}
	if r.dev == nil || len(r.dev.out) == 0 {
		r.mismatch(expectedAt(e, from, to), "none by "+stamp(limit), "no packet")
	}
	s := r.takeSent(e.packet)
	r.compare(e, s, from, to)
}

// expectedAt is the line with its time.
func expectedAt(e *event, from, to mono.Time) string {
	at := stamp(from)
	switch {
	case e.when == whenAny:
		at = "*"
	case e.isRange:
		at += "~" + stamp(to)
	}
	return at + " " + e.packet.String()
}

// takeSent takes the next segment that the stack has sent, joined with those behind it if the line is
// longer: a script may describe a burst of full segments as one packet, as packetdrill allows.
func (r *runner) takeSent(want *packet) *sent {
	s := r.dev.out[0]
	n := 1
	for ; n < len(r.dev.out); n++ {
		o := &r.dev.out[n]
		size := len(s.seg.Payload)
		if !s.full || size+len(o.seg.Payload) > want.size || !follows(&s, o) {
			break
		}
		s.seg.Flags, s.full = s.seg.Flags|o.seg.Flags, o.full
		s.seg.Payload = append(s.seg.Payload[:size:size], o.seg.Payload...)
	}
	r.dev.out = r.dev.out[n:]
	return &s
}

// follows reports whether o continues s within the same burst.
func follows(s, o *sent) bool {
	const ends = wire.PSH | wire.FIN
	return o.flow == s.flow && o.at == s.at && o.seg.Seq == s.seg.Seq.Add(len(s.seg.Payload)) &&
		len(o.seg.Payload) > 0 && s.seg.Flags&ends == 0 && o.seg.Flags&^ends == s.seg.Flags &&
		o.seg.Ack == s.seg.Ack && o.seg.Window == s.seg.Window
}

// compare checks a segment against its line, the content first and then the time.
func (r *runner) compare(e *event, s *sent, from, to mono.Time) {
	want, f := e.packet, r.flowOf(e.packet)
	got := r.flowFor(s.flow).decode(s, want)
	if s.flow != f.key || want.src != 0 {
		got.src, got.dst = s.flow.LocalPort, s.flow.RemotePort
	}
	expected, actual := expectedAt(e, from, to), stamp(s.at)+" "+r.show(got, want)
	if bad := r.differences(want, got); len(bad) > 0 {
		r.mismatch(expected, actual, "the packet differs in %s", strings.Join(bad, ", "))
	}
	if !f.carries(s) {
		r.mismatch(expected, actual, "the payload is not what the application has written")
	}
	switch tol := r.config.tolerance; {
	case s.at < from.Add(-tol):
		r.mismatch(expected, actual, "the packet came %v too early (tolerance %v)", from.Sub(s.at), tol)
	case s.at > to.Add(tol):
		r.mismatch(expected, actual, "the packet came %v too late (tolerance %v)", s.at.Sub(to), tol)
	}
}

// show is got in the detail in which the line is written.
func (r *runner) show(got, want *packet) string {
	p := *got
	if want.tos < 0 {
		p.tos = -1
	}
	return p.String()
}

// differences names the fields of got that are not as wanted.
func (r *runner) differences(want, got *packet) []string {
	var bad []string
	check := func(name string, ok bool) {
		if !ok {
			bad = append(bad, name)
		}
	}
	check("ports", got.src == 0 || got.src == want.src && got.dst == want.dst)
	check("flags", got.flags == want.flags)
	check("sequence number", got.seq == want.seq)
	check("length", got.size == want.size)
	check("ack", got.ack == want.ack)
	check("window", want.win < 0 || got.win == want.win)
	check("urgent pointer", got.urg == want.urg)
	check("options", want.anyOpts || r.sameOptions(want.opts, got.opts))
	check("TOS", want.tos < 0 || got.tos == want.tos)
	check("TTL", want.ttl < 0 || got.ttl == want.ttl)
	return bad
}

// sameOptions compares options in order. The value of our timestamp counts only if the script says how
// long a tick is, as in packetdrill; the echo of the script's own timestamp always does.
func (r *runner) sameOptions(want, got []option) bool {
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		w, g := want[i], got[i]
		if w.kind == optTS && g.kind == optTS && r.config.tsTick == 0 {
			w.a = g.a
		} else if w.kind == optTS && g.kind == optTS {
			off := time.Duration(int32(g.a-w.a)).Abs() * r.config.tsTick
			if off <= r.config.tolerance {
				w.a = g.a
			}
		}
		if w.cookie && g.kind == optFO && len(g.raw) > 0 {
			continue
		}
		if w.String() != g.String() {
			return false
		}
	}
	return true
}

// carries reports whether a segment's payload is what the application has written at that place.
func (f *flow) carries(s *sent) bool {
	from := int(s.seg.Seq.Sub(f.stack.iss)) - 1
	if s.seg.Flags&wire.SYN != 0 {
		from++
	}
	for i, b := range s.seg.Payload {
		if at := from + i; at < 0 || at >= len(f.wrote) || f.wrote[at] != b {
			return false
		}
	}
	return true
}

// checkOverdue fails, before an event that is no outbound packet, when the stack has sent something that
// the next outbound line can no longer match: it is long past.
func (r *runner) checkOverdue() {
	if r.dev == nil || len(r.dev.out) == 0 {
		return
	}
	next := slices.IndexFunc(r.events[r.next:], func(e event) bool { return e.outbound() })
	if next >= 0 && r.events[r.next+next].when == whenAny || next < 0 && r.opt.Trailing {
		return
	}
	s := &r.dev.out[0]
	if s.at.Add(r.config.tolerance) < r.now {
		r.unexpected(s, "a packet that no line expects")
	}
}

// checkTrailing fails when packets are left that nobody has asked for.
func (r *runner) checkTrailing() {
	if r.opt.Trailing || r.dev == nil || len(r.dev.out) == 0 {
		return
	}
	r.unexpected(&r.dev.out[0], fmt.Sprintf("the script ends, but the stack has sent %d more (--trailing allows it)", len(r.dev.out)))
}

func (r *runner) unexpected(s *sent, what string) {
	r.mismatch("none", stamp(s.at)+" "+r.show(r.flowFor(s.flow).decode(s, &packet{tos: -1}), &packet{tos: -1}), "%s", what)
}
