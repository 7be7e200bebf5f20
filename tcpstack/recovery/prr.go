package recovery

// A PRR is Proportional Rate Reduction (RFC 9937, before that RFC 6937): it decides how much may be sent
// during one fast recovery, so that the window shrinks ACK by ACK instead of at once, and arrives at
// ssthresh when the recovery ends. The zero value is in no recovery. All amounts are bytes.
//
//  1. Recovery begins (Outcome.Entered in State Recovery): [PRR.Enter].
//  2. Each ACK in it: [PRR.Ack] returns the window until the next.
//  3. Whatever is sent, new or again: [PRR.Sent]; and [PRR.Turn] before the first ACK after it.
//  4. It ends (Outcome.Exited): [PRR.Exit].
type PRR struct {
	delivered, out int64 // prr_delivered, prr_out; below zero: what is still withheld
	recoverFS      int64 // RecoverFS: bytes in flight at the begin; 0: no recovery
	ssthresh       int64
	window         int64 // what Ack returned last
	granted        int64 // of it, what has not been sent since Turn
}

// Enter begins a recovery: recoverFS from [Sender.RecoverFS], ssthresh from congestion control. withheld is what the
// window allowed before and has not been sent yet, because it is paced, or output has not had its turn since.
//
// RFC 9937 knows no pacing: to it whatever is missing in flight has been lost, and PRR-CRB sends no more than is
// delivered to make up for it. What is withheld was never in the network. So we deviate, count it as in flight, and let it
// out beside what the ACKs let out: at each of them as much may have been sent as without pacing. Were it not, each loss
// would put the stream back by what pacing happened to withhold when it was found.
func (p *PRR) Enter(recoverFS, withheld, ssthresh int64) {
	*p = PRR{recoverFS: max(recoverFS+withheld, 1), out: -withheld, ssthresh: ssthresh}
}

// Active reports whether a recovery is under way.
func (p *PRR) Active() bool { return p.recoverFS > 0 }

// Window is what Ack returned last; before the first ACK ssthresh.
func (p *PRR) Window() int64 {
	if p.window == 0 {
		return p.ssthresh
	}
	return p.window
}

// Exit ends the recovery and returns the window to go on with: RFC 9937 section 6.2, "cwnd = ssthresh".
func (p *PRR) Exit() int64 {
	w := p.ssthresh
	*p = PRR{}
	return w
}

// Sent notes n bytes of data sent or retransmitted.
func (p *PRR) Sent(n int64) {
	if p.recoverFS > 0 {
		p.out += n
		p.granted = max(0, p.granted-n)
	}
}

// Turn notes that output has had its turn since the last Ack: what it left of the window is not owed any more.
//
// RFC 9937 sends after each ACK. Where many come before output's turn, each adds to what those before it let out, as if
// that had been sent: else all but the last one's would be lost, and with it the exponential growth of PRR-SSRB.
func (p *PRR) Turn() { p.granted = 0 }

// Ack returns the congestion window after an ACK that delivered so many bytes; inflight is Pipe after it.
// safe is RFC 9937's safeACK, "SND.UNA advances and no further loss indicated": Outcome.Acked > 0 and
// Outcome.Lost == 0.
//
// Above ssthresh one byte goes out for every 1/beta delivered. At or below it PRR-CRB sends no more than was
// delivered, and PRR-SSRB one segment more per safe ACK, so that a burst of losses is not answered with one
// of retransmissions.
func (p *PRR) Ack(delivered, inflight, mss int64, safe bool) int64 {
	first := p.window == 0
	if delivered == 0 && !first {
		return p.window // "if (DeliveredData is 0) return"
	}
	p.delivered += delivered
	out := p.out + p.granted
	inflight += p.granted
	withheld := max(0, -out)
	var count int64
	switch {
	case inflight+withheld > p.ssthresh:
		count = (p.delivered*p.ssthresh+p.recoverFS-1)/p.recoverFS - out
	default:
		count = max(p.delivered-max(out, 0), delivered)
		if safe {
			count += mss
		}
		count = withheld + min(p.ssthresh-inflight-withheld, count)
	}
	count = max(count, 0)
	if first && count == 0 {
		count = mss // "Force a fast retransmit upon entering recovery"
	}
	p.granted += count
	p.window = inflight + count
	return p.window
}

// RecoverFS is what PRR begins with, computed right after the Ack that entered recovery: what was in flight
// before it, without what had been SACKed by then.
func (s *Sender) RecoverFS(o *Outcome) int64 {
	return s.Flight() + o.Acked - (s.sackedBytes - o.Sacked)
}
