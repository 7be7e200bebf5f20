package recovery

import (
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// AckInfo is what an ACK says about our stream.
type AckInfo struct {
	Ack   int64          // SEG.ACK; below Una it is old, and only its SACK blocks are looked at
	SACK  []stream.Range // as in the segment, newest first; not kept
	IsDup bool           // a duplicate ACK as RFC 5681 section 2 defines it; used without SACK only
	RTT   time.Duration  // what the echoed timestamp measures; 0: no timestamps

	// Echo is the latest instant at which a segment with the echoed timestamp can have left: the end of
	// the timestamp clock's tick, so that Echo before a transmission proves that another is meant. 0: no
	// timestamps.
	Echo mono.Time
	// Unsent is how many bytes the connection could send now if the congestion window allowed: queued and
	// within the peer's window. Used by F-RTO and RTORestart only.
	Unsent int64
}

// An Outcome is what an ACK or a time-out changed.
type Outcome struct {
	Acked     int64 // bytes by which Una advanced
	Sacked    int64 // bytes that a SACK block reported first
	Delivered int64 // bytes of which we learn now that the receiver has them: for congestion control
	Lost      int64 // bytes judged lost now
	Reneged   int64 // bytes whose SACK was withdrawn

	// Entered: the window must be reduced now, once for the episode. It is set on the way into Recovery
	// (not from CWR, where the window has just been reduced) and into Loss.
	Entered    bool
	Exited     bool // CWR, Recovery or Loss ended; Entered may be set too
	PartialAck bool // Una advanced in Recovery, not up to the recovery point

	Duplicate uint8 // blocks that reported bytes received twice (D-SACK, RFC 2883)
	Invalid   uint8 // blocks, or an ACK, that cannot be true, and were ignored

	RTT time.Duration // the most recent round trip this ACK measured; 0: none

	LostAgain int64        // of Lost: bytes whose retransmission was lost too (RFC 5681 section 4.3)
	DSACK     stream.Range // bytes that the peer says it received twice (RFC 2883); empty: none
	Undo      Undo         // an earlier reduction of the window proved needless; comes before Entered
	ProbeLoss bool         // Entered because a loss probe repaired the only loss (RFC 8985 section 7.4.2)
	Tail      bool         // Entered because a loss probe told of a lost tail: nothing is in flight
	Kind      Timer        // which timer Timeout acted on
	Rate      Rate         // the delivery rate that an ACK measured
}

// A sample collects what an ACK says about the round-trip time.
type sample struct {
	acked    mono.Time // transmission of the first byte acknowledged cumulatively; 0: none
	ackedEnd mono.Time // of the last
	sacked   mono.Time // latest transmission of the bytes SACKed
	karn     bool      // the cumulative ACK covers a retransmission: ambiguous

	evidence
	newest newest
}

// Ack digests an ACK. An ACK above Next changes nothing (the caller answers it, RFC 9293 section
// 3.10.7.4); SACK blocks that cannot be true are counted in Invalid and ignored.
func (s *Sender) Ack(now mono.Time, a AckInfo) Outcome {
	var o Outcome
	if a.Ack > s.next {
		o.Invalid = 1
		return o
	}
	o.DSACK = s.dsack(&a)
	rtt := sample{evidence: s.gather(now, &a)}
	s.takeAck(a.Ack, &o, &rtt)
	if s.sack {
		s.takeSACK(a.SACK, &o, &rtt)
	} else if a.IsDup && o.Acked == 0 && s.Flight() > 0 {
		s.countDup(&o)
	}
	s.takeSample(now, a.RTT, &o, rtt)
	s.judge(now, &a, &o, &rtt.evidence)
	if o.Acked > 0 {
		s.restartTimer(now, a.Unsent)
	}
	if s.rack.on {
		s.settleProbe(now, &a, &o)
	}
	s.sampleRate(now, rtt.newest, &o)
	return o
}

// takeAck removes [una, ack) from the scoreboard.
func (s *Sender) takeAck(ack int64, o *Outcome, rtt *sample) {
	if ack <= s.una {
		return
	}
	all := s.board.all()
	k, from := 0, s.una
	for from < ack {
		e := &all[k]
		to := min(e.end, ack)
		if e.mark&sacked == 0 {
			o.Delivered += to - from
			rtt.cumulative(e)
			rtt.delivered(e, to, rtt.echo)
			rtt.newest.reported(e, to)
		}
		s.unmark(e, to-from)
		from = to
		if to == e.end {
			k++
		}
	}
	s.board.pop(k)
	o.Acked = ack - s.una
	s.una = ack
	s.fack, s.lostEdge, s.cursor = max(s.fack, ack), max(s.lostEdge, ack), max(s.cursor, ack)
	s.dupAcks = 0
	if !s.sack {
		o.Delivered = max(0, o.Delivered-s.settleDups(o.Acked))
	}
}

// unmark takes n bytes of e out of the sums.
func (s *Sender) unmark(e *burst, n int64) {
	if e.mark&sacked != 0 {
		s.sackedBytes -= n
	}
	if e.mark&lost != 0 {
		s.lostBytes -= n
	}
	if e.mark&rexmit != 0 {
		s.rexmitBytes -= n
	}
}

func (r *sample) cumulative(e *burst) {
	if e.xmit > 1 {
		r.karn = true
		r.rexmitted = true
	}
	if !r.acked.IsSet() {
		r.acked = e.sent
	}
	r.ackedEnd = e.sent
}

func (r *sample) selective(e *burst) {
	if e.xmit == 1 {
		r.sacked = max(r.sacked, e.sent)
	}
}

// takeSample picks the round-trip time. The RTO is made of the oldest byte acknowledged, so that it
// contains the receiver's delay; what congestion control sees is the newest.
//
// Bytes that were retransmitted give no sample (RFC 6298 section 3, Karn's algorithm), and neither do
// their companions in the same cumulative ACK: they waited at the receiver for the hole. Then the
// timestamp serves, if the ACK advanced Una (RFC 7323 section 4.1: "A TSecr value received in a segment MAY
// be used to update the averaged RTT measurement only if the segment advances the left edge").
func (s *Sender) takeSample(now mono.Time, echoed time.Duration, o *Outcome, r sample) {
	switch {
	case r.acked.IsSet() && !r.karn:
		o.RTT = max(now.Sub(max(r.ackedEnd, r.sacked)), 1)
		s.rtt.observe(now, o.RTT)
		s.sampleRTO(max(now.Sub(r.acked), 1))
	case r.sacked.IsSet():
		o.RTT = max(now.Sub(r.sacked), 1)
		s.rtt.observe(now, o.RTT)
		s.sampleRTO(o.RTT)
	case o.Acked > 0 && echoed > 0 && echoed <= maxSample:
		o.RTT = echoed
		s.sampleRTO(echoed)
	}
	s.rtt.round(s.una, s.next)
}

// judge moves the state and runs the loss detector.
func (s *Sender) judge(now mono.Time, a *AckInfo, o *Outcome, v *evidence) {
	was := s.state
	if s.undo.on {
		s.judgeUndo(now, a, o, v)
	}
	if s.state >= CWR && s.una >= s.recover {
		s.move(evRecovered)
		o.Exited = true
		s.undo.close(s.next)
	}
	if s.rack.on {
		s.adaptReoWnd(o, was >= Recovery && s.state < Recovery)
		s.rack.update(now, v)
	} else if s.state == Loss {
		return // RFC 6675 section 5.1, RFC 6582 section 3.2 step 2: not before the recovery point is acknowledged
	}
	o.PartialAck = s.state == Recovery && o.Acked > 0
	s.detect(now, o)
	s.settle(o)
}

// settle moves the state after a detector has run.
func (s *Sender) settle(o *Outcome) {
	switch {
	case s.state < Recovery && s.lostBytes > 0:
		s.enterRecovery(o)
	case s.sackedBytes > 0 || s.dupAcks > 0:
		s.move(evSuspect)
	case s.state == Disorder:
		s.move(evSettled)
	}
}

// detect runs the loss detector that fits the connection.
func (s *Sender) detect(now mono.Time, o *Outcome) {
	switch {
	case s.rack.on:
		s.detectRACK(now, o)
	case s.sack:
		s.detectSACK(o)
	default:
		s.detectNewReno(o)
	}
}

func (s *Sender) enterRecovery(o *Outcome) {
	o.Entered = s.state != CWR
	o.Tail = s.probe.end != 0 && s.Pipe() < int64(s.mss) // no SACK tells of a FIN
	s.move(evLost)
	s.recover, s.dupEdge = s.next, s.next
	s.rescued = s.una - 1
	s.owed = true
	s.resetProbe()
	s.undo.open(s.una, o.Entered, false)
}

// markLost judges the unSACKed bytes of [from, to) lost, and returns how many had not been judged so
// before. Both ends must be ends of entries. Every loss detector ends here.
func (s *Sender) markLost(from, to int64) int64 {
	var n int64
	all := s.board.all()
	for i := s.board.find(from); i < len(all) && all[i].end <= to; i++ {
		if all[i].mark&(sacked|lost) != 0 {
			continue
		}
		r := s.span(all, i)
		n += r.To - r.From
		all[i].mark |= lost
		if all[i].mark&rexmit == 0 {
			s.cursor = min(s.cursor, r.From)
		}
	}
	s.lostBytes += n
	s.lostEdge = max(s.lostEdge, to)
	return n
}

// markSegmentLost judges the first segment in flight lost, or what there is of it before the next entry
// that is not like it.
func (s *Sender) markSegmentLost() int64 {
	all := s.board.all()
	to := min(s.una+int64(s.mss), all[0].end)
	s.split(to)
	return s.markLost(s.una, to)
}

// split makes off the end of an entry.
func (s *Sender) split(off int64) {
	all := s.board.all()
	i := s.board.find(off)
	if i == len(all) || s.start(all, i) == off {
		return
	}
	left := all[i]
	left.end = off
	s.board.splice(i, i, left)
}
