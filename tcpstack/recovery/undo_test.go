package recovery

import (
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
)

func doubting(t *testing.T, d Detector) *story {
	x := tell(t, Config{SACK: true, Detector: d, Undo: true})
	x.s.SampleRTT(x.now, 100*ms)
	return x
}

// both runs a story with each detector.
func both(t *testing.T, f func(x *story)) {
	for _, d := range []Detector{DetectorBase, DetectorRACK} {
		t.Run(d.String(), func(t *testing.T) { f(doubting(t, d)) })
	}
}

// reordered brings x to a fast retransmit of 0..1000 that is needless; returns when it left.
func (x *story) reordered() mono.Time {
	x.Helper()
	x.send(6000)
	x.advance(100 * ms)
	x.ack(0, sack(1000, 4000), "sacked 3000, lost 1000, entered, rtt 100ms")
	x.lost(64_000, 0, 1000)
	x.advance(5 * ms)
	return x.now.Add(-5 * ms)
}

// RFC 3522 section 3.2: the ACK that covers the retransmission echoes a timestamp older than it.
func TestEifelFastRetransmit(t *testing.T) {
	both(t, func(x *story) {
		sent := x.reordered()
		x.ackInfo(AckInfo{Ack: 4000, Echo: sent.Add(-ms)}, "acked 4000, delivered 1000, undo Recovery by eifel, exited")
		x.wantState(Open)
		if x.s.rack.seen != true {
			x.Fatal("it was reordering")
		}
		x.advance(10 * ms)
		x.ack(6000, nil, "acked 2000, rtt 115ms")
		x.wantIdle()
	})
}

// A timestamp as young as the retransmission, or none, proves nothing; nor does a later old one.
func TestEifelNoProof(t *testing.T) {
	both(t, func(x *story) {
		sent := x.reordered()
		x.ack(0, sack(1000, 6000), "sacked 2000, rtt 105ms")
		x.send(2000)
		x.advance(100 * ms)
		x.ackInfo(AckInfo{Ack: 6000, Echo: sent}, "acked 6000, delivered 1000, exited")
		x.ackInfo(AckInfo{Ack: 8000, Echo: sent.Add(-ms)}, "acked 2000, rtt 100ms")
	})
}

// A second segment that was sent again arrives too, sooner than what was sent again can have: its SACK disproves nothing,
// and the ACK of the first one is proof. A round trip later it would be the copy's.
func TestEifelBesideSACKedOriginal(t *testing.T) {
	for _, c := range []struct {
		after        time.Duration
		second, both string
	}{
		{20 * ms, "sacked 1000", "acked 6000, delivered 1000, undo Recovery by eifel, exited"},
		{85 * ms, "sacked 1000", "acked 6000, delivered 1000, exited"}, // on a path that became shorter
		{100 * ms, "sacked 1000, lost 1000, again 1000", "acked 6000, delivered 1000, exited"},
	} {
		x := doubting(t, DetectorRACK)
		sent := x.now
		x.send(6000)
		x.advance(100 * ms)
		x.ack(0, sack(1000, 2000, 3000, 6000), "sacked 4000, lost 2000, entered, rtt 100ms")
		x.lost(64_000, 0, 1000)
		x.lost(64_000, 2000, 3000)
		x.advance(c.after)
		x.ack(0, sack(1000, 6000), c.second)
		x.ackInfo(AckInfo{Ack: 6000, Echo: sent}, c.both)
	}
}

// RFC 2883 section 4 and RFC 3708: the retransmission comes back as a D-SACK, before the recovery is over
// or after.
func TestDSACKUndo(t *testing.T) {
	both(t, func(x *story) {
		x.reordered()
		x.ack(4000, nil, "acked 4000, delivered 1000, partial")
		x.advance(95 * ms)
		x.ack(4000, sack(0, 1000), "undo Recovery by dsack, exited, duplicate 1, dsack 0..1000")
		x.wantState(Open)
	})
	both(t, func(x *story) {
		x.reordered()
		x.ack(6000, nil, "acked 6000, delivered 3000, exited")
		x.send(2000)
		x.advance(95 * ms)
		x.ack(6000, sack(0, 1000), "undo Recovery by dsack, duplicate 1, dsack 0..1000")
		x.ack(8000, nil, "acked 2000, rtt 95ms")
	})
	both(t, func(x *story) { // a window of data later it is another story's
		x.reordered()
		x.ack(6000, nil, "acked 6000, delivered 3000, exited")
		x.send(2000)
		x.advance(95 * ms)
		x.ack(8000, nil, "acked 2000, rtt 95ms")
		x.ack(8000, sack(0, 1000), "duplicate 1, dsack 0..1000")
	})
}

