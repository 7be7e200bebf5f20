package recovery

import "testing"

// RFC 6582 section 3.2 steps 2 and 3: three duplicate ACKs, one partial ACK, the full ACK.
func TestNewReno(t *testing.T) {
	x := tell(t, Config{})
	x.send(10_000) // 0..1000 and 3000..4000 will be lost
	x.advance(10 * ms)
	x.ack(0, nil, "delivered 1000")
	x.wantPipe(9000) // RFC 3042: room for one new segment
	x.ack(0, nil, "delivered 1000")
	x.wantState(Disorder)
	x.wantPipe(8000)
	x.ack(0, nil, "delivered 1000, lost 1000, entered")
	x.wantState(Recovery)
	x.wantPipe(6000)
	x.lost(64_000, 0, 1000)
	x.lost(64_000, 0, 0)
	x.wantPipe(7000)
	x.rescue(0, 0)
	for range 5 { // eight of ten segments arrived in all
		x.ack(0, nil, "delivered 1000")
	}
	x.wantPipe(2000) // the retransmission, and the hole that nobody knows of
	x.advance(10 * ms)
	x.ack(3000, nil, "acked 3000, delivered 1000, lost 1000, partial") // no sample: Karn
	x.wantPipe(0)
	x.wantUrgent(true)
	x.lost(64_000, 3000, 4000)
	x.wantUrgent(false)
	x.wantPipe(1000)
	x.advance(10 * ms)
	x.ack(10_000, nil, "acked 7000, delivered 1000, exited")
	x.wantState(Open)
	x.wantIdle()
}

// RFC 6582 section 3.2 step 2: duplicate ACKs caused by what a time-out sent needlessly start no fast
// retransmit, until more than the recovery point is acknowledged.
func TestNewRenoNoFastRetransmitAfterTimeout(t *testing.T) {
	x := tell(t, Config{})
	x.send(6000)
	x.timeout(1000*ms, "lost 6000, entered")
	x.wantPipe(0)
	x.lost(mss, 0, 1000)
	x.advance(10 * ms)
	x.ack(1000, nil, "acked 1000")
	x.lost(2*mss, 1000, 3000)
	for range 5 {
		x.ack(1000, nil, "-")
	}
	x.wantState(Loss)
	x.ack(6000, nil, "acked 5000, exited")
	x.wantState(Open)
	x.send(6000)
	for range 3 { // una is the recovery point itself, not more
		x.ack(6000, nil, "delivered 1000")
	}
	x.ack(6000, nil, "-") // and no more is let out for it (RFC 3042 section 2)
	x.wantState(Disorder)
	x.lost(mss, 0, 0)
	x.advance(10 * ms)
	x.ack(7000, nil, "acked 1000, delivered 0, rtt 10ms")
	x.wantState(Open)
	for range 2 {
		x.ack(7000, nil, "delivered 1000")
	}
	x.ack(7000, nil, "delivered 1000, lost 1000, entered")
	x.lost(mss, 7000, 8000)
}

// A receiver that forges duplicate ACKs (RFC 5681 sections 3.2 and 5) gains no more than what is in flight.
func TestNewRenoForgedDuplicates(t *testing.T) {
	x := tell(t, Config{})
	x.send(3000)
	x.ack(0, nil, "delivered 1000")
	x.ack(0, nil, "delivered 1000")
	x.ack(0, nil, "lost 1000, entered")
	for range 100 {
		x.ack(0, nil, "-")
	}
	x.wantPipe(0)
	x.lost(mss, 0, 1000)
	x.wantPipe(1000)
}

// SACK blocks without SACK-permitted are not looked at.
func TestNewRenoIgnoresSACK(t *testing.T) {
	x := tell(t, Config{})
	x.send(9000)
	x.ack(0, sack(1000, 9000), "delivered 1000")
	x.wantState(Disorder)
}

// A reduction for ECN is no loss: its end is not the "recover" of RFC 6582 section 3.2 step 2, and a segment of the
// flight that was marked is sent again by three duplicate ACKs too, without another reduction.
func TestNewRenoLossAfterMark(t *testing.T) {
	x := tell(t, Config{})
	x.send(9000)
	x.advance(10 * ms)
	x.ack(1000, nil, "acked 1000, rtt 10ms")
	if !x.s.EnterCWR() {
		t.Fatal("no reduction")
	}
	x.ack(1000, nil, "delivered 1000")
	x.ack(1000, nil, "delivered 1000")
	x.ack(1000, nil, "delivered 1000, lost 1000")
	x.wantState(Recovery)
	x.lost(mss, 1000, 2000)
}
