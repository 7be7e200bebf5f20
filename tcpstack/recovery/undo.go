package recovery

import (
	"math"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// An Undo says that an episode was needless: what had been judged lost was only late. The response of RFC
// 4015 has two halves. Ours: nothing is lost any more, the episode ends, the RTO adapts. The caller's: the
// congestion window and ssthresh of before the episode's Entered come back.
type Undo struct {
	Episode State // Recovery or Loss; Open: nothing to undo
	By      Proof
}

// A Proof tells how a retransmission was found needless.
type Proof uint8

const (
	ProofNone  Proof = iota
	ProofDSACK       // each retransmitted byte came back as a D-SACK (RFC 2883, RFC 3708)
	ProofEifel       // the ACK echoes a timestamp of before the first retransmission (RFC 3522)
	ProofFRTO        // the ACKs after a time-out are those of originals (RFC 5682)
	ProofCame        // all that was judged lost arrived before any of it was sent again
)

func (p Proof) String() string {
	return [...]string{"none", "dsack", "eifel", "frto", "came"}[min(p, ProofCame)]
}

// undo watches one episode for proof that it is needless.
type undo struct {
	from   int64     // una at its begin; -1: none is watched
	until  int64     // a D-SACK counts until una is above
	resend int64     // bytes retransmitted in it that no D-SACK has reported
	stamp  mono.Time // its first retransmission; 0: none yet; tooLate: a retransmission was needed
	loss   bool      // it began with a time-out
	frto   frto
	on     bool
}

const tooLate mono.Time = 1 // no Echo is earlier

// frto is where F-RTO stands, by the steps of RFC 5682 section 3.1 with SACK, section 2.1 without.
type frto uint8

const (
	frtoOff    frto = iota
	frtoFirst       // step 2: waiting for the first ACK after the time-out
	frtoSecond      // step 3: new data was sent and nothing retransmitted; waiting for the next ACK
)

// open begins an episode. One that did not reduce the window has nothing to undo.
func (u *undo) open(una int64, reduced, loss bool) {
	if !u.on {
		return
	}
	*u = undo{on: true, from: una, until: math.MaxInt64, loss: loss}
	if !reduced {
		u.from = -1
	}
}

// expired begins the episode of a time-out. A second time-out goes on with that of the first. F-RTO is for
// the first one outside of any recovery: RFC 5682 section 3.1 step 1, "If 'RecoveryPoint' is larger than
// SND.UNA, do not enter step 2 of this algorithm".
func (u *undo) expired(una int64, was State) {
	u.frto = frtoOff
	if was == Loss {
		return
	}
	u.open(una, true, true)
	if u.on && was < Recovery {
		u.frto = frtoFirst
	}
}

// Unwatch stops the search for proof that the last episode was needless: the window of before it is not to come
// back, because the caller did not reduce for it, or has reduced for something else since.
func (s *Sender) Unwatch() { s.undo.from = -1 }

// close ends the episode; its D-SACKs may still be on the way for as long as what was sent in it.
func (u *undo) close(next int64) {
	u.until = next
	u.frto = frtoOff
}

// resent notes a retransmission.
func (u *undo) resent(now mono.Time, in State, r stream.Range) {
	if !u.on || u.from < 0 || in < Recovery {
		return
	}
	u.resend += r.To - r.From
	if u.stamp == 0 {
		u.stamp = now
	}
}

// judgeUndo looks for proof in an ACK.
func (s *Sender) judgeUndo(now mono.Time, a *AckInfo, o *Outcome, v *evidence) {
	u := &s.undo
	by := ProofNone
	if s.state == Loss {
		by = s.stepFRTO(a, o, v)
	}
	if u.from >= 0 && s.una > u.until {
		u.from = -1
	}
	if u.from < 0 {
		return
	}
	if !u.stamp.IsSet() { // nothing was retransmitted
		if s.state == Recovery && s.lostBytes == 0 && s.sackedBytes == 0 {
			s.undoEpisode(now, o, ProofCame)
		}
		return
	}
	if o.DSACK.To > 0 && o.DSACK.From >= u.from && s.wasResent(o.DSACK) {
		u.resend = max(0, u.resend-o.DSACK.Len())
	}
	switch {
	case u.resend == 0:
		by = ProofDSACK
	case s.eifel(o, v):
		by = ProofEifel
	}
	// A time-out judged everything by one sign, and that was wrong. In a fast recovery each loss had
	// reasons of its own, so that all of them must have arrived.
	if by != ProofNone && (s.state == Loss || s.lostBytes == 0) {
		s.undoEpisode(now, o, by)
	}
}

// wasResent keeps what the network itself doubled from counting (RFC 3708 section 3), as far as the
// scoreboard still knows.
func (s *Sender) wasResent(d stream.Range) bool {
	if d.From < s.una {
		return true
	}
	return s.board.all()[s.board.find(d.From)].xmit > 1
}

// eifel is RFC 3522 section 3.2 steps 3 to 5: the ACK that covers what was retransmitted first has a
// timestamp that is older than the retransmission. If one has not, or retransmitted bytes were SACKed too late
// to be the originals, by an ACK that echoes another segment's timestamp, the loss was real as far as timestamps can tell.
func (s *Sender) eifel(o *Outcome, v *evidence) bool {
	u := &s.undo
	if v.resacked {
		u.stamp = tooLate
	}
	if o.Acked == 0 || !v.rexmitted || !v.echo.IsSet() {
		return false
	}
	if v.echo >= u.stamp {
		u.stamp = tooLate
		return false
	}
	return true
}

// stepFRTO is RFC 5682 section 3.1, the SACK-enhanced F-RTO, steps 2 and 3; without SACK section 2.1, whose
// steps have the same numbers. There the first ACK must cover all that was retransmitted ("does not acknowledge
// all of the data that was retransmitted in step 1" is (2.a)), and the second must advance the window.
func (s *Sender) stepFRTO(a *AckInfo, o *Outcome, v *evidence) Proof {
	u := &s.undo
	at := u.frto
	u.frto = frtoOff
	switch at {
	case frtoFirst: // (2.b): the ACK advances, not up to the recovery point, and there is new data to send
		whole := s.sack || s.rexmitBytes == 0
		if o.Acked > 0 && s.una < s.recover && a.Unsent > 0 && whole {
			u.frto = frtoSecond
		}
	case frtoSecond: // (3.b): it acknowledges new data, none above the recovery point
		if (o.Acked > 0 || o.Sacked > 0) && v.original && (s.fack <= s.recover || !s.sack) {
			return ProofFRTO
		}
	}
	return ProofNone
}

// undoEpisode is our half of RFC 4015.
func (s *Sender) undoEpisode(now mono.Time, o *Outcome, by Proof) {
	o.Undo = Undo{Episode: Recovery, By: by}
	if s.undo.loss {
		o.Undo.Episode = Loss
	}
	s.undo.from, s.undo.frto = -1, frtoOff
	if !s.undo.loss {
		s.rack.seen = true // a retransmission before its original came: reordering, though no step of RACK sees it
	}
	if s.state < Recovery {
		return // it is over already
	}
	if s.state == Loss {
		s.unmarkLost()
		s.adaptRTO(o.RTT)
		s.timer = now.Add(s.RTO())
	}
	s.owed = false
	s.move(evRecovered)
	o.Exited = true
}

// unmarkLost takes back what the time-out judged: the originals are in flight again, and so are copies of
// them that have been sent.
func (s *Sender) unmarkLost() {
	all := s.board.all()
	for i := range all {
		all[i].mark &^= lost
	}
	s.lostBytes = 0
	s.cursor, s.lostEdge = s.una, s.una
	s.rack.decided, s.rack.edge = s.una, s.una
}

// adaptRTO is RFC 4015 section 3.3, for a path that has become slower at once: "SRTT <- max(SRTT_prev, RTT-SAMPLE)"
// and "RTTVAR <- max(RTTVAR_prev, RTT-SAMPLE/2)".
func (s *Sender) adaptRTO(sample time.Duration) {
	s.backoff = 0
	if sample <= 0 {
		return
	}
	s.rtt.srtt = max(s.rtt.srtt, sample)
	s.rtt.rttvar = max(s.rtt.rttvar, sample/2)
	s.rto = min(s.rtt.srtt+max(s.minRTO, s.rtt.variance()), maxRTO)
}

// dsack returns the D-SACK of an ACK, RFC 2883 section 4: the first block, if it lies below the cumulative
// acknowledgment or within the second block.
func (s *Sender) dsack(a *AckInfo) stream.Range {
	if !s.sack || len(a.SACK) == 0 {
		return stream.Range{}
	}
	r := a.SACK[0]
	inside := len(a.SACK) > 1 && a.SACK[1].From <= r.From && r.To <= a.SACK[1].To && a.SACK[1].To <= s.next
	if 0 <= r.From && r.From < r.To && r.To <= s.next && (r.To <= a.Ack || inside) {
		return r
	}
	return stream.Range{}
}