// One of two retransmissions was needed: no undo.
func TestDSACKNotAll(t *testing.T) {
	both(t, func(x *story) {
		x.send(8000)
		x.advance(100 * ms)
		x.ack(0, sack(1000, 4000), "sacked 3000, lost 1000, entered, rtt 100ms")
		x.ack(0, sack(5000, 8000, 1000, 4000), "sacked 3000, lost 1000, rtt 100ms")
		x.lost(64_000, 0, 1000)
		x.lost(64_000, 4000, 5000)
		x.advance(5 * ms)
		x.ack(4000, sack(5000, 8000), "acked 4000, delivered 1000, partial")
		x.advance(95 * ms)
		x.ack(4000, sack(0, 1000, 5000, 8000), "duplicate 1, dsack 0..1000")
		x.ack(8000, nil, "acked 4000, delivered 1000, exited")
		x.send(1000)
		x.advance(ms)
		x.ack(8000, sack(0, 1000), "undo Recovery by dsack, duplicate 1, dsack 0..1000") // told twice, believed twice: who lies about this congests himself
	})
}

// late brings x to a time-out that is needless.
func (x *story) late() mono.Time {
	x.Helper()
	x.send(6000)
	if x.s.rack.on {
		x.timeout(200*ms, "probe")
		x.probe(0, 5000, 6000)
	}
	x.timeout(x.s.Deadline().Sub(x.now), "lost 6000, entered")
	x.lost(mss, 0, 1000)
	x.advance(20 * ms)
	return x.now.Add(-20 * ms)
}

// Eifel after a time-out: nothing is lost any more, the back-off ends, and the RTO learns from the delay
// (RFC 4015 section 3.3).
func TestEifelTimeout(t *testing.T) {
	both(t, func(x *story) {
		sent := x.late()
		rtt := x.now.Sub(mono.Time(time.Hour))
		x.ackInfo(AckInfo{Ack: 2000, RTT: rtt, Echo: sent.Add(-ms)}, "acked 2000, undo Loss by eifel, exited, rtt "+rtt.String())
		x.wantState(Open)
		x.lost(64_000, 0, 0)
		if r := x.s.RTT(); r.SRTT() != rtt || r.RTTVar() < rtt/2 || x.s.RTO() < rtt+4*(rtt/2) {
			x.Fatalf("srtt %v rttvar %v rto %v", r.SRTT(), r.RTTVar(), x.s.RTO())
		}
		x.advance(ms)
		x.ack(5000, nil, "acked 3000, rtt "+(rtt+ms).String())
	})
}

// RFC 5682 section 3.1 with SACK: the first ACK lets new data out instead of retransmissions, the second
// acknowledges what was sent once only.
func TestFRTO(t *testing.T) {
	both(t, func(x *story) {
		x.late()
		x.ackInfo(AckInfo{Ack: 1000, Unsent: 9000}, "acked 1000") // step 2.b
		x.lost(64_000, 0, 0)
		x.send(2000)
		x.advance(10 * ms)
		d := x.now.Sub(mono.Time(time.Hour)).String()
		x.ackInfo(AckInfo{Ack: 3000, Unsent: 7000}, "acked 2000, undo Loss by frto, exited, rtt "+d) // step 3.b
		x.wantState(Open)
		x.lost(64_000, 0, 0)
	})
}

// Step 2.a, 3.a and no new data: the time-out was real as far as F-RTO can tell.
func TestFRTONoProof(t *testing.T) {
	both(t, func(x *story) { // step 2: nothing new to send
		x.late()
		x.ack(1000, nil, "acked 1000")
		x.lost(2000, 1000, 3000)
		x.advance(10 * ms)
		x.ack(3000, nil, "acked 2000")
		x.wantState(Loss)
	})
	both(t, func(x *story) { // step 2.a: a duplicate ACK
		x.late()
		x.ackInfo(AckInfo{Ack: 0, IsDup: true, Unsent: 9000}, "-")
		x.lost(64_000, 1000, 6000)
	})
	both(t, func(x *story) { // step 3.a: it reports the new data, so that the old is missing
		x.late()
		x.ackInfo(AckInfo{Ack: 1000, Unsent: 9000}, "acked 1000")
		x.send(2000)
		x.advance(100 * ms)
		x.ackInfo(AckInfo{Ack: 1000, SACK: blocks(sack(6000, 7000)), Unsent: 9000}, "sacked 1000, rtt 100ms")
		x.wantState(Loss)
		x.lost(64_000, 1000, 6000)
	})
	both(t, func(x *story) { // the second time-out in a row
		x.late()
		x.timeout(x.s.Deadline().Sub(x.now), map[bool]string{true: "lost 1000, again 1000", false: "-"}[x.s.rack.on])
		x.lost(mss, 0, 1000)
		x.ackInfo(AckInfo{Ack: 1000, Unsent: 9000}, "acked 1000")
		x.lost(64_000, 1000, 6000)
	})
}

