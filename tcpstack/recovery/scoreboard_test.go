package recovery

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// FuzzScoreboard holds the deque against a slice.
func FuzzScoreboard(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 0, 2, 0, 0, 2, 9, 7, 1, 1})
	f.Add([]byte("the deque moves whichever side is shorter, and closes the gap in front"))
	f.Fuzz(dequeAgainstSlice)
}

func dequeAgainstSlice(t *testing.T, ops []byte) {
	var b scoreboard
	var want []burst
	var id int64
	fresh := func() burst { id++; return burst{end: id} }
	next := func(n int) int {
		if len(ops) == 0 || n == 0 {
			return 0
		}
		v := int(ops[0]) % n
		ops = ops[1:]
		return v
	}
	for len(ops) > 0 {
		switch next(4) {
		case 0, 1:
			e := fresh()
			b.push(e)
			want = append(want, e)
		case 2:
			k := next(min(len(want), 3) + 1)
			b.pop(k)
			want = slices.Clone(want[k:])
		case 3:
			i := next(len(want) + 1)
			j := i + next(min(len(want)-i, 4)+1)
			with := make([]burst, next(4))
			for k := range with {
				with[k] = fresh()
			}
			b.splice(i, j, with...)
			want = slices.Replace(want, i, j, with...)
		}
		if !slices.Equal(b.all(), want) || b.len() != len(want) {
			t.Fatalf("got %v\nwant %v", b.all(), want)
		}
		if b.pop(0); len(want) == 0 && b.heap != nil {
			t.Fatal("empty, and holds memory")
		}
	}
}

// A Sender may be copied while a few entries are in flight: it has no pointer into itself.
func TestSenderMayBeCopied(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(1000)
	x.send(1000)
	c := x.s
	c.Sent(x.now, 2000, 3000)
	x.advance(ms)
	x.ack(2000, nil, "acked 2000, rtt 1ms")
	if c.Flight() != 3000 || recount(&c) != nil {
		t.Fatal("the copy changed with the original")
	}
}

// SACK of every second byte (the kind of CVE-2019-11477): entries stay in proportion to the segments in
// flight, an ACK stays cheap, and recovery still works on what was believed.
func TestHostileSACK(t *testing.T) {
	var s Sender
	s.Init(Config{MSS: mss, SACK: true})
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
	}
	if err := recount(&s); err != nil {
		t.Fatal(err)
	}
	if s.State() != Recovery {
		t.Fatal(s.State())
	}
	// Whole entries are still taken, cut or not: an honest SACK of the rest merges everything again.
	s.Ack(now, AckInfo{SACK: []stream.Range{{From: 1, To: s.Next()}}})
	if n := s.board.len(); n > 2 {
		t.Fatalf("%d entries after all but one byte is SACKed", n)
	}
	for s.Flight() > 0 {
		r, ok := s.Retransmit(1 << 20)
		if !ok {
			t.Fatal("nothing to retransmit")
		}
		s.Sent(now, r.From, r.To)
		s.Ack(now, AckInfo{Ack: s.Next()})
	}
}

// Tiny bursts join the last entry when there are too many, and nothing is lost track of.
func TestManyBursts(t *testing.T) {
	var s Sender
	s.Init(Config{MSS: mss, SACK: true})
	for i := range mono.Time(3 * maxBursts) {
		s.Sent(1+i, s.Next(), s.Next()+mss)
	}
	if n := s.board.len(); n != maxBursts {
		t.Fatalf("%d entries", n)
	}
	if err := recount(&s); err != nil {
		t.Fatal(err)
	}
	s.Ack(1<<30, AckInfo{Ack: s.Next()})
	if s.board.heap != nil {
		t.Fatal("memory with nothing in flight")
	}
}

// BenchmarkAck is an ACK of one segment in three situations, with little and much in flight: the cost must
// not follow the amount.
func BenchmarkAck(b *testing.B) {
	for _, flight := range []struct {
		name   string
		bursts int
	}{{"1MiB", 16}, {"16MiB", 256}, {"256MiB", 4096}} {
		for _, d := range []Detector{DetectorBase, DetectorRACK} {
			name := "/" + d.String() + "/" + flight.name
			b.Run("order"+name, func(b *testing.B) { benchOrder(b, d, flight.bursts) })
			b.Run("recovery"+name, func(b *testing.B) { benchRecovery(b, d, flight.bursts) })
			b.Run("holes"+name, func(b *testing.B) { benchHoles(b, d, flight.bursts) })
			b.Run("scattered"+name, func(b *testing.B) { benchScattered(b, d, flight.bursts) })
		}
	}
}

