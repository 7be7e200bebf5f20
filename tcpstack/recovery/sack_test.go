package recovery

import "testing"

// RFC 6675 section 5 step (4.3) and (C), the whole of an episode: three segments SACKed above a hole inside one burst.
func TestRecoverySACK(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(10_000)
	x.advance(100 * ms)
	x.ack(2000, nil, "acked 2000, rtt 100ms")
	x.send(2000)
	x.wantPipe(10_000)

	// 2000..3000 is lost. Each SACK grows the same block; limited transmit (RFC 3042) follows from Pipe.
	x.ack(2000, sack(3000, 4000), "sacked 1000, rtt 100ms")
	x.wantState(Disorder)
	x.wantPipe(9000)
	x.lost(mss, 0, 0)
	x.ack(2000, sack(3000, 5000), "sacked 1000, rtt 100ms")
	x.wantPipe(8000)

	// "more than (DupThresh - 1) * SMSS bytes": the third segment.
	x.ack(2000, sack(3000, 6000), "sacked 1000, lost 1000, entered, rtt 100ms")
	x.wantState(Recovery)
	x.wantPipe(6000)
	x.wantUrgent(true) // step (4.3): at once, though half the window is 5000
	x.lost(500, 2000, 2500)
	x.wantUrgent(false)
	x.lost(64_000, 2500, 3000)
	x.lost(64_000, 0, 0)
	x.wantPipe(7000)

	x.ack(2000, sack(3000, 10_000), "sacked 4000, rtt 100ms")
	x.wantPipe(3000)
	x.advance(100 * ms)
	x.ack(10_000, nil, "acked 8000, delivered 1000, partial") // Karn: no sample
	x.wantState(Recovery)
	x.ack(12_000, nil, "acked 2000, exited, rtt 100ms")
	x.wantState(Open)
	x.wantIdle()
}

// RFC 6675 section 4: "DupThresh discontiguous SACKed sequences", each of one small segment.
func TestRecoveryDiscontiguous(t *testing.T) {
	x := tell(t, Config{SACK: true})
	for range 8 {
		x.send(100)
	}
	x.advance(10 * ms)
	x.ack(0, sack(100, 200), "sacked 100, rtt 10ms")
	x.ack(0, sack(700, 800, 300, 400, 100, 200), "sacked 200, lost 100, entered, rtt 10ms")
	x.lost(mss, 0, 100)
	x.lost(mss, 0, 0)
	// The next block makes three above 200..300 as well.
	x.ack(0, sack(500, 600), "sacked 100, lost 100, rtt 10ms")
	x.lost(mss, 200, 300)
	x.lost(mss, 0, 0)
}

// RFC 6675 section 5 step (1): "If DupAcks >= DupThresh": three ACKs with news, though little of it.
func TestRecoveryDupAcks(t *testing.T) {
	x := tell(t, Config{SACK: true})
	for range 5 {
		x.send(10)
	}
	x.advance(10 * ms)
	x.ack(0, sack(10, 20), "sacked 10, rtt 10ms")
	x.ack(0, sack(10, 20), "-") // nothing new: not a duplicate ACK in the sense of section 2
	x.ack(0, sack(10, 30), "sacked 10, rtt 10ms")
	x.wantState(Disorder)
	x.ack(0, sack(10, 40), "sacked 10, lost 10, entered, rtt 10ms")
	x.lost(mss, 0, 10)
	x.ack(50, nil, "acked 50, delivered 20, exited")
	x.wantIdle()
}

// One superframe is lost in front of another: the whole of it is retransmitted in steps the caller chooses.
func TestRecoverySuperframe(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(64_000)
	x.send(64_000)
	x.advance(10 * ms)
	x.ack(0, sack(64_000, 128_000), "sacked 64000, lost 64000, entered, rtt 10ms")
	x.wantPipe(0)
	x.lost(10_000, 0, 10_000)
	x.lost(60_000, 10_000, 64_000)
	x.wantPipe(64_000)
	x.advance(10 * ms)
	x.ack(5000, nil, "acked 5000, partial")
	x.ack(128_000, nil, "acked 123000, delivered 59000, exited")
	x.wantIdle()
}

