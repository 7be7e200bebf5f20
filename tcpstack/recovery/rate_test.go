package recovery

import (
	"fmt"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
)

// rated delivers an ACK and compares the sample of the delivery rate.
func (x *story) rated(ack int64, sacks []int64, want string) {
	x.Helper()
	o := x.s.Ack(x.now, AckInfo{Ack: ack, SACK: blocks(sacks), IsDup: ack == x.s.Una()})
	r := o.Rate
	got := fmt.Sprintf("%d-%d in %v, of %d", r.Delivered, r.PriorDelivered, r.Interval, r.TxInFlight)
	if r.Lost != 0 {
		got += fmt.Sprintf(", lost %d", r.Lost)
	}
	if r.AppLimited {
		got += ", app"
	}
	x.note("ack %d %v: %s", ack, sacks, got)
	if got != want {
		x.Fatalf("\n got %s\nwant %s", got, want)
	}
}

// draft-cheng-iccrg-delivery-rate-estimation section 2: the rate is what was delivered over the longer of the
// send and the ACK phase.
func TestRateOfWindows(t *testing.T) {
	x := tell(t, Config{SACK: true, Rate: true})
	x.send(4000)
	x.advance(40 * ms)
	x.rated(2000, nil, "2000-0 in 40ms, of 2000") // a part of the burst: as if the rest had left after it
	x.send(2000)
	x.advance(10 * ms)
	x.rated(4000, nil, "4000-0 in 50ms, of 4000") // the rest: more bytes in more time, not in the same
	x.send(3000)
	x.advance(30 * ms)
	x.rated(6000, nil, "6000-2000 in 40ms, of 4000") // sent after the ACK of 2000
	x.advance(10 * ms)
	x.rated(9000, nil, "9000-4000 in 50ms, of 5000") // since the burst that the ACK before was about had left
	x.wantIdle()

	// Section 3.2: after a silence the interval begins with the next transmission.
	x.advance(time.Minute)
	x.send(1000)
	x.advance(40 * ms)
	x.rated(10000, nil, "10000-9000 in 40ms, of 1000")
}

// Section 2.2: ACKs that come in one heap after a slow send do not look fast: the send phase counts.
func TestRateCompressedACKs(t *testing.T) {
	x := tell(t, Config{SACK: true, Rate: true})
	for range 5 {
		x.send(1000)
		x.advance(20 * ms)
	}
	x.rated(1000, nil, "1000-0 in 100ms, of 1000")
	x.rated(2000, nil, "2000-0 in 100ms, of 2000")
	x.send(1000)
	x.advance(40 * ms)
	x.rated(5000, nil, "5000-0 in 140ms, of 5000")
	// Sent right after the ACK of 2000, whose segment had left at 20 ms: 80 ms before.
	x.rated(6000, nil, "6000-2000 in 80ms, of 4000")
}

// Parts of a burst that SACKs split off share its stamp, whatever their order, and no byte counts twice.
func TestRateSplitBurst(t *testing.T) {
	x := tell(t, Config{SACK: true, Rate: true})
	x.send(10_000)
	x.advance(40 * ms)
	x.rated(0, sack(2000, 4000), "2000-0 in 40ms, of 4000")
	x.advance(ms)
	x.rated(0, sack(6000, 7000, 2000, 4000), "3000-0 in 41ms, of 7000, lost 2000")
	x.advance(ms)
	x.rated(2000, sack(6000, 7000), "5000-0 in 42ms, of 2000, lost 2000")
	x.rated(2000, sack(6000, 7000), "5000-0 in 0s, of 0") // nothing new
	x.advance(ms)
	x.rated(10_000, nil, "10000-0 in 43ms, of 10000, lost 2000")
}