const benchBurst = 45 * 1448

func benchSender(d Detector, bursts int) (*Sender, mono.Time) {
	s := new(Sender)
	s.Init(Config{MSS: 1448, SACK: true, Detector: d, Undo: d == DetectorRACK})
	now := mono.Time(time.Hour)
	for range bursts {
		s.Sent(now, s.Next(), s.Next()+benchBurst)
	}
	return s, now
}

// benchOrder: two segments acknowledged, a burst sent whenever one is through.
func benchOrder(b *testing.B, d Detector, bursts int) {
	s, now := benchSender(d, bursts)
	target := s.Flight()
	b.ReportAllocs()
	b.SetBytes(2 * 1448)
	for b.Loop() {
		now += 1000
		s.Ack(now, AckInfo{Ack: s.Una() + 2*1448})
		if s.Flight() <= target-benchBurst {
			s.Sent(now, s.Next(), s.Next()+benchBurst)
		}
	}
}

// benchRecovery: a hole at the front, and each ACK SACKs two segments more; after a window it heals.
func benchRecovery(b *testing.B, d Detector, bursts int) {
	s, now := benchSender(d, bursts)
	target := s.Flight()
	block := make([]stream.Range, 1)
	at := s.Una() + 1448
	b.ReportAllocs()
	b.SetBytes(2 * 1448)
	for b.Loop() {
		now += 1000
		block[0] = stream.Range{From: s.Una() + 1448, To: at + 2*1448}
		at = block[0].To
		if at > s.Next()-benchBurst {
			s.Ack(now, AckInfo{Ack: at})
			at = s.Una() + 1448
		} else {
			s.Ack(now, AckInfo{Ack: s.Una(), SACK: block})
		}
		if r, ok := s.Retransmit(benchBurst); ok {
			s.Sent(now, r.From, r.To)
		}
		for s.Pipe() < target-benchBurst {
			s.Sent(now, s.Next(), s.Next()+benchBurst)
		}
	}
}

// benchHoles: one segment of a hundred is lost all through the window and retransmitted at once; the
// retransmissions come back a window later.
func benchHoles(b *testing.B, d Detector, bursts int) {
	const every = 100 * 1448
	s, now := benchSender(d, bursts)
	target := s.Flight()
	block := make([]stream.Range, 1)
	at := s.Una() // SACKed up to here, but for the holes
	hole := at    // the first that is not repaired
	b.ReportAllocs()
	b.SetBytes(2 * 1448)
	for b.Loop() {
		now += 1000
		from := at
		if from%every == 0 {
			from += 1448
		}
		at += 2 * 1448
		block[0] = stream.Range{From: from, To: at}
		ack := s.Una()
		if at-hole > target/2 { // its retransmission arrives
			hole += every
			ack = hole
		}
		s.Ack(now, AckInfo{Ack: ack, SACK: block})
		if r, ok := s.Retransmit(benchBurst); ok {
			s.Sent(now, r.From, r.To)
		}
		for s.Next() < at+target/2 {
			s.Sent(now, s.Next(), s.Next()+benchBurst)
		}
	}
	if s.board.len() > 3*bursts+64 {
		b.Fatal(s.board.len())
	}
}

// benchScattered: segments are SACKed in random places all over the window.
func benchScattered(b *testing.B, d Detector, bursts int) {
	s, now := benchSender(d, bursts)
	rng := rand.New(rand.NewPCG(1, 2))
	block := make([]stream.Range, 1)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		at := s.Una() + 1448*(1+rng.Int64N(s.Flight()/1448-2))
		block[0] = stream.Range{From: at, To: at + 1448}
		s.Ack(now, AckInfo{Ack: s.Una(), SACK: block})
		if n++; n%4096 == 0 {
			b.StopTimer()
			s, now = benchSender(d, bursts)
			b.StartTimer()
		}
	}
}
