package recovery

import "testing"

// fast is a connection with RACK on a path of 100 ms whose handshake gave a sample.
func fast(t *testing.T) *story {
	x := tell(t, Config{SACK: true, Detector: DetectorRACK})
	x.s.SampleRTT(x.now, 100*ms)
	return x
}

// spaced sends n segments a millisecond apart, each a burst of its own.
func (x *story) spaced(n int) {
	for range n {
		x.send(mss)
		x.advance(ms)
	}
}

// RFC 8985 section 6.2 step 5: one SACK is enough to start the clock, and the reordering timer does what
// the missing third duplicate ACK cannot.
func TestRACKTimer(t *testing.T) {
	x := fast(t)
	x.spaced(3) // at 0, 1, 2 ms; now 3
	x.advance(98 * ms)
	x.ack(0, sack(1000, 2000), "sacked 1000, rtt 100ms")
	x.wantState(Disorder)
	x.wantDeadline(TimerReorder, 24*ms) // 0 + RACK.rtt 100 + reo_wnd 100/4 - now 101
	x.advance(ms)
	x.ack(0, sack(1000, 3000), "sacked 1000, rtt 100ms")
	x.wantDeadline(TimerReorder, 23*ms)
	x.timeout(23*ms, "reorder, lost 1000, entered")
	x.wantState(Recovery)
	x.wantDeadline(TimerRTO, x.s.RTO())
	x.wantUrgent(true)
	x.lost(64_000, 0, 1000)
	x.rescue(0, 0)
	x.advance(100 * ms)
	x.ack(3000, nil, "acked 3000, delivered 1000, exited")
	x.wantIdle()
}

// Step 4: as long as no reordering was seen, three SACKed segments make the window zero.
func TestRACKDupThresh(t *testing.T) {
	x := fast(t)
	x.spaced(5)
	x.advance(96 * ms)
	x.ack(0, sack(1000, 2000), "sacked 1000, rtt 100ms")
	x.advance(ms)
	x.ack(0, sack(1000, 3000), "sacked 1000, rtt 100ms")
	x.advance(ms)
	x.ack(0, sack(1000, 4000), "sacked 1000, lost 1000, entered, rtt 100ms")
	x.lost(64_000, 0, 1000)
	x.advance(ms)
	x.ack(0, sack(1000, 5000), "sacked 1000, rtt 100ms")
	x.advance(100 * ms)
	x.ack(5000, nil, "acked 5000, delivered 1000, exited")
}

// Step 3: an original that arrives below RACK.fack is reordering, and from then on SACKs alone do not count.
func TestRACKReorderingSeen(t *testing.T) {
	x := fast(t)
	x.spaced(2)
	x.advance(99 * ms)
	x.ack(0, sack(1000, 2000), "sacked 1000, rtt 100ms")
	x.advance(10 * ms)
	x.ack(2000, nil, "acked 2000, delivered 1000, rtt 111ms") // late, not lost
	x.wantState(Open)

	x.spaced(6)
	x.advance(100 * ms)
	x.ack(2000, sack(3000, 8000), "sacked 5000, rtt 101ms") // five segments above the hole
	x.wantState(Disorder)
	x.wantDeadline(TimerReorder, 20*ms) // 0 + 101 + 25 - 106
	x.advance(19 * ms)
	x.ack(8000, nil, "acked 6000, delivered 1000, rtt 125ms")
	x.wantState(Open)
	x.lost(mss, 0, 0)
	x.wantIdle()
}

