package recovery

import "testing"

// RFC 4653 section 3 with a window of 12 segments: DupThresh 8, and new data at half the speed.
func TestNCR(t *testing.T) {
	x := tell(t, Config{SACK: true, NCR: true})
	x.send(12_000)
	x.advance(40 * ms)
	room := func(want int64) {
		t.Helper()
		if got := 12_000 - x.s.Pipe(); got != want {
			t.Fatalf("room for %d, want %d", got, want)
		}
	}
	x.ack(0, sack(1000, 2000), "sacked 1000, rtt 40ms")
	room(1000) // equation (1) holds
	x.send(1000)
	room(-1000) // (E.3), (E.4)
	x.ack(0, sack(1000, 3000), "sacked 1000, rtt 40ms")
	room(0) // skipped
	x.ack(0, sack(1000, 4000), "sacked 1000, rtt 40ms")
	room(1000)
	x.send(1000)
	x.ack(0, sack(1000, 9000), "sacked 5000, rtt 40ms") // eight; FlightSize is 14 segments now, two thirds are 9
	x.wantState(Disorder)
	room(4000)

	// Section 3.2: the late segment arrives, and normal sending goes on at once.
	x.ack(9000, nil, "acked 9000, delivered 1000, rtt 40ms")
	x.wantState(Open)
	x.wantPipe(5000)

	// A real loss: 9 of the 14 segments in flight.
	x.send(9000)
	x.ack(9000, sack(10_000, 18_000), "sacked 8000, rtt 1ns")
	x.wantState(Disorder)
	x.ack(9000, sack(10_000, 19_000), "sacked 1000, lost 1000, entered, rtt 1ns")
	x.lost(64_000, 9000, 10_000)
	x.wantPipe(5000) // and nothing is skipped in recovery
}

// Section 3: it needs SACK; and small windows have the DupThresh of three.
func TestNCRLimits(t *testing.T) {
	x := tell(t, Config{NCR: true})
	x.send(12_000)
	x.ack(0, nil, "delivered 1000")
	x.ack(0, nil, "delivered 1000")
	x.ack(0, nil, "delivered 1000, lost 1000, entered")

	x = tell(t, Config{SACK: true, NCR: true})
	x.send(4000)
	x.advance(ms)
	x.ack(0, sack(1000, 3000), "sacked 2000, rtt 1ms")
	x.ack(0, sack(1000, 4000), "sacked 1000, lost 1000, entered, rtt 1ms")

	x = tell(t, Config{SACK: true, NCR: true}) // small segments: by ACKs
	x.send(4000)
	x.advance(ms)
	for i := range int64(2) {
		x.ack(0, sack(1000, 1010+10*i), "sacked 10, rtt 1ms")
	}
	x.ack(0, sack(1000, 1030), "sacked 10, lost 1000, entered, rtt 1ms")
}

// RFC 3042: each of the first two duplicate ACKs makes room for one new segment, with SACK and without.
func TestLimitedTransmit(t *testing.T) {
	for _, c := range []Config{{}, {SACK: true}, {SACK: true, Detector: DetectorRACK}} {
		x := tell(t, c)
		x.s.SampleRTT(x.now, 40*ms)
		x.send(10_000)
		x.advance(40 * ms)
		for i := range int64(2) {
			x.s.Ack(x.now, AckInfo{IsDup: true, SACK: blocks(sack(1000, 2000+1000*i))})
			x.note("duplicate %d", i+1)
			x.wantPipe(9000)
			x.send(1000) // "cwnd MUST NOT be changed"
		}
		x.wantState(Disorder)
		x.s.Ack(x.now, AckInfo{IsDup: true, SACK: blocks(sack(1000, 4000))})
		x.wantState(Recovery)
	}
}

// Reordering without loss: the base with NCR sends far less again than without.
func TestPathNCR(t *testing.T) {
	var needless [2]int
	for seed := range uint64(10) {
		for i := range needless {
			p := newPath(seed, true, 2_000_000)
			p.s.Init(Config{MSS: mss, SACK: true, NCR: i == 1})
			p.reorder = 0.05
			p.run(t)
			needless[i] += len(p.needless)
		}
	}
	t.Logf("sent again needlessly: %d without NCR, %d with", needless[0], needless[1])
	if needless[0] < 100 || needless[1] > needless[0]/20 {
		t.Errorf("sent again needlessly: %d without NCR, %d with", needless[0], needless[1])
	}
	for seed := range uint64(20) { // and over any path everything arrives
		p := newPath(seed, true, 500_001)
		p.s.Init(Config{MSS: mss, SACK: true, NCR: true, Undo: true})
		p.loss, p.reorder, p.dup, p.dsack = float64(seed%5)*0.03, float64(seed%3)*0.05, float64(seed%7)*0.02, true
		p.run(t)
	}
}
