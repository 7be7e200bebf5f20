package ktls

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"ocaserve/tcpstack/stream"
)

func wantPanic(t *testing.T, text string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if s, _ := recover().(string); !strings.Contains(s, text) {
			t.Fatalf("panic %q, want %q", s, text)
		}
	}()
	f()
}

// RFC 8446, 5.3; RFC 5116, 5.1.1: a nonce is used once.
func TestGuard(t *testing.T) {
	w, _ := pair(t, AES128GCM)
	f := newFramer(t, ModeInline, w)
	f.SetPolicy(RecordPolicy{Small: 1, Large: 1})
	var q queue
	if err := f.Append(&q, []stream.Piece{{Data: []byte("abc")}}); err != nil {
		t.Fatal(err)
	}
	again := *q.spans[1].(*record)
	again.data[0] = &[]byte("X")[0] // another plaintext under the same number
	q.gather(0, q.len())
	var g stream.Gather
	g.Init(make([]byte, 100), 1)
	wantPanic(t, "invariant broken: record 1 is being sealed twice", func() { again.Gather(&g, 0, 1) })

	n := q.spans[0]
	n.Release()
	wantPanic(t, "released twice", n.Release)
}

// The guard is exact for any order, against a set.
func TestGuardAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		var g guard
		seen := map[uint64]bool{}
		for range 300 {
			seq := uint64(rng.IntN(200))
			if seen[seq] {
				wantPanic(t, "sealed twice", func() { g.claim(seq) })
			} else {
				g.claim(seq)
			}
			seen[seq] = true
		}
	}
	var g guard
	for seq := range uint64(1000) {
		g.claim(seq)
	}
	if g.holes != nil {
		t.Fatal("sealing in order costs memory")
	}
	wantPanic(t, "too far ahead", func() { g.claim(1 << 40) })
}

// Keys are wiped when nobody can want them any more: an old one with its last record, the current one when the
// framer is closed and the queue is empty.
func TestKeysAreWiped(t *testing.T) {
	for _, mode := range []Mode{ModeUser, ModeInline, ModeNIC} {
		s := newSender(t, AES128GCM, mode, RecordPolicy{})
		s.do(act{data: []byte("old"), cuts: []int{3}})
		old := s.f.keys
		s.do(act{update: true})
		s.do(act{data: []byte("new"), cuts: []int{3}})
		wiped := func(k *sealKeys) bool { return k.key == [32]byte{} && k.iv == [nonceLen]byte{} }
		first := s.q.spans[0].Len()
		s.ack(first)
		if wiped(old) {
			t.Fatalf("%v: the old key is wiped and its KeyUpdate is still queued", mode)
		}
		s.ack(first + s.q.spans[0].Len())
		if !wiped(old) || mode == ModeNIC && len(s.nic.contexts) != 1 {
			t.Fatalf("%v: the old key has outlived its last record", mode)
		}
		s.f.Close()
		if current := s.f.keys; wiped(current) {
			t.Fatalf("%v: the key is wiped under a queued record", mode)
		}
		s.finish()
		if err := s.f.Append(&s.q, nil); err != ErrClosed {
			t.Fatalf("%v: append after close: %v", mode, err)
		}
	}
	f := newFramer(t, ModeOff, nil)
	f.Close()
	f.Close()
}

// What a record keeps beside its pages: the send queue's slot is 24 bytes, and in-flight bytes may cost a
// hundredth of themselves.
func TestRecordIsSmall(t *testing.T) {
	if debug := unsafe.Sizeof(digest{}) > 0; debug {
		t.Skip("records remember their plaintext in this build")
	}
	if recordSize != 96 {
		t.Errorf("a record has %d bytes, want 96", recordSize)
	}
	const segments = 11 * 1448
	if per := float64(recordSize+24) / segments; per >= 0.01 {
		t.Errorf("%.4f bytes kept for a byte in flight", per)
	}
}

// A record is charged for its struct and for pins, not for its length, unless there is a buffer; and as much when
// it leaves as when it came.
func TestRecordCharge(t *testing.T) {
	for _, c := range []struct {
		mode   Mode
		engine bool
		want   func(wire int) int
	}{
		{ModeInline, true, func(int) int { return stream.PinCharge(7000) + stream.PinCharge(3000) + 500 + recordSize }},
		{ModeNIC, true, func(int) int { return stream.PinCharge(7000) + stream.PinCharge(3000) + 500 + recordSize }},
		{ModeInline, false, func(wire int) int { return bufferSize(wire) + recordSize }},
		{ModeUser, true, func(wire int) int { return bufferSize(wire) + recordSize }},
	} {
		t.Run(c.mode.String(), func(t *testing.T) {
			if !c.engine {
				useEngine(t, noEngine)
			}
			s := newSender(t, AES128GCM, c.mode, RecordPolicy{SmallBytes: -1})
			if c.engine && s.f.keys.gcm == nil {
				t.Skip("this CPU has no engine")
			}
			data := make([]byte, 10_500)
			pieces := []stream.Piece{s.pages.piece(data[:7000]), s.pages.piece(data[7000:10_000]), {Data: data[10_000:]}}
			if err := s.f.Append(&s.q, pieces); err != nil {
				t.Fatal(err)
			}
			r := s.q.spans[0].(*record)
			extra := 0
			if c.want(0) < r.Len() && c.engine && c.mode != ModeUser {
				extra = cap(r.more.parts) * int(unsafe.Sizeof(stream.Piece{})) // three parts
			}
			if got, want := r.Charge(), c.want(r.Len())+extra; got != want {
				t.Errorf("charged %d, want %d", got, want)
			}
			before := r.Charge()
			s.want = make([]byte, r.Len())
			s.frame(0, r.Len())
			if r.Charge() != before {
				t.Errorf("charged %d when queued, %d when transmitted", before, r.Charge())
			}
			s.flying = nil
			s.finish()
		})
	}
}
