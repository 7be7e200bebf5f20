package recovery

import (
	"math/rand/v2"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// FuzzHostile lets a peer say anything: blocks anywhere, D-SACKs of what never came twice, timestamps of
// any time. Sums and timers stay consistent, Pipe stays within what was sent, and what was sent gets through
// in the end, with each detector and a change of it under way.
func FuzzHostile(f *testing.F) {
	f.Add([]byte{1, 0, 40, 0, 40, 1, 1, 10, 20, 0, 3, 50, 3, 50, 1, 0, 100, 9})
	f.Add([]byte{0, 0, 90, 6, 0, 7, 9, 6, 0, 3, 9, 1, 9, 1, 0, 30, 5, 6, 0, 6, 0, 8, 1, 4, 4})
	// An undo takes back the loss of a copy, whose time is later than that of what stands above it.
	f.Add([]byte("002000002\xed00002\xd802\xeb0!00001000000000z0000000000017x0111200z000000000Xc0!00000010"))
	// The detector changes back and forth within an instant of which it had taken several nanoseconds.
	f.Add([]byte("00000200000000000000z000000000000000000000000000000110000000000000000000000000000000000000000000000000000000z0000000000000000000000002002\xd70000z00001 000000002a0000000000000000270200000000000000z00008000z00008 \xca00002\xbd0z000010000000007x0700700!\x9b00000000000!000000000000100110z0000000000007"))
	f.Fuzz(hostileSurvives)
}

func hostileSurvives(t *testing.T, ops []byte) {
	arg := func() int64 {
		if len(ops) == 0 {
			return 0
		}
		v := int64(ops[0])
		ops = ops[1:]
		return v
	}
	var s Sender
	flags := arg()
	s.Init(Config{MSS: 10, SACK: flags&2 == 0, Detector: Detector(flags & 1), Undo: flags&4 == 0, RTORestart: flags&8 == 0})
	now := mono.Time(time.Hour)
	var short int // transmissions of less than a segment: the entries that these cut are not the peer's doing
	send := func(from, to int64) {
		if to-from < int64(s.mss) {
			short += 2
		}
		s.Sent(now, from, to)
	}
	for n := 0; len(ops) > 0 && n < 300; n++ {
		now = now.Add(time.Duration(arg()%16) * time.Millisecond)
		switch op := arg() % 10; op {
		case 0, 1:
			if s.Flight() < 4000 {
				send(s.Next(), s.Next()+arg()+1)
			}
		case 2, 3, 4:
			a := AckInfo{Ack: s.Una() + (arg()-8)*(op-2), IsDup: op == 2, Unsent: arg(), RTT: time.Duration(arg()) * time.Millisecond}
			a.Echo = now.Add(-time.Duration(arg()) * 4 * time.Millisecond)
			for range arg() % 5 {
				from := s.Una() + arg()*8 - 100
				a.SACK = append(a.SACK, stream.Range{From: from, To: from + arg() - 2})
			}
			o := s.Ack(now, a)
			if o.Acked < 0 || o.Sacked < 0 || o.Delivered < 0 || o.Lost < o.LostAgain || o.LostAgain < 0 || o.DSACK.To > s.Next() {
				t.Fatalf("%+v", o)
			}
		case 5, 6:
			if r, ok := s.Retransmit(arg() + 1); ok {
				send(r.From, r.To)
			} else if r, ok := s.Rescue(arg() + 1); ok {
				send(r.From, r.To)
			}
		case 7, 8:
			now = max(now, min(s.Deadline(), now.Add(2*time.Minute)))
			expire(t, &s, now)
			if r, _ := s.Probe(arg() - 100); r.To > 0 {
				send(r.From, r.To)
			}
		case 9:
			s.SetDetector(Detector(arg() & 1))
		}
		if err := recount(&s); err != nil {
			t.Fatalf("op %d: %v", n, err)
		}
		if s.Pipe() < 0 || s.Pipe() > 2*s.Flight() || s.board.len() > s.maxEntries()+4+short {
			t.Fatalf("op %d: pipe %d of %d, %d entries", n, s.Pipe(), s.Flight(), s.board.len())
		}
	}
	getThrough(t, &s, now)
}

// expire is Timeout, after which the reordering timer is off or has moved on: else its caller's loop would never end.
func expire(t *testing.T, s *Sender, now mono.Time) Timer {
	at := s.Deadline()
	kind := s.Timeout(now).Kind
	if kind == TimerReorder && s.aux <= at {
		t.Fatalf("the reordering timer of %d is set to %d: for ever", at, s.aux)
	}
	return kind
}

// getThrough is a peer that has become honest and takes one segment per time-out.
func getThrough(t *testing.T, s *Sender, now mono.Time) {
	for range 200 + 4*s.Flight() {
		if s.Flight() == 0 {
			return
		}
		now = max(now, s.Deadline())
		if expire(t, s, now) != TimerRTO {
			continue
		}
		r, ok := s.Retransmit(100)
		if !ok {
			t.Fatalf("a time-out with %d in flight and nothing to retransmit", s.Flight())
		}
		s.Sent(now, r.From, r.To)
		s.Ack(now, AckInfo{Ack: max(r.To, s.Una())})
	}
	t.Fatal("not through")
}

func TestRandomHostile(t *testing.T) {
	rng := rand.New(rand.NewPCG(2883, 3522))
	for range 250 {
		ops := make([]byte, rng.IntN(400))
		for i := range ops {
			ops[i] = byte(rng.Uint32() >> (rng.Uint32() % 6) & 0xff)
		}
		hostileSurvives(t, ops)
	}
}

// A peer that D-SACKs everything widens the reordering window to one SRTT and no further; when it stops,
// 16 recoveries take it back (TestRACKWindowAdapts).
func TestHostileDSACK(t *testing.T) {
	x := fast(t)
	x.s.rack.seen = true
	for range 300 {
		x.s.Sent(x.now, x.s.Next(), x.s.Next()+mss)
		x.advance(100 * ms)
		x.s.Ack(x.now, AckInfo{Ack: x.s.Next(), SACK: blocks(sack(x.s.Una(), x.s.Next()))})
	}
	if w := x.s.reoWnd(); w != x.s.rtt.SRTT() || x.s.rack.mult != 255 {
		t.Fatalf("window %v, multiplier %d", w, x.s.rack.mult)
	}
}

// A peer that SACKs every second byte costs RACK a bounded number of entries (see TestHostileSACK), and
// what it believes is still repaired.
func TestHostileSACKWithRACK(t *testing.T) {
	var s Sender
	s.Init(Config{MSS: mss, SACK: true, Detector: DetectorRACK, Undo: true})
	now := mono.Time(time.Hour)
	for range 100 {
		s.Sent(now, s.Next(), s.Next()+64*mss)
	}
	now = now.Add(ms)
	limit := int(64 + s.Flight()/mss)
	for at := int64(1); at+6 < s.Next(); at += 8 {
		s.Ack(now, AckInfo{SACK: []stream.Range{{From: at + 6, To: at + 7}, {From: at + 4, To: at + 5}, {From: at + 2, To: at + 3}, {From: at, To: at + 1}}})
		if n := s.board.len(); n > limit {
			t.Fatalf("%d entries with %d segments in flight", n, s.Flight()/mss)
		}
		if r, ok := s.Retransmit(mss); ok && at%64 == 1 {
			s.Sent(now, r.From, r.To)
		}
	}
	if err := recount(&s); err != nil {
		t.Fatal(err)
	}
	getThrough(t, &s, now)
}

// A steady transfer with RACK allocates nothing: losses, their retransmissions, timers, probes, D-SACKs.
func TestNoAllocationsRACK(t *testing.T) {
	var s Sender
	s.Init(Config{MSS: mss, SACK: true, Detector: DetectorRACK, Undo: true, RTORestart: true})
	now := mono.Time(time.Hour)
	for range 40 {
		s.Sent(now, s.Next(), s.Next()+10*mss)
	}
	sacks := make([]stream.Range, 1)
	step := func() {
		now = now.Add(ms)
		una := s.Una()
		for i := range int64(9) { // the first segment of ten is lost
			sacks[0] = stream.Range{From: una + mss, To: una + (2+i)*mss}
			s.Ack(now, AckInfo{Ack: una, SACK: sacks})
		}
		if s.State() != Recovery {
			now = s.Deadline()
			s.Timeout(now)
		}
		r, ok := s.Retransmit(10 * mss)
		if !ok || r.From != una || r.To != una+mss {
			t.Fatal(r, ok, una)
		}
		s.Sent(now, r.From, r.To)
		s.Ack(now, AckInfo{Ack: una + 10*mss, Echo: now})
		sacks[0] = stream.Range{From: una, To: una + mss}
		s.Ack(now, AckInfo{Ack: una + 10*mss, SACK: sacks})
		s.Sent(now, s.Next(), s.Next()+10*mss)
	}
	for range 100 {
		step()
	}
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations per step", n)
	}
}