// Step 4: D-SACKs widen the window, once per round, up to SRTT; 16 recoveries without one take that back.
func TestRACKWindowAdapts(t *testing.T) {
	x := fast(t)
	x.s.rack.seen = true
	dsack := func(want string) {
		x.T.Helper()
		x.send(1000)
		x.advance(100 * ms)
		x.ack(x.s.Next(), sack(x.s.Next()-1000, x.s.Next()), want)
	}
	for n := range 5 {
		if got, want := x.s.reoWnd(), min(25*ms*(1+durations(n)), 100*ms); got != want {
			t.Fatalf("after %d D-SACKs the window is %v, want %v", n, got, want)
		}
		from := x.s.Next()
		dsack("acked 1000, duplicate 1, dsack " + bounds(from, from+1000) + ", rtt 100ms")
	}
	// A second D-SACK in the same round counts no more.
	x.send(4000)
	mult := x.s.rack.mult
	x.ack(5000, sack(0, 1000), "duplicate 1, dsack 0..1000")
	x.ack(5000, sack(1000, 2000), "duplicate 1, dsack 1000..2000")
	if x.s.rack.mult != mult+1 {
		t.Fatalf("multiplier %d after two D-SACKs in a round, from %d", x.s.rack.mult, mult)
	}
	x.advance(100 * ms)
	x.ack(9000, nil, "acked 4000, rtt 100ms")
	for n := range reoWndPersist {
		if x.s.rack.mult == 1 {
			t.Fatalf("forgotten after %d recoveries", n)
		}
		x.recoverOnce()
	}
	if x.s.rack.mult != 1 {
		t.Fatalf("multiplier %d after %d recoveries", x.s.rack.mult, reoWndPersist)
	}
}

// recoverOnce loses one segment and repairs it.
func (x *story) recoverOnce() {
	x.Helper()
	una := x.s.Una()
	x.spaced(3)
	x.advance(98 * ms)
	x.s.Ack(x.now, AckInfo{Ack: una, SACK: blocks(sack(una+1000, una+3000))})
	if x.s.State() != Recovery {
		x.now = x.s.Deadline()
		x.expect("timer", x.s.Timeout(x.now), "reorder, lost 1000, entered")
	}
	x.lost(64_000, una, una+1000)
	x.advance(100 * ms)
	x.s.Ack(x.now, AckInfo{Ack: una + 3000})
	x.wantState(Open)
	x.note("recovered")
}

// Section 3.4: the loss of a retransmission is found by what was sent after it.
func TestRACKLostRetransmission(t *testing.T) {
	x := fast(t)
	x.spaced(4)
	x.advance(97 * ms)
	x.ack(0, sack(1000, 4000), "sacked 3000, lost 1000, entered, rtt 98ms")
	x.lost(64_000, 0, 1000) // and lost again
	x.advance(ms)
	x.send(1000)
	x.advance(99 * ms)
	x.ack(0, sack(1000, 5000), "sacked 1000, lost 1000, again 1000, rtt 99ms") // sent 100 ms ago, and RACK.rtt is 99
	x.wantState(Recovery)
	x.wantPipe(0)
	x.lost(64_000, 0, 1000)
	x.advance(100 * ms)
	x.ack(5000, nil, "acked 5000, delivered 1000, exited")
	x.wantIdle()
}

// The tail of what is in flight, sent before a retransmission that arrived, is lost too: no time-out.
func TestRACKTailAfterRetransmission(t *testing.T) {
	x := fast(t)
	x.spaced(6) // 0 and the last two are lost
	x.advance(95 * ms)
	x.ack(0, sack(1000, 4000), "sacked 3000, lost 1000, entered, rtt 98ms")
	x.lost(64_000, 0, 1000)
	x.advance(100 * ms)
	x.ack(4000, nil, "acked 4000, delivered 1000, lost 2000, partial")
	x.lost(64_000, 4000, 6000)
	x.advance(100 * ms)
	x.ack(6000, nil, "acked 2000, exited")
	x.wantIdle()
}

// A retransmission and new data leave at one instant, in either order: what went first is judged by what
// went last, not the other way round.
func TestRACKSameInstant(t *testing.T) {
	for _, again := range []bool{false, true} { // the retransmission goes last
		x := fast(t)
		x.spaced(4)
		x.advance(97 * ms)
		x.ack(0, sack(1000, 4000), "sacked 3000, lost 1000, entered, rtt 98ms")
		if again {
			x.send(1000)
		}
		x.lost(64_000, 0, 1000)
		if !again {
			x.send(1000)
		}
		x.advance(100 * ms)
		want := "sacked 1000, rtt 100ms"
		if !again {
			want = "sacked 1000, lost 1000, again 1000, rtt 100ms"
		}
		x.ack(0, sack(1000, 5000), want)
	}
}