// Holes are offered one at a time, never joined across what the receiver has.
func TestRetransmitNeverCrossesSACKed(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(10_000)
	x.advance(10 * ms)
	x.ack(0, sack(6000, 9000, 3000, 4000, 1000, 2000), "sacked 5000, lost 4000, entered, rtt 10ms")
	x.lost(64_000, 0, 1000)
	x.lost(64_000, 2000, 3000)
	x.lost(64_000, 4000, 6000)
	x.lost(64_000, 0, 0)
}

// RFC 6675 section 4, NextSeg rules 3 and 4: what keeps the ACK clock going when there is no new data.
func TestRescue(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(10_000)
	x.advance(10 * ms)
	x.rescue(0, 0) // not in recovery
	x.ack(0, sack(7000, 9000, 1000, 3000), "sacked 4000, lost 1000, entered, rtt 10ms")
	x.lost(mss, 0, 1000)
	x.lost(mss, 0, 0)
	x.wantPipe(6000)
	x.rescue(3000, 4000) // rule 3: below the highest SACKed byte, not judged lost
	x.wantPipe(7000)     // it counts twice: the original is not given up
	x.rescue(4000, 5000)
	x.rescue(5000, 6000)
	x.rescue(6000, 7000)
	x.rescue(9000, 10_000) // rule 4: the last segment, once
	x.rescue(0, 0)
	x.advance(10 * ms)
	x.ack(10_000, nil, "acked 10000, delivered 6000, exited")
	x.wantIdle()
}

// We deviate from RFC 6675 section 4 rule 4: the last hole was retransmitted already, so it is no rescue.
func TestRescueSkipsRetransmitted(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(5000)
	x.advance(10 * ms)
	x.ack(0, sack(1000, 5000), "sacked 4000, lost 1000, entered, rtt 10ms")
	x.lost(mss, 0, 1000)
	x.rescue(0, 0)
}

// Rule 4 is for once per recovery, also when there is a new last segment.
func TestRescueOnce(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(6000)
	x.advance(10 * ms)
	x.ack(0, sack(1000, 5000), "sacked 4000, lost 1000, entered, rtt 10ms")
	x.lost(mss, 0, 1000)
	x.rescue(5000, 6000)
	x.send(1000)
	x.rescue(0, 0)
}

// A caller may send again more than was asked for: what the receiver has is not counted, holes stay apart.
func TestResendAcrossSACKed(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(3000)
	x.send(3000)
	x.advance(10 * ms)
	x.ack(0, sack(1000, 2000, 4000, 5000), "sacked 2000, rtt 10ms")
	x.wantPipe(4000)
	x.resend(500, 6000)
	x.wantPipe(7500) // 1000 and 2000 bytes, and all but 500 of them twice
	x.advance(10 * ms)
	x.ack(500, nil, "acked 500, rtt 20ms")
	x.ack(1000, nil, "acked 500") // Karn
	x.ack(6000, nil, "acked 5000, delivered 3000")
	x.wantIdle()
}

// Another detector than RFC 6675's may judge bytes lost that lie below what was retransmitted already.
func TestMarkLostBelowCursor(t *testing.T) {
	x := tell(t, Config{SACK: true})
	for range 4 {
		x.send(1000)
	}
	x.s.markLost(2000, 3000)
	x.lost(mss, 2000, 3000)
	x.lost(mss, 0, 0)
	x.s.markLost(0, 2000)
	x.lost(64_000, 0, 2000)
	x.lost(mss, 0, 0)
}

// Data lost above the recovery point starts an episode of its own as soon as the first is over.
func TestRecoveryAfterRecovery(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(4000)
	x.advance(10 * ms)
	x.ack(0, sack(1000, 4000), "sacked 3000, lost 1000, entered, rtt 10ms")
	x.lost(mss, 0, 1000)
	x.send(5000) // 4000..9000, of which 4000..5000 will be lost
	x.advance(10 * ms)
	x.ack(0, sack(5000, 9000, 1000, 4000), "sacked 4000, lost 1000, rtt 10ms")
	x.wantState(Recovery)
	x.ack(4000, sack(5000, 9000), "acked 4000, delivered 1000, exited, entered")
	x.wantState(Recovery)
	x.lost(mss, 4000, 5000)
	x.advance(10 * ms)
	x.ack(9000, nil, "acked 5000, delivered 1000, exited")
	x.wantIdle()
}

