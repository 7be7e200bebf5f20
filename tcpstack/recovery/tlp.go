package recovery

import (
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// TLP (RFC 8985 section 7) sends one segment when ACKs stay away for two round trips, so that a lost tail
// is found by RACK and not by the time-out.
type probe struct {
	end     int64 // TLP.end_seq; 0: None
	retrans bool  // TLP.is_retrans
	sampled bool  // an RTT sample was taken since the last probe
	due     bool  // the PTO has expired and the probe is not yet sent
}

// armProbe is section 7.2, after new data was sent or acknowledged: the PTO runs "unless it is already in fast
// recovery, RTO recovery, or segments have been SACKed".
func (s *Sender) armProbe(now mono.Time) {
	switch {
	case !s.rack.on || s.auxKind == TimerReorder:
	case s.state >= Recovery || s.sackedBytes > 0 || s.Flight() == 0:
		s.resetAux()
	default:
		s.aux, s.auxKind = min(now.Add(s.pto()), s.timer), TimerProbe
	}
}

// pto is TLP_calc_PTO without the bound, which armProbe has.
func (s *Sender) pto() time.Duration {
	srtt := s.rtt.SRTT()
	switch {
	case srtt == 0:
		return time.Second
	case s.Flight() <= int64(s.mss):
		return 2*srtt + time.Duration(s.maxAck)*time.Microsecond
	}
	return 2 * srtt
}

// auxTimeout does what the reordering timer or the PTO is for.
func (s *Sender) auxTimeout(now mono.Time, o *Outcome) {
	at := s.aux
	o.Kind = s.auxKind
	s.resetAux()
	if o.Kind == TimerReorder {
		// A late timer judges what was due when it was set for: since then ACKs may have come in that the
		// caller has not looked at.
		s.detectRACK(at, o)
		s.settle(o)
		if o.Lost > 0 {
			s.timer = now.Add(s.RTO()) // section 8: the one timer is the RTO's again
		}
		return
	}
	// Section 7.3: no probe is under way, and an RTT sample was obtained since the last one.
	//
	// "After attempting to send a loss probe, regardless of whether a loss probe was sent, the sender MUST re-arm
	// the RTO timer". We deviate where none is sent: each write of new data arms the PTO, and a program that
	// writes again and again would put the time-out off until the window is full.
	s.probe.due = s.probe.end == 0 && s.probe.sampled
	if s.probe.due {
		s.timer = now.Add(s.RTO())
	}
}

// Probe returns what to send as a loss probe after TimerProbe: one segment of the unsent bytes, of which
// the caller says how many the peer's window allows, else the last segment once more. It is sent whatever
// the congestion window says. The answer stays until Sent or an ACK of new data; it is empty if no probe is
// due.
func (s *Sender) Probe(unsent int64) (r stream.Range, isNew bool) {
	if !s.probe.due || s.Flight() == 0 {
		return stream.Range{}, false
	}
	if unsent > 0 {
		return stream.Range{From: s.next, To: s.next + min(unsent, int64(s.mss))}, true
	}
	// "retransmit the highest-sequence segment sent so far", as it was cut then if its burst is whole.
	all := s.board.all()
	n := s.next - s.start(all, len(all)-1)
	n -= (n - 1) / int64(s.mss) * int64(s.mss)
	return stream.Range{From: s.next - n, To: s.next}, false
}

// probeSent is the rest of TLP_send_probe; next is what it was before the probe.
func (s *Sender) probeSent(next int64) {
	s.probe = probe{end: s.next, retrans: s.next == next}
}

// matches reports whether a D-SACK is about the probe.
func (p *probe) matches(d stream.Range) bool { return p.end != 0 && p.retrans && d.To == p.end }

// settleProbe is TLP_process_ack (section 7.4.2), and arms or stops the PTO.
func (s *Sender) settleProbe(now mono.Time, a *AckInfo, o *Outcome) {
	if p := &s.probe; p.end != 0 && a.Ack >= p.end {
		switch {
		case !p.retrans: // new data: its ACK tells what RACK needs
			p.end = 0
		case p.matches(o.DSACK): // case 1: the original arrived, too
			p.end = 0
		case a.Ack > p.end: // case 3: the probe repaired the only loss
			p.end = 0
			o.ProbeLoss = s.state < CWR
			o.Entered = o.Entered || o.ProbeLoss
		case a.IsDup && len(a.SACK) == 0 && o.Acked == 0: // case 2: the same, of a peer without D-SACK
			p.end = 0
		}
	}
	if o.Acked > 0 {
		s.probe.due = false
		s.armProbe(now)
	} else if s.sackedBytes > 0 && s.auxKind == TimerProbe {
		s.resetAux()
	}
}

// resetProbe is TLP_init (section 7.1), for a connection, a fast recovery, an RTO recovery.
func (s *Sender) resetProbe() {
	s.probe.end, s.probe.retrans, s.probe.due = 0, false, false
	if s.auxKind == TimerProbe {
		s.resetAux()
	}
}

func (s *Sender) resetAux() { s.aux, s.auxKind = mono.Never, TimerNone }
