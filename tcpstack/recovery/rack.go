package recovery

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// RACK (RFC 8985 section 6) judges by time: a segment is lost if one that was sent later has arrived, and
// a reordering window has passed since. Its numbered steps follow each other here.
//
// The RFC visits every segment in flight on every ACK, in the order of transmission. We do not: originals
// stand in the order of their transmission anyway, so that what is lost begins at decided and what can be
// judged ends at edge, and both only move up; retransmissions are few, and are looked at only when the
// oldest of them can be judged.
//
// A burst left at one instant, and all its segments have that time: parts of it that SACKs split off are
// told apart by their end sequence, the RFC's tie-break, and no part above the highest one that arrived
// is judged.
type rack struct {
	xmit mono.Time     // RACK.xmit_ts: the latest transmission known to have arrived; 0: none yet
	end  int64         // RACK.end_seq: where what was sent then ends
	rtt  time.Duration // RACK.rtt: the round trip that it took

	decided int64     // below it no original waits for a judgement
	edge    int64     // the originals below it were sent before RACK.segment
	oldest  mono.Time // no retransmission that is under way was sent before
	latest  mono.Time // the last transmission, as stamp gave it
	now     mono.Time // the last ACK

	round   int64 // RACK.dsack_round; -1: none
	expired int64 // next at the last time-out
	mult    uint8 // RACK.reo_wnd_mult
	persist uint8 // RACK.reo_wnd_persist
	seen    bool  // RACK.reordering_seen
	on      bool
	times   uint32 // ACKs that told of reordering, for display
}

// reoWndPersist is for how many recoveries a wider window stays without another D-SACK (section 6.2 step 4).
const reoWndPersist = 16

// enoughDSACKs makes a window of more than a round trip, in quarters, were there one.
const enoughDSACKs = 5

// sentAfter is RACK_sent_after of section 6.2 step 2.
func sentAfter(t1 mono.Time, end1 int64, t2 mono.Time, end2 int64) bool {
	return t1 > t2 || t1 == t2 && end1 > end2
}

// stamp gives the time of a transmission. The clock stands still during a wake-up of the shard, and the
// tie-break holds only for what goes out in the order of the stream: a retransmission after new data of
// the same instant would seem to have gone first, and be judged lost when that data arrives. So it counts a
// nanosecond later, and so does what follows it.
func (k *rack) stamp(now mono.Time, again bool) mono.Time {
	switch {
	case !k.on:
		return now
	case now > k.latest:
		k.latest = now
	case again:
		k.latest++
	}
	return k.latest
}

// evidence collects from one ACK what RACK and the search for needless retransmissions want to know.
type evidence struct {
	now     mono.Time
	echo    mono.Time     // AckInfo.Echo and the slack
	minRTT  time.Duration // what a round trip takes at least, by all before this ACK
	fack    int64         // before this ACK
	recover int64

	xmit      mono.Time // the latest transmission delivered now, and
	end       int64     // its end
	reordered bool      // an original below fack arrived only now
	original  bool      // bytes of before the recovery point arrived that were sent only once
	resacked  bool      // retransmitted bytes were SACKed
	rexmitted bool      // retransmitted bytes were acknowledged cumulatively
}

const (
	// stampSlack is more than stamp ever adds: what is compared with real times allows for it.
	stampSlack = time.Microsecond
	// minSlack is the part of the smallest round trip by which a later one may be shorter.
	minSlack = 8
)

func (s *Sender) gather(now mono.Time, a *AckInfo) evidence {
	least := s.rtt.MinRTT()
	v := evidence{now: now, echo: a.Echo, minRTT: least - least/minSlack - stampSlack, fack: s.fack, recover: s.recover}
	if v.echo.IsSet() {
		v.echo = v.echo.Add(stampSlack)
	}
	return v
}

// delivered is steps 2 and 3 for bytes of e, up to end, that are acknowledged for the first time.
//
// Step 2 leaves out a retransmitted segment "if either condition is met", because its original may be meant:
// the echoed timestamp is older than the retransmission, or the round trip would be shorter than any.
//
// We deviate and hold a round trip to be possible that is an eighth shorter than any so far. Those so far may all have
// been of segments that stood in a queue, behind others of their burst; a loss probe goes alone. It would be taken for
// its original, and the tail wait for the time-out.
//
// We deviate for SACKed bytes, where echo is not set: an ACK of segments out of order echoes the last one in
// order (RFC 7323 section 4.3), so that a loss probe that worked would be taken for its original.
func (v *evidence) delivered(e *burst, end int64, echo mono.Time) {
	if e.xmit == 1 {
		v.reordered = v.reordered || end < v.fack
		v.original = v.original || end <= v.recover
	} else if echo.IsSet() && echo < e.sent || v.now.Sub(e.sent) < v.minRTT {
		return
	}
	if sentAfter(e.sent, end, v.xmit, v.end) {
		v.xmit, v.end = e.sent, end
	}
}