// Rule 4 of NextSeg stays with RACK, for a tail of which nothing was heard; rule 3 does not.
func TestRACKRescue(t *testing.T) {
	x := fast(t)
	x.send(10_000)
	x.advance(100 * ms)
	x.ack(0, sack(1000, 3000, 5000, 8000), "sacked 5000, lost 3000, entered, rtt 100ms")
	x.lost(64_000, 0, 1000)
	x.lost(64_000, 3000, 5000)
	x.rescue(9000, 10_000)
	x.rescue(0, 0)
	x.advance(100 * ms)
	x.ack(0, sack(9000, 10_000, 1000, 3000, 5000, 8000), "sacked 1000, lost 4000, again 3000")

	x = fast(t)
	x.s.rack.seen = true
	x.send(2000)
	x.advance(50 * ms)
	x.send(3000)
	x.advance(50 * ms)
	x.ack(0, sack(1000, 2000), "sacked 1000, rtt 100ms")
	x.timeout(25*ms, "reorder, lost 1000, entered")
	x.lost(64_000, 0, 1000)
	x.ack(0, sack(1000, 2000, 3000, 5000), "sacked 2000, rtt 75ms")
	x.rescue(0, 0) // the hole at 2000 has its time still, and the tail arrived
}

// A retransmission of the first segment restarts the time-out (section 8), however late it was found.
func TestRACKRestartsRTO(t *testing.T) {
	x := fast(t)
	x.s.rack.seen, x.s.rack.mult = true, 4
	x.send(4000)
	x.advance(100 * ms)
	x.ack(0, sack(1000, 2000), "sacked 1000, rtt 100ms")
	x.wantDeadline(TimerReorder, 100*ms)
	x.advance(99 * ms)
	x.ack(0, sack(1000, 3000), "sacked 1000, rtt 199ms")
	x.timeout(x.s.Deadline().Sub(x.now), "reorder, lost 1000, entered")
	x.advance(5 * ms)
	x.lost(64_000, 0, 1000)
	x.wantDeadline(TimerRTO, x.s.RTO())
}

// Step 2: an ACK that may be the original's is no evidence for a retransmission: by its timestamp, or
// because no round trip is so short.
func TestRACKAmbiguous(t *testing.T) {
	for _, echo := range []bool{true, false} {
		x := fast(t)
		x.spaced(4)
		x.advance(97 * ms)
		x.ack(0, sack(1000, 4000), "sacked 3000, lost 1000, entered, rtt 98ms")
		x.lost(64_000, 0, 1000)
		sent := x.now
		if before := x.s.rack; echo {
			x.advance(100 * ms)
			x.ackInfo(AckInfo{Ack: 4000, Echo: sent.Add(-ms)}, "acked 4000, delivered 1000, exited")
			if x.s.rack.xmit != before.xmit {
				t.Fatal("took the original's ACK for the retransmission's")
			}
		} else {
			x.advance(50 * ms)
			x.ack(4000, nil, "acked 4000, delivered 1000, exited")
			if x.s.rack.xmit != before.xmit {
				t.Fatal("a round trip of 50 ms on a path of 98")
			}
		}
	}
}

// A burst is many segments with one time. What SACKs split off is told apart by its end (section 6.2 step
// 2), and what lies above the highest that arrived is not judged.
func TestRACKBurst(t *testing.T) {
	x := fast(t)
	x.send(64_000)
	x.advance(100 * ms)
	x.ack(0, sack(3000, 4000), "sacked 1000, rtt 100ms")
	x.wantDeadline(TimerReorder, 25*ms)
	x.advance(5 * ms) // the burst takes time on the wire, and RACK.rtt grows with it
	x.ack(0, sack(3000, 5000), "sacked 1000, rtt 105ms")
	x.wantDeadline(TimerReorder, 25*ms)
	x.timeout(25*ms, "reorder, lost 3000, entered")
	x.wantPipe(59_000)
	x.lost(64_000, 0, 3000)
	x.lost(64_000, 0, 0)
	x.advance(10 * ms)
	x.ack(0, sack(60_000, 64_000, 3000, 5000), "sacked 4000, lost 55000, rtt 140ms")
	x.lost(60_000, 5000, 60_000)
}

