package recovery

import (
	"testing"
	"time"
	"unsafe"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// RFC 6298 (2.2) and (2.3), with one sample per round trip: exact values.
func TestRTO(t *testing.T) {
	x := tell(t, Config{MinRTO: 1 * ms})
	x.wantRTO(time.Second) // (2.1)
	for i, step := range []struct{ rtt, srtt, rttvar time.Duration }{
		{100 * ms, 100 * ms, 50 * ms},                                   // (2.2)
		{100 * ms, 100 * ms, 37500 * time.Microsecond},                  // (2.3)
		{180 * ms, 110 * ms, 48125 * time.Microsecond},                  // 3/4*37.5 + 1/4*80, 7/8*100 + 1/8*180
		{110 * ms, 110 * ms, 36093750 * time.Nanosecond},                // no deviation
		{30 * ms, 100 * ms, time.Duration(36093750*3/4+20_000_000) - 0}, // 3/4*36.09375 + 1/4*80
	} {
		x.send(1000)
		x.advance(step.rtt)
		x.ackInfo(AckInfo{Ack: x.s.Next()}, "acked 1000, rtt "+step.rtt.String())
		r := x.s.RTT()
		if r.SRTT() != step.srtt || (r.RTTVar()-step.rttvar).Abs() > 1 {
			t.Fatalf("sample %d: srtt %v rttvar %v, want %v %v", i, r.SRTT(), r.RTTVar(), step.srtt, step.rttvar)
		}
		x.wantRTO(r.SRTT() + 4*r.RTTVar())
	}
	if got := x.s.RTT().MinRTT(); got != 30*ms {
		t.Fatalf("MinRTT %v", got)
	}
}

// RFC 7323 section 4.2: ten samples per round trip weigh as much as one.
func TestRTOManySamplesPerRound(t *testing.T) {
	x := tell(t, Config{})
	x.s.SampleRTT(x.now, 100*ms)
	round := func(rtt time.Duration) {
		for range 10 {
			x.s.Sent(x.now, x.s.Next(), x.s.Next()+1000)
		}
		x.advance(rtt)
		for range 10 {
			x.s.Ack(x.now, AckInfo{Ack: x.s.Una() + 1000})
		}
	}
	round(100 * ms)
	round(100 * ms)
	before := x.s.RTT().SRTT()
	round(180 * ms)
	// 80 ms * (1 - (1-1/80)^10) = 9.45 ms; one sample alone moves it by 10 ms.
	if got := x.s.RTT().SRTT() - before; got < 9*ms || got > 10*ms {
		t.Fatalf("a round of ten samples moved SRTT by %v, want about 9.45ms", got)
	}
}

// The floor stands above SRTT, and 60 s above all (RFC 6298 (2.5)).
func TestRTOBounds(t *testing.T) {
	x := tell(t, Config{})
	for range 50 {
		x.s.SampleRTT(x.now, 40*ms)
	}
	x.wantRTO(240 * ms)
	x.send(1000)
	d := 240 * ms
	x.timeout(d, "lost 1000, entered") // (5.5): doubled each time, ssthresh is reduced once
	for range 12 {
		x.lost(mss, 0, 1000)
		d = min(2*d, time.Minute)
		x.timeout(d, "-")
	}
	x.wantRTO(time.Minute)
}

// RFC 6298 (5.1), (5.2) and (5.3).
func TestTimerManagement(t *testing.T) {
	x := tell(t, Config{})
	x.wantIdle()
	x.send(1000)
	x.advance(300 * ms)
	x.send(1000) // (5.1): running already
	if d := x.s.Deadline().Sub(x.now); d != 700*ms {
		t.Fatalf("deadline in %v", d)
	}
	x.ack(0, nil, "delivered 1000") // a duplicate ACK does not restart it
	if d := x.s.Deadline().Sub(x.now); d != 700*ms {
		t.Fatalf("deadline in %v", d)
	}
	x.ack(1000, nil, "acked 1000, delivered 0, rtt 300ms") // (5.3): restarted: 300 + 4*150
	if d := x.s.Deadline().Sub(x.now); d != 900*ms {
		t.Fatalf("deadline in %v", d)
	}
	if o := x.s.Timeout(x.now.Add(899 * ms)); o != (Outcome{}) {
		t.Fatalf("a time-out before its time: %+v", o)
	}
	x.ack(2000, nil, "acked 1000, rtt 1ns")
	x.wantIdle() // (5.2)
	if o := x.s.Timeout(x.now.Add(time.Hour)); o != (Outcome{}) {
		t.Fatalf("a time-out of nothing: %+v", o)
	}
}

// Karn's algorithm: the back-off stays until a segment that was sent once is acknowledged; with timestamps
// any ACK of new data ends it (RFC 7323 section 4.1).
func TestKarn(t *testing.T) {
	for _, timestamps := range []bool{false, true} {
		x := tell(t, Config{SACK: true})
		x.s.SampleRTT(x.now, 100*ms)
		x.send(1000)
		x.timeout(300*ms, "lost 1000, entered")
		x.wantRTO(600 * ms)
		x.lost(mss, 0, 1000)
		x.advance(100 * ms)
		if timestamps {
			x.ackInfo(AckInfo{Ack: 1000, RTT: 100 * ms}, "acked 1000, exited, rtt 100ms")
			x.wantRTO(300 * ms)
			continue
		}
		x.ack(1000, nil, "acked 1000, exited")
		x.wantRTO(600 * ms)
		x.send(1000)
		x.advance(100 * ms)
		x.ack(2000, nil, "acked 1000, rtt 100ms")
		x.wantRTO(300 * ms)
	}
}

// RFC 6675 section 5.1: after a time-out what is SACKed stays SACKed, the rest goes again in order, and no
// recovery starts before the recovery point.
func TestTimeoutKeepsSACK(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(6000)
	x.advance(100 * ms)
	x.ack(0, sack(4000, 6000), "sacked 2000, rtt 100ms")
	x.timeout(900*ms, "lost 4000, entered")
	x.wantState(Loss)
	x.wantPipe(0)
	x.lost(mss, 0, 1000)
	x.advance(100 * ms)
	x.ack(1000, sack(4000, 6000), "acked 1000")
	x.lost(64_000, 1000, 4000)
	x.send(5000)
	x.ack(1000, sack(7000, 11_000, 4000, 6000), "sacked 4000, rtt 1ns") // 6000..7000 must wait
	x.lost(64_000, 0, 0)
	x.wantState(Loss)
	x.advance(100 * ms)
	x.ack(6000, sack(7000, 11_000), "acked 5000, delivered 3000, lost 1000, exited, entered")
	x.wantState(Recovery)
	x.lost(64_000, 6000, 7000)
}

// RFC 2018 section 8: a receiver may drop what it SACKed. If it does not acknowledge the byte at Una that it
// claimed to hold, or at the second time-out in a row, the claims are void.
func TestReneging(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(6000)
	x.advance(100 * ms)
	x.ack(0, sack(1000, 2000), "sacked 1000, rtt 100ms")
	x.ack(1000, nil, "acked 1000, rtt 100ms") // and not 2000
	x.timeout(x.s.RTO(), "lost 5000, reneged 1000, entered")
	x.lost(64_000, 1000, 6000)

	x = tell(t, Config{SACK: true})
	x.send(6000)
	x.advance(100 * ms)
	x.ack(0, sack(3000, 4000), "sacked 1000, rtt 100ms")
	x.timeout(900*ms, "lost 5000, entered")
	x.lost(mss, 0, 1000)
	x.timeout(x.s.RTO(), "lost 1000, reneged 1000")
	x.wantPipe(0)
	x.lost(64_000, 0, 6000)
}

// A path that turned out too narrow (RFC 8201 section 5.4): everything again, in smaller segments, without
// back-off; what follows is judged as after a time-out.
func TestMarkAllLost(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.s.MarkAllLost(x.now)
	x.wantIdle()
	x.s.SampleRTT(x.now, 100*ms)
	x.send(4000)
	x.advance(50 * ms)
	x.s.SetMSS(500)
	x.s.MarkAllLost(x.now)
	x.note("path MTU")
	x.wantState(Loss)
	x.wantPipe(0)
	x.wantRTO(300 * ms)
	x.wantUrgent(true)
	x.lost(64_000, 0, 4000)
	x.timeout(300*ms, "-") // still the same episode
}

// Silence after retransmissions: a time-out counts them as lost too (RFC 6298 (5.4), RFC 6582 section 3.2 step 4).
func TestTimeoutInRecovery(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(5000)
	x.advance(100 * ms)
	x.ack(0, sack(1000, 5000), "sacked 4000, lost 1000, entered, rtt 100ms")
	x.lost(mss, 0, 1000)
	x.timeout(900*ms, "entered")
	x.wantPipe(0)
	x.lost(mss, 0, 1000)
	x.ack(5000, nil, "acked 5000, delivered 1000, exited")
	x.wantIdle()
}

// An echoed timestamp or a sample that no path explains is not believed.
func TestWrongSamples(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.s.SampleRTT(x.now, time.Hour)
	x.s.SampleRTT(x.now, 0)
	x.s.SampleRTT(x.now, -1)
	x.wantRTO(time.Second)
}

func TestMinRTTForgets(t *testing.T) {
	var r RTT
	now := mono.Time(time.Hour)
	r.observe(now, 10*ms)
	r.observe(now.Add(9*time.Second), 50*ms)
	if r.MinRTT() != 10*ms {
		t.Fatal(r.MinRTT())
	}
	r.observe(now.Add(11*time.Second), 50*ms)
	if r.MinRTT() != 10*ms {
		t.Fatal("forgot too early:", r.MinRTT())
	}
	r.observe(now.Add(22*time.Second), 60*ms)
	if r.MinRTT() != 50*ms {
		t.Fatal("remembers too long:", r.MinRTT())
	}
}

// Ten thousand idle connections each hold one Sender.
func TestSize(t *testing.T) {
	if n := unsafe.Sizeof(Sender{}); n > 512 {
		t.Errorf("Sender is %d bytes", n)
	}
	if n := unsafe.Sizeof(burst{}); n != 24 {
		t.Errorf("burst is %d bytes", n)
	}
}

func TestSentAboveNextPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("a gap in the scoreboard went unnoticed")
		}
	}()
	var s Sender
	s.Init(Config{})
	s.Sent(1, 1, 2)
}

// A steady transfer, with and without loss, allocates nothing.
func TestNoAllocations(t *testing.T) {
	var s Sender
	s.Init(Config{MSS: mss, SACK: true})
	now := mono.Time(time.Hour)
	for range 40 {
		s.Sent(now, s.Next(), s.Next()+10*mss)
	}
	sacks := make([]stream.Range, 1)
	step := func() {
		now = now.Add(ms)
		lost := s.Una()
		for i := range int64(9) { // the first segment of ten is lost
			sacks[0] = stream.Range{From: lost + mss, To: lost + (2+i)*mss}
			s.Ack(now, AckInfo{Ack: lost, SACK: sacks})
		}
		r, ok := s.Retransmit(10 * mss)
		if !ok || r.From != lost || r.To != lost+mss {
			t.Fatal(r, ok, lost)
		}
		s.Sent(now, r.From, r.To)
		s.Ack(now, AckInfo{Ack: lost + 10*mss})
		s.Sent(now, s.Next(), s.Next()+10*mss)
	}
	for range 100 {
		step()
	}
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations per step", n)
	}
}