// C.lost and P.lost of draft-ietf-ccwg-bbr section 4.1: what was judged lost during the flight. A retransmission
// is a transmission of its own; one that comes back sooner than a round trip gives no rate.
func TestRateLossAndRetransmission(t *testing.T) {
	x := tell(t, Config{SACK: true, Rate: true})
	x.send(10_000)
	x.advance(40 * ms)
	x.rated(0, sack(1000, 6000), "5000-0 in 40ms, of 6000, lost 1000")
	x.lost(1000, 0, 1000)
	x.advance(40 * ms)
	x.send(1000)
	x.rated(10_000, nil, "10000-5000 in 40ms, of 5000") // the retransmission is the newest
	x.advance(40 * ms)
	x.rated(11_000, nil, "11000-5000 in 80ms, of 6000")

	x = tell(t, Config{SACK: true, Rate: true}) // both were only late
	x.send(10_000)
	x.advance(40 * ms)
	x.rated(0, sack(1000, 2000, 3000, 8000), "6000-0 in 40ms, of 8000, lost 2000")
	x.lost(1000, 0, 1000)
	x.advance(ms)
	x.rated(2000, sack(3000, 8000), "7000-6000 in 40ms, of 3000") // its send phase saves it
	x.lost(1000, 2000, 3000)
	x.advance(ms)
	x.rated(8000, nil, "8000-7000 in 0s, of 3000")

	x = tell(t, Config{SACK: true, Rate: true})
	x.send(3000)
	x.timeout(time.Second, "lost 3000, entered")
	x.lost(1000, 0, 1000)
	x.advance(40 * ms)
	x.rated(1000, nil, "1000-0 in 1.04s, of 1000") // the loss came before the retransmission
	x = tell(t, Config{SACK: true, Rate: true, Detector: DetectorRACK})
	x.s.SampleRTT(x.now, 40*ms)
	x.send(1000)
	x.send(3000)
	x.advance(40 * ms)
	x.rated(0, sack(1000, 2000), "1000-0 in 40ms, of 2000")
	x.s.Timeout(x.s.Deadline()) // the reordering window is over
	x.now = x.s.Deadline()
	x.rated(0, sack(1000, 3000), fmt.Sprintf("2000-0 in %v, of 3000, lost 1000", x.now.Sub(mono.Time(time.Hour))))
}

// Section 3.4: from the moment that the sender runs dry until what is in flight then has arrived, samples are
// lower bounds; with lost bytes to send it is not dry.
func TestRateAppLimited(t *testing.T) {
	x := tell(t, Config{SACK: true, Rate: true})
	x.send(2000)
	x.s.AppLimited()
	x.send(1000)
	x.advance(40 * ms)
	x.rated(2000, nil, "2000-0 in 40ms, of 2000") // left before
	x.send(1000)
	x.rated(3000, nil, "3000-0 in 40ms, of 3000, app")
	x.send(1000) // 2000 are through: the bubble is gone
	x.advance(40 * ms)
	x.rated(4000, nil, "4000-2000 in 40ms, of 2000, app")
	x.rated(5000, nil, "5000-3000 in 40ms, of 2000")

	x.send(5000)
	x.advance(40 * ms)
	x.rated(5000, sack(6000, 9000), "8000-5000 in 40ms, of 4000, lost 1000")
	x.s.AppLimited() // no: 1000 are to be sent again
	x.lost(1000, 5000, 6000)
	x.advance(40 * ms)
	x.rated(10_000, nil, "10000-8000 in 40ms, of 2000")
}

// SetRate on a live connection: what is in flight gives no sample, what follows does; off and on again as well.
func TestSetRate(t *testing.T) {
	x := tell(t, Config{SACK: true})
	for range 3 {
		x.send(2000)
		x.s.SetRate(true)
		x.s.SetRate(true)
		x.send(1000)
		x.advance(40 * ms)
		una := x.s.Una()
		x.rated(una+2000, nil, "2000-0 in 0s, of 0")
		x.rated(una+3000, nil, "3000-0 in 40ms, of 3000")
		x.send(1000)
		x.s.SetRate(false)
		x.rated(una+4000, nil, "0-0 in 0s, of 0")
	}
}

// Without SACK duplicate ACKs count as delivered bytes, and the ACK that covers them does not again.
func TestRateWithoutSACK(t *testing.T) {
	x := tell(t, Config{Rate: true})
	x.send(5000)
	x.advance(40 * ms)
	x.rated(0, nil, "1000-0 in 0s, of 0")
	x.rated(0, nil, "2000-0 in 0s, of 0")
	x.advance(10 * ms)
	x.rated(5000, nil, "5000-0 in 50ms, of 5000")
}

