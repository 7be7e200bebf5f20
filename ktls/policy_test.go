package ktls

import (
	"slices"
	"testing"
	"time"

	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

func TestRecordPolicy(t *testing.T) {
	w, _ := pair(t, AES128GCM)
	f := newFramer(t, ModeInline, w)
	f.SetPolicy(RecordPolicy{Small: 100, SmallBytes: 250, Large: 1000, Idle: time.Second})
	at := mono.Time(time.Hour)
	lens := func(n int) (l []int) {
		var q queue
		f.Touch(at)
		if err := f.Append(&q, []stream.Piece{{Data: make([]byte, n)}}); err != nil {
			t.Fatal(err)
		}
		for _, s := range q.spans {
			l = append(l, s.(*record).plain())
		}
		q.release()
		return l
	}
	want := func(got []int, want ...int) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Fatalf("records %v, want %v", got, want)
		}
	}
	want(lens(1500), 100, 100, 100, 1000, 200)
	at = at.Add(time.Second)
	want(lens(1500), 1000, 500) // exactly Idle is not longer than Idle
	at = at.Add(time.Second + 1)
	want(lens(150), 100, 50)
	want(lens(1500), 100, 1000, 400)

	d := RecordPolicy{Large: 1 << 20}.withDefaults()
	if d != DefaultPolicy {
		t.Fatalf("defaults %+v", d)
	}
	if n := w.keys.wireLen(DefaultPolicy.Small); n > 1500-40-20-12 {
		t.Fatalf("a small record of %d bytes does not fit a segment over IPv6 with timestamps", n)
	}
}

// A whole number of records fills a burst, where that needs no record of half the length.
func TestSegmentsOfARecord(t *testing.T) {
	for _, c := range []struct{ mss, burst, want int }{
		{1448, 44 * 1448, 11}, // 4 records of 15928 bytes
		{1448, 45 * 1448, 9},  // 5 of 13032
		{1460, 44 * 1460, 11},
		{1440, 45 * 1440, 9},
		{1448, 43 * 1448, 11}, // a prime number of segments
		{1448, 1448, 11},      // no superframes
		{1448, 0, 11},
		{8948, 7 * 8948, 1},
		{536, 122 * 536, 30}, // 61 is prime
		{65483, 65483, 0},    // several records in a segment: no use aligning them
	} {
		var r ramp
		r.policy = DefaultPolicy
		r.setSegment(c.mss, c.burst, 22)
		if int(r.segs) != c.want {
			t.Errorf("mss %d, burst %d: %d segments, want %d", c.mss, c.burst, r.segs, c.want)
		}
	}
}

// A sized framer reports the wire lengths of the records that it makes.
type sized struct {
	*sender
	seen int // records
}

func newSized(t *testing.T, suite Suite, mss, burst int) *sized {
	s := &sized{sender: newSender(t, suite, ModeInline, RecordPolicy{})}
	s.f.SetSegment(mss, burst)
	return s
}

// wire appends n bytes and returns the lengths of their records.
func (s *sized) wire(n int) (lens []int) {
	s.do(act{data: make([]byte, n), cuts: []int{n}})
	for _, span := range s.q.spans[s.seen:] {
		lens = append(lens, span.Len())
	}
	s.seen = len(s.q.spans)
	return lens
}

// sent lets TCP send all there is.
func (s *sized) sent() { s.book.Add(ledger.Sent, s.end()-int(s.book.Sum(ledger.Sent))) }

func wantLens(t *testing.T, got []int, want ...int) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("records of %v bytes, want %v", got, want)
	}
}

func TestRecordsFitSegments(t *testing.T) {
	for _, suite := range []Suite{AES128GCM, ECDHE_ECDSA_AES128GCM} {
		s := newSized(t, suite, 1448, 44*1448)
		over := s.f.keys.wireLen(0)
		wantLens(t, s.wire(5000), 5000+over) // a short response is one record
		s.sent()
		lens := s.wire(59_000)
		for i, n := range lens[:len(lens)-1] {
			if n != 1448 {
				t.Fatalf("record %d of a longer one has %d bytes, want a segment", i, n)
			}
		}
		s.f.ramp.state.sent = DefaultPolicy.SmallBytes // the start is over
		s.sent()
		// Full flow: 4 records fill a burst, 11 segments each; the rest ends where it ends.
		wantLens(t, s.wire(5*(11*1448-over)+3000), 15928, 15928, 15928, 15928, 15928, 3000+over)
		// TCP goes on behind it: one odd record, and the others are where segments are.
		odd := 11*1448 - (3000+over)%1448
		wantLens(t, s.wire(40_000), odd, 15928, 40_000-odd-15928+3*over)
		// When TCP had nothing left to send, it ended a segment there.
		s.sent()
		wantLens(t, s.wire(40_000), 15928, 15928, 40_000-2*15928+3*over)
		// A KeyUpdate shifts what follows; the next record makes up for it.
		s.sent()
		if suite.version() == TLS13 {
			s.do(act{update: true})
			s.seen++
			wantLens(t, s.wire(40_000), 15928-5-over, 15928, 40_000-2*15928+5+4*over)
		}
		// What is left fits into one record: it is not cut for the sake of a segment.
		s.sent()
		wantLens(t, s.wire(maxPlaintext), maxPlaintext+over)
		s.finish()
	}
}

// The place in the segment counts from the handshake on, and from the next silence of TCP if that was not over.
func TestAlignmentStartsWithTheFramer(t *testing.T) {
	s := newSized(t, AES128GCM, 1448, 44*1448)
	s.book = ledger.Book{}
	s.book.Add(ledger.Sent, 5000) // handshake
	s.f.SetBook(&s.book)
	s.f.ramp.state.sent = DefaultPolicy.SmallBytes
	wantLens(t, s.wire(20_000), 15928, 20_000-15928+2*22)
	wantLens(t, s.wire(20_000), 15928-(20_000-15928+2*22)%1448, 20_000+2*22-(15928-(20_000-15928+2*22)%1448))
	s.book.Add(ledger.Sent, 300+s.end()) // 300 bytes of it were still queued
	wantLens(t, s.wire(20_000), 15928, 20_000-15928+2*22)
	s.book.Add(ledger.Sent, s.end()-int(s.book.Sum(ledger.Sent))+5300-1)
	if s.f.align(); s.f.ramp.state.grid == 0 {
		t.Fatal("a byte is still queued")
	}
	s.book.Add(ledger.Sent, 1)
	if s.f.align(); s.f.ramp.state.grid != 0 {
		t.Fatal("nothing is queued any more")
	}
	s.finish()
}