// RFC 5682 section 2.1, the basic F-RTO, for a peer without SACK.
func TestFRTOBasic(t *testing.T) {
	start := func() *story {
		x := tell(t, Config{Undo: true})
		x.s.SampleRTT(x.now, 100*ms)
		x.send(6000)
		x.timeout(300*ms, "lost 6000, entered")
		x.lost(mss, 0, 1000)
		x.advance(10 * ms)
		return x
	}
	x := start()
	x.ackInfo(AckInfo{Ack: 2000, Unsent: 9000}, "acked 2000") // (2.b)
	x.lost(64_000, 0, 0)
	x.send(2000)
	x.advance(10 * ms)
	x.ackInfo(AckInfo{Ack: 3000, Unsent: 7000}, "acked 1000, undo Loss by frto, exited, rtt 320ms") // (3.b)
	x.wantState(Open)
	x.wantPipe(5000)

	x = start() // also if one ACK covers the rest and the new data
	x.ackInfo(AckInfo{Ack: 1000, Unsent: 9000}, "acked 1000")
	x.send(2000)
	x.advance(10 * ms)
	x.ackInfo(AckInfo{Ack: 8000, Unsent: 7000}, "acked 7000, undo Loss by frto, exited, rtt 10ms")

	x = start() // (3.a): a duplicate ACK
	x.ackInfo(AckInfo{Ack: 1000, Unsent: 9000}, "acked 1000")
	x.send(2000)
	x.ackInfo(AckInfo{Ack: 1000, IsDup: true, Unsent: 9000}, "-")
	x.lost(64_000, 1000, 6000)
	x.wantState(Loss)

	for _, a := range []AckInfo{
		{Ack: 0, IsDup: true, Unsent: 9000}, // (2.a): a duplicate ACK,
		{Ack: 500, Unsent: 9000},            // a part of what was retransmitted,
		{Ack: 1000},                         // nothing new to send
	} {
		x = start()
		x.s.Ack(x.now, a)
		x.lost(64_000, max(a.Ack, 1000), 6000)
		x.wantState(Loss)
	}
	x = start() // (2.a): all of it, so that only the retransmission may have been missing
	x.ackInfo(AckInfo{Ack: 6000, Unsent: 9000}, "acked 6000, exited")
}

// Without Undo nothing is undone.
func TestUndoIsOptional(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.s.SampleRTT(x.now, 100*ms)
	sent := x.reordered()
	x.ackInfo(AckInfo{Ack: 4000, Echo: sent.Add(-ms)}, "acked 4000, delivered 1000, partial")
	x.ack(4000, sack(0, 1000), "duplicate 1, dsack 0..1000")
	x.wantState(Recovery)
}

// RFC 2883 section 4: which block is a D-SACK, and which only looks like one.
func TestDSACK(t *testing.T) {
	x := doubting(t, DetectorRACK)
	x.send(10_000)
	x.advance(100 * ms)
	x.ack(4000, nil, "acked 4000, rtt 100ms")
	for _, c := range []struct {
		ack    int64
		blocks []int64
		want   int64 // its end; 0: none
	}{
		{4000, sack(1000, 2000), 2000},             // below the cumulative acknowledgment
		{4000, sack(3000, 4000), 4000},             // up to it
		{2000, sack(3000, 4000), 0},                // an old ACK: this was news then
		{4000, sack(6000, 7000, 5000, 8000), 7000}, // within the second block
		{4000, sack(5000, 8000, 5000, 8000), 8000}, // all of it
		{4000, sack(6000, 7000, 5000, 99_000), 0},  // within nonsense
		{4000, sack(5000, 6000, 1000, 2000), 0},    // only the first block counts
		{4000, sack(3000, 2000), 0},
		{4000, sack(-1000, 0), 0}, // before the stream
	} {
		got := x.s.dsack(&AckInfo{Ack: c.ack, SACK: blocks(c.blocks)})
		if got.To != c.want || c.want > 0 && got.From != c.blocks[0] {
			t.Errorf("ack %d %v: D-SACK %v, want end %d", c.ack, c.blocks, got, c.want)
		}
	}
}

// What was judged lost arrives before anything was sent again: there was no loss at all.
func TestCameInTime(t *testing.T) {
	both(t, func(x *story) {
		x.send(6000)
		x.advance(100 * ms)
		x.ack(0, sack(1000, 4000), "sacked 3000, lost 1000, entered, rtt 100ms")
		x.advance(5 * ms) // no room in the link's ring
		x.ack(4000, nil, "acked 4000, delivered 1000, undo Recovery by came, exited, rtt 105ms")
		x.wantState(Open)
	})
}