// On a path of a constant rate each sample is that rate at most (but for the rounding of one segment), and with
// a full window not less.
func TestRateOnPath(t *testing.T) {
	for _, d := range []Detector{DetectorBase, DetectorRACK} {
		for _, loss := range []float64{0, 0.02} {
			p := with(11, 3_000_000, d, true)
			p.s.SetRate(true)
			p.loss, p.rate = loss, 1_000_000
			p.run(t)
			if p.samples < 500 || p.highest > 1_000_000*101/100 {
				t.Errorf("%v, loss %v: %d samples up to %.0f B/s", d, loss, p.samples, p.highest)
			}
			if loss == 0 && p.highest < 1_000_000*99/100 {
				t.Errorf("%v: no more than %.0f B/s", d, p.highest)
			}
		}
	}
}

// The ring grows with the scoreboard, overwrites nothing that is in flight without loss, and goes away.
func TestRateRing(t *testing.T) {
	var s Sender
	s.Init(Config{MSS: mss, SACK: true, Rate: true})
	s.delivery.newest = 1<<32 - 100 // numbers wrap around
	now := mono.Time(time.Hour)
	for range 1000 {
		now = now.Add(ms)
		s.Sent(now, s.Next(), s.Next()+mss)
	}
	for i := range int64(1000) {
		now = now.Add(ms)
		o := s.Ack(now, AckInfo{Ack: (i + 1) * mss})
		if o.Rate.TxInFlight != (i+1)*mss || o.Rate.Interval != time.Duration(1000+i)*ms {
			t.Fatalf("segment %d: %+v", i, o.Rate)
		}
	}
	if s.delivery.ring != nil {
		t.Error("memory with nothing in flight")
	}
	for range 2 * maxStamps { // more than there may be: the old ones give no sample
		now = now.Add(ms)
		s.Sent(now, s.Next(), s.Next()+1)
		s.Sent(now, s.Next()-1, s.Next())
	}
	if n := len(s.delivery.ring); n > maxStamps {
		t.Error(n, "stamps")
	}
	if o := s.Ack(now, AckInfo{Ack: s.Una() + 1}); o.Rate.TxInFlight != 0 {
		t.Errorf("%+v", o.Rate)
	}
}

func TestRateAllocs(t *testing.T) {
	s, now := benchSender(DetectorRACK, 64)
	s.SetRate(true)
	round := func() {
		now += 1000
		s.Sent(now, s.Next(), s.Next()+benchBurst)
		s.AppLimited()
		s.Ack(now, AckInfo{Ack: s.Una() + benchBurst})
	}
	for range 200 {
		round()
	}
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Error(n, "allocations")
	}
}

// A ring that grows knows no more than it did: a number that it had dropped stays dropped, whatever the memory held
// before. A segment that comes late, after its stamp was gone, gives no sample.
func TestRateRingForgets(t *testing.T) {
	var pool Pool
	used := pool.rings().get(2 * minStamps)[:2*minStamps]
	for i := range used { // of a connection that has ended
		used[i] = stamp{delivered: 1, deliveredTime: mono.Time(time.Hour), firstSent: mono.Time(time.Hour)}
	}
	pool.rings().put(used)
	x := tell(t, Config{SACK: true, Rate: true, Pool: &pool})
	x.send(1000) // number 1, which is late
	for range minStamps + 2 {
		x.send(1000)
		x.advance(ms)
		x.s.Ack(x.now, AckInfo{SACK: blocks(sack(1000, x.s.Next()))})
	}
	for range 10 { // the ring of 16 becomes one of 32
		x.send(1000)
	}
	if n := len(x.s.delivery.ring); n != 2*minStamps {
		t.Fatalf("a ring of %d", n)
	}
	x.advance(ms)
	if r := x.s.Ack(x.now, AckInfo{Ack: 1000}).Rate; r.TxInFlight != 0 {
		t.Errorf("a sample of a stamp that is gone: %+v", r)
	}
}
