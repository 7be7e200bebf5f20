package ktls

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"ocaserve/ktls/offload"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/stream"
)

// longBody is a script of one body, cut as a transfer that asks Whole cuts it, and its wire image.
func longBody(t *testing.T, n int) (body []byte, wire []byte) {
	body = randomBytes(rand.New(rand.NewPCG(9, 9)), n)
	return body, reference(t, AES128GCM, RecordPolicy{SmallBytes: -1, Large: 4000}, []act{{data: body, cuts: []int{n}}})
}

// newLoaded is a sender in mode nic with a body queued, of which the plaintext lies in pieces of 20,000 bytes.
func newLoaded(t *testing.T, body, wire []byte) *sender { return newLoadedBy(t, body, wire, 20_000) }

func newLoadedBy(t *testing.T, body, wire []byte, piece int) *sender {
	s := newSender(t, AES128GCM, ModeNIC, RecordPolicy{SmallBytes: -1, Large: 4000})
	s.want = wire
	var cuts []int
	for left := len(body); left > 0; left -= cuts[len(cuts)-1] {
		cuts = append(cuts, min(left, piece))
	}
	s.do(act{data: body, cuts: cuts})
	return s
}

// What goes to the interface is coupled by sixteens, or as many records as lie in four parts; a short record may end a
// train, and a single one is none.
func TestTrains(t *testing.T) {
	body, wire := longBody(t, 101_000) // 25 records and a quarter
	for piece, want := range map[int][]int{20_000: {16, 10}, 7000: {7, 7, 7, 5}, 1500: append(slices.Repeat([]int{1}, 24), 2)} {
		s := newLoadedBy(t, body, wire, piece)
		var got []int
		for _, span := range s.q.spans {
			if tr, ok := span.(*train); ok {
				got = append(got, int(tr.n))
			} else {
				got = append(got, 1)
			}
		}
		wantLens(t, got, want...)
		if n := s.book.Sum(ledger.Records); n != 26 {
			t.Errorf("%d records booked, want 26", n)
		}
		s.frame(0, s.end())
		s.ack(s.end())
		if st := s.f.pool.Stats(); st.Offloaded != 26 || st.Records != 0 {
			t.Errorf("%+v", st)
		}
		s.finish()
	}
}

// In full flow records are cut by arithmetic: as they are one by one, wherever the end of what waits is near.
func TestRow(t *testing.T) {
	const over = 22
	for _, large := range []int{maxPlaintext, 15_906, 15_907, 8000} {
		r := ramp{policy: RecordPolicy{SmallBytes: -1, Large: large}.withDefaults()}
		r.setSegment(1448, 44*1448, over)
		size := r.steady(over)
		if size == 0 {
			t.Fatalf("records of %d bytes are not steady", large)
		}
		for left := 1; left < 20*size; left += 1 + left%97 {
			for _, near := range []int{left, left / 2, min(left, 3*size)} {
				byOne, row := r, r
				n, last, total := 0, size, 0
				for n < maxTrain && total < left {
					before := byOne.state
					next := byOne.next(left-total, over)
					if next > size || total+next > near {
						byOne.state = before
						break
					}
					byOne.framed(next + over)
					n, last, total = n+1, next, total+next
				}
				gotN, gotSize, gotLast := row.row(left, near, maxTrain, over)
				if gotN != n || n > 0 && (gotSize != size || gotLast != last || row.state != byOne.state) {
					t.Fatalf("large %d, %d bytes wait, %d near: %d of %d, last %d; one by one %d of %d, last %d",
						large, left, near, gotN, gotSize, gotLast, n, size, last)
				}
			}
		}
	}
}

// Whoever seals a train, and wherever the device loses its context in it, the wire bytes are the same, also of what
// is sent again and again; the frames in the device keep what they refer to.
func TestTrainTakenApart(t *testing.T) {
	body, wire := longBody(t, 16_000)
	rng := rand.New(rand.NewPCG(7, 7))
	for name, engine := range engines() {
		useEngine(t, engine)
		for range 60 {
			s := newLoaded(t, body, wire)
			if _, ok := s.q.spans[0].(*train); ok != (s.f.keys.gcm != nil) {
				t.Fatalf("%s: a train: %v", name, ok)
			}
			charge := s.q.spans[0].(stream.Charger).Charge()
			cut := rng.IntN(len(wire))
			for at := 0; at < cut; {
				at = s.frame(at, min(cut, at+1+rng.IntN(9000)))
			}
			s.nic.health = offload.Evicted
			for at := cut; at < len(wire); {
				at = s.frame(at, min(len(wire), at+1+rng.IntN(9000)))
			}
			for range 5 {
				s.frame(rng.IntN(len(wire)), len(wire))
			}
			s.nic.health = offload.Good // it does not come back to the device
			from := rng.IntN(len(wire) - 1)
			s.frame(from, from+1)
			if st := s.f.pool.Stats(); st.Offloaded+st.Records != 4 {
				t.Fatalf("%s: cut at %d: %d records sealed first by the device, %d by the CPU", name, cut, st.Offloaded, st.Records)
			}
			if now := s.q.spans[0].(stream.Charger).Charge(); now != charge {
				t.Fatalf("%s: the charge was %d and is %d", name, charge, now)
			}
			s.ack(s.end())
			s.finish()
		}
	}
}

// A body that is appended in lengths that Whole allows has no short record but its last.
func TestWhole(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, mode := range []Mode{ModeInline, ModeNIC} {
		s := newSender(t, AES128GCM, mode, RecordPolicy{SmallBytes: -1})
		s.f.SetSegment(1448, 44*1448)
		for range 200 {
			n := int64(1 + rng.IntN(200_000))
			whole := s.f.Whole(n)
			if whole < 0 || whole > n || n-whole >= 15906 {
				t.Fatalf("%d of %d bytes", whole, n)
			}
			if whole == 0 {
				continue
			}
			s.do(act{data: make([]byte, whole), cuts: []int{int(whole)}})
		}
		if end := s.end(); end%15928 != 0 {
			t.Errorf("%v: %d bytes are not whole records", mode, end)
		}
		s.ack(s.end())
		s.finish()
	}
	off, err := NewFramer(ModeOff, nil, NewPool(0))
	if err != nil {
		t.Fatal(err)
	}
	if n := off.Whole(12345); n != 12345 {
		t.Errorf("mode off: %d", n)
	}
}

// A train that is released twice would give its pages away twice.
func TestTrainReleasedTwice(t *testing.T) {
	body, wire := longBody(t, 16_000)
	s := newLoaded(t, body, wire)
	tr := s.q.spans[0].(*train)
	copied := *tr
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
		if !bytes.Equal(body[:1], copied.run(0, 1)) {
			t.Error("the plaintext is gone")
		}
	}()
	tr.Release()
	tr.Release()
}