// The end of one burst arrives before its begin: both have the same time, and the hole gets its window.
func TestRACKBurstReordered(t *testing.T) {
	x := fast(t)
	x.send(4000)
	x.advance(100 * ms)
	x.ack(0, sack(3000, 4000), "sacked 1000, rtt 100ms")
	x.wantDeadline(TimerReorder, 25*ms)
	x.advance(ms)
	x.ack(0, sack(2000, 4000), "sacked 1000, rtt 101ms")
	x.ack(1000, sack(2000, 4000), "acked 1000, rtt 101ms")
	x.wantDeadline(TimerReorder, 25*ms) // 0 + 101 + 25 - 101
	x.advance(20 * ms)
	x.ack(4000, nil, "acked 3000, delivered 1000, rtt 121ms")
	x.wantIdle()
}

// A timer that is late judges what was due when it was set for, not what has become due since.
func TestRACKLateTimer(t *testing.T) {
	x := fast(t)
	x.spaced(2)
	x.advance(40 * ms)
	x.send(1000)
	x.send(1000)
	x.advance(59 * ms)
	x.ack(0, sack(1000, 2000), "sacked 1000, rtt 100ms")
	x.wantDeadline(TimerReorder, 24*ms)
	x.advance(500 * ms)
	x.expect("late", x.s.Timeout(x.now), "reorder, lost 1000, entered")
	x.lost(64_000, 0, 1000)
}

// Section 6.3: a time-out judges the first segment, and of the rest what is older than a round trip.
func TestRACKTimeout(t *testing.T) {
	x := fast(t)
	x.send(1000)
	x.advance(100 * ms)
	x.ack(1000, nil, "acked 1000, rtt 100ms")
	x.send(3000)
	x.timeout(200*ms, "probe")
	x.advance(x.s.timer.Sub(x.now) - 50*ms)
	x.send(2000) // the window opened somehow; these are 50 ms old when the time-out comes
	x.advance(50 * ms)
	x.expect("RTO", x.s.Timeout(x.now), "lost 3000, entered")
	x.wantState(Loss)
	x.wantPipe(2000)
	x.wantUrgent(true)
	x.lost(1000, 1000, 2000)
	x.advance(100 * ms)
	x.ack(2000, nil, "acked 1000, lost 2000") // what was sent before the retransmission has had its time
	x.lost(64_000, 2000, 6000)
	x.wantState(Loss)
	x.advance(100 * ms)
	x.ack(6000, nil, "acked 4000, exited")
	x.wantIdle()
}

// RFC 8985 section 4: RACK is for connections with SACK.
func TestRACKNeedsSACK(t *testing.T) {
	x := tell(t, Config{Detector: DetectorRACK})
	if x.s.Detector() != DetectorBase {
		t.Fatal(x.s.Detector())
	}
	x.send(4000)
	x.wantDeadline(TimerRTO, x.s.RTO())
}

// The detector changes under way: what is judged stays judged, and nothing is forgotten.
func TestSetDetector(t *testing.T) {
	x := fast(t)
	x.spaced(6)
	x.advance(95 * ms)
	x.ack(0, sack(1000, 2000), "sacked 1000, rtt 100ms")
	x.wantDeadline(TimerReorder, 24*ms)
	x.s.SetDetector(DetectorBase)
	x.wantDeadline(TimerRTO, x.s.timer.Sub(x.now))
	x.ack(0, sack(1000, 4000), "sacked 2000, lost 1000, entered, rtt 98ms")
	x.lost(64_000, 0, 1000)
	x.s.SetDetector(DetectorRACK)
	x.advance(100 * ms)
	x.ack(4000, nil, "acked 4000, delivered 1000, lost 2000, partial")
	x.s.SetDetector(DetectorBase)
	x.lost(64_000, 4000, 6000)
	x.advance(100 * ms)
	x.ack(6000, nil, "acked 2000, exited")
	x.wantIdle()
}