// selected is delivered for bytes that were SACKed. What arrived within half of what a round trip takes after a
// retransmission is the original: no path becomes shorter by so much.
func (v *evidence) selected(e *burst, end int64) {
	v.resacked = v.resacked || e.xmit > 1 && v.now.Sub(e.sent) >= v.minRTT/2
	v.delivered(e, end, 0)
}

// update is the rest of step 2, RACK_update. RACK.rtt is the most recent one, whether or not the segment is
// the latest that was ever sent.
func (k *rack) update(now mono.Time, v *evidence) {
	k.now = now
	if v.reordered {
		k.seen = true
		k.times++
	}
	if !v.xmit.IsSet() {
		return
	}
	k.rtt = max(now.Sub(v.xmit), 0)
	if sentAfter(v.xmit, v.end, k.xmit, k.end) {
		k.xmit, k.end = v.xmit, v.end
	}
}

// adaptReoWnd is the first half of step 4: D-SACKs widen the window once per round, "RACK.reo_wnd_mult += 1",
// and 16 recoveries without one take that back.
//
// We deviate in leaving out the D-SACK of a loss probe, as Linux does: it tells that the probe came too
// early, and nothing about reordering.
//
// And we add that D-SACKs in so many rounds, of what no time-out sent, are reordering seen. By the letter of step 3
// it is seen only if an original arrives late before it is sent again; when much is reordered, the zero window of
// a recovery sends it again first, for ever, and the multiplier has nothing to multiply. Fewer rounds would
// slow down the repair of losses where a few segments are late as well.
func (s *Sender) adaptReoWnd(o *Outcome, exited bool) {
	k := &s.rack
	if k.round >= 0 && s.una >= k.round {
		k.round = -1
	}
	switch {
	case k.round < 0 && o.DSACK.To > 0 && !s.probe.matches(o.DSACK):
		k.round = s.next
		k.mult = max(k.mult, k.mult+1) // saturates
		k.persist = reoWndPersist
		k.seen = k.seen || k.mult > enoughDSACKs && o.DSACK.From >= k.expired
	case exited && k.persist > 0:
		if k.persist--; k.persist == 0 {
			k.mult = 1
		}
	}
}

// reoWnd is the second half of step 4: "min(RACK.reo_wnd_mult * RACK.min_RTT / 4, SRTT)", and zero, which
// makes RACK as quick as three duplicate ACKs, for as long as no reordering was ever seen.
//
// We deviate by a floor of one tick of the timer wheel: it is the error of transmission times, which are
// taken once for all that a wake-up of the shard sends.
func (s *Sender) reoWnd() time.Duration {
	if !s.rack.seen && (s.state >= Recovery || s.dupThreshReached()) {
		return 0
	}
	return min(max(time.Duration(s.rack.mult)*s.rtt.MinRTT()/4, granularity), s.rtt.SRTT())
}

// dupThreshReached is "RACK.segs_sacked >= DupThresh": by bytes, or, for small segments, by the ACKs that
// reported something new.
func (s *Sender) dupThreshReached() bool {
	return s.sackedBytes > (dupThresh-1)*int64(s.mss) || s.sackedBytes > 0 && s.dupAcks >= dupThresh
}

// detectRACK is step 5, RACK_detect_loss_and_arm_timer.
func (s *Sender) detectRACK(now mono.Time, o *Outcome) {
	if !s.rack.xmit.IsSet() {
		return
	}
	s.raiseEdge()
	wait := s.rack.rtt + s.reoWnd()
	last := max(s.judgeOriginals(now, wait, o), s.judgeResent(now, wait, o))
	if last.IsSet() { // "timeout = max(remaining, timeout)"
		s.aux, s.auxKind = last.Add(wait), TimerReorder
	} else if s.auxKind == TimerReorder {
		s.resetAux()
	}
}

// raiseEdge moves edge past the originals that were sent before RACK.segment.
func (s *Sender) raiseEdge() {
	k := &s.rack
	k.edge, k.decided = max(k.edge, s.una), max(k.decided, s.una)
	all := s.board.all()
	i := s.board.find(k.edge)
	for i < len(all) && (all[i].mark != 0 || sentAfter(k.xmit, k.end, all[i].sent, all[i].end)) {
		i++
	}
	k.edge = max(k.edge, s.start(all, i))
}