// Reordering that heals: Disorder and back, nothing retransmitted.
func TestDisorderSettles(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(4000)
	x.advance(10 * ms)
	x.ack(0, sack(1000, 3000), "sacked 2000, rtt 10ms")
	x.wantState(Disorder)
	x.ack(3000, nil, "acked 3000, delivered 1000, rtt 10ms")
	x.wantState(Open)
	x.lost(mss, 0, 0)
	x.ack(4000, nil, "acked 1000, rtt 10ms")
	x.wantIdle()
}

// Blocks that cannot be true are counted and change nothing; so is an ACK of what was never sent.
func TestSACKValidation(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(10_000)
	x.advance(10 * ms)
	x.ack(4000, nil, "acked 4000, rtt 10ms")
	x.ack(4000, sack(9000, 10_001), "invalid 1")                                                                          // above Next
	x.ack(4000, sack(8000, 8000, 8000, 7000), "invalid 2")                                                                // empty, backwards
	x.ack(4000, sack(3000, 5000, 4000, 5000), "invalid 2")                                                                // the receiver would have acknowledged it
	x.ack(4000, sack(1000, 2000), "duplicate 1, dsack 1000..2000")                                                        // RFC 2883: below the ACK
	x.ack(4000, sack(6000, 7000, 5000, 8000), "sacked 3000, lost 1000, entered, duplicate 1, dsack 6000..7000, rtt 10ms") // 4: within the second
	x.ack(10_001, nil, "invalid 1")
	// An old ACK: only its SACK blocks count.
	x.ackInfo(AckInfo{Ack: 1000, SACK: blocks(sack(9000, 10_000)), IsDup: false}, "sacked 1000, rtt 10ms")
	if x.s.Una() != 4000 {
		t.Fatalf("Una %d", x.s.Una())
	}
}

// ECN (RFC 3168 section 6.1.2): once per window of data; loss within it reduces no second time.
func TestCWR(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(8000)
	x.advance(10 * ms)
	if !x.s.EnterCWR() || x.s.EnterCWR() {
		t.Fatal("want exactly one reduction")
	}
	x.ack(4000, nil, "acked 4000, rtt 10ms")
	x.wantState(CWR)
	x.ack(4000, sack(5000, 8000), "sacked 3000, lost 1000, rtt 10ms") // not entered: reduced already
	x.wantState(Recovery)
	x.lost(mss, 4000, 5000)
	x.ack(8000, nil, "acked 4000, delivered 1000, exited")
	x.send(1000)
	if !x.s.EnterCWR() {
		t.Fatal("a new window of data may be reduced again")
	}
	x.advance(10 * ms)
	x.ack(9000, nil, "acked 1000, rtt 10ms")
	x.wantState(CWR) // this ACK may carry the echo of before the reduction
	x.send(1000)
	x.advance(10 * ms)
	x.ack(10_000, nil, "acked 1000, exited, rtt 10ms")
	x.wantState(Open)
}

// The FIN is one more byte at the end of the stream; it is lost and found like any other.
func TestFinIsAByte(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(5000)
	x.send(1)
	x.advance(10 * ms)
	x.ack(0, sack(1000, 5001), "sacked 4001, lost 1000, entered, rtt 10ms")
	x.lost(mss, 0, 1000)
	x.ack(5001, nil, "acked 5001, delivered 1000, exited")
	x.wantIdle()
}

// A smaller path MTU lowers the threshold: 2 segments of 500.
func TestSetMSS(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(5000)
	x.advance(10 * ms)
	x.s.SetMSS(500)
	x.ack(0, sack(1000, 2001), "sacked 1001, lost 1000, entered, rtt 10ms")
}