// judgeOriginals judges the originals that can be. It returns the latest transmission of those that could
// be and must wait; 0: none.
func (s *Sender) judgeOriginals(now mono.Time, wait time.Duration, o *Outcome) mono.Time {
	k := &s.rack
	if k.decided >= k.edge {
		return 0
	}
	all := s.board.all()
	i := s.board.find(k.decided)
	for ; i < len(all) && all[i].end <= k.edge; i++ {
		if all[i].mark == 0 {
			if all[i].sent.Add(wait) > now {
				break // and so have all above: few were sent earlier
			}
			s.lose(all, i, o)
		}
	}
	k.decided = max(k.decided, s.start(all, i))
	for j := s.board.find(k.edge) - 1; j >= i; j-- {
		if all[j].mark == 0 {
			// What an undo took back keeps the time of a copy, and may be younger than all above: with theirs alone the
			// timer would be due for ever, and judge nothing.
			return max(all[i].sent, all[j].sent)
		}
	}
	return 0
}

// judgeResent is judgeOriginals for what was retransmitted: section 3.4, lost retransmissions.
func (s *Sender) judgeResent(now mono.Time, wait time.Duration, o *Outcome) (last mono.Time) {
	k := &s.rack
	if s.rexmitBytes == 0 || k.oldest > k.xmit {
		return 0
	}
	oldest, left := mono.Never, s.rexmitBytes
	all := s.board.all()
	for i := 0; i < len(all) && left > 0; i++ {
		e := &all[i]
		if e.mark&rexmit == 0 {
			continue
		}
		r := s.span(all, i)
		left -= r.To - r.From
		judged := sentAfter(k.xmit, k.end, e.sent, e.end)
		if judged && e.sent.Add(wait) <= now {
			s.lose(all, i, o)
			continue
		}
		oldest = min(oldest, e.sent)
		if judged {
			last = max(last, e.sent)
		}
	}
	k.oldest = oldest
	return last
}

// lose judges entry i lost, whatever is under way of it.
func (s *Sender) lose(all []burst, i int, o *Outcome) {
	e := &all[i]
	r := s.span(all, i)
	n := r.To - r.From
	o.Lost += n
	if e.mark&(lost|rexmit) == lost|rexmit {
		o.LostAgain += n
	}
	if e.mark&lost == 0 {
		s.lostBytes += n
	}
	if e.mark&rexmit != 0 {
		s.rexmitBytes -= n
	}
	e.mark = lost
	s.cursor, s.lostEdge = min(s.cursor, r.From), max(s.lostEdge, r.To)
}

// loseOld is RACK_mark_losses_on_RTO (section 6.3): the first segment is lost, and of the rest what was
// sent longer ago than a round trip and the window.
func (s *Sender) loseOld(now mono.Time, o *Outcome) {
	wait := s.rack.rtt + s.reoWnd()
	s.move(evExpired)
	s.recover, s.rack.expired = s.next, s.next
	s.dupAcks = 0
	s.resetProbe()
	s.resetAux()
	s.split(min(s.una+int64(s.mss), s.board.all()[0].end))
	all := s.board.all()
	for i := range all {
		fresh := all[i].mark&(lost|rexmit) != lost // else there is nothing more to lose
		if all[i].mark&sacked == 0 && fresh && (i == 0 || all[i].sent.Add(wait) <= now) {
			s.lose(all, i, o)
		}
	}
	s.owed = true
}

// SetDetector changes the detector of a live connection. What was judged stays judged.
func (s *Sender) SetDetector(d Detector) {
	on := s.sack && d == DetectorRACK
	if on == s.rack.on {
		return
	}
	s.resetProbe()
	s.resetAux()
	s.rack = rack{on: on, round: -1, mult: 1, decided: s.una, edge: s.una, latest: s.rack.latest}
	if !on {
		// RFC 6675 knows an edge below which everything is lost; RACK may have left holes there.
		s.markLost(s.una, s.lostEdge)
	}
}

// Detector is the one in use: DetectorBase without SACK.
func (s *Sender) Detector() Detector {
	if s.rack.on {
		return DetectorRACK
	}
	return DetectorBase
}

// Reorders reports whether the path has been seen to reorder (RFC 8985 RACK.reordering_seen).
func (s *Sender) Reorders() bool { return s.rack.seen }
