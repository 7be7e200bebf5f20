package ktls

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"ocaserve/ktls/aesgcm"
	"ocaserve/ktls/offload"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/stream"
)

// useEngine makes e the engine of keys that are made until the test ends.
func useEngine(t testing.TB, e func(key []byte) *aesgcm.Key) {
	old := newEngine
	newEngine = e
	t.Cleanup(func() { newEngine = old })
}

func noEngine([]byte) *aesgcm.Key { return nil }

// engines are all that this CPU has, and none.
func engines() map[string]func([]byte) *aesgcm.Key {
	all := map[string]func([]byte) *aesgcm.Key{"none": noEngine}
	for _, p := range aesgcm.Paths() {
		all[p.String()] = func(key []byte) *aesgcm.Key {
			k, err := aesgcm.NewPath(p, key)
			if err != nil {
				panic(err)
			}
			return k
		}
	}
	return all
}

// An act is a step of a script: what the application does.
type act struct {
	data   []byte // append
	cuts   []int  // the lengths of its pieces
	update bool   // or a KeyUpdate
	alert  bool   // or a warning
}

func newScript(rng *rand.Rand, v Version) (acts []act) {
	for range 3 + rng.IntN(8) {
		switch rng.IntN(5) {
		case 0:
			acts = append(acts, act{update: v == TLS13, alert: v == TLS12})
		default:
			a := act{data: randomBytes(rng, 1+rng.IntN(60_000))}
			for left := len(a.data); left > 0; left -= a.cuts[len(a.cuts)-1] {
				a.cuts = append(a.cuts, 1+rng.IntN(min(left, 1+rng.IntN(40_000))))
			}
			acts = append(acts, a)
		}
	}
	return acts
}

// A sender is a framer and a queue of which the front is acknowledged, as a connection has them.
type sender struct {
	t     testing.TB
	f     *Framer
	q     queue
	nic   *softNIC
	book  ledger.Book
	pages page
	start int // bytes released
	next  int // bytes transmitted
	calls int // bytes gathered, each time

	want   []byte   // the wire image, as it should be
	flying []flight // frames that the device has not read yet
}

// A flight is a frame on its way: the payload from an offset on.
type flight struct {
	from int
	g    *stream.Gather
}

func newSender(t testing.TB, suite Suite, mode Mode, policy RecordPolicy) *sender {
	s := &sender{t: t, nic: newSoftNIC(t)}
	w, _ := pair(t, suite)
	pool := NewPool(0)
	pool.SetNIC(s.nic)
	var err error
	if s.f, err = NewFramer(mode, w, pool); err != nil {
		t.Fatal(err)
	}
	s.f.SetBook(&s.book)
	s.f.SetPolicy(policy)
	return s
}

func (s *sender) do(a act) {
	s.t.Helper()
	var err error
	switch {
	case a.update:
		err = s.f.KeyUpdate(&s.q, false)
	case a.alert:
		s.f.Alert(&s.q, AlertNoRenegotiation)
	default:
		var pieces []stream.Piece
		rest := a.data
		for _, n := range a.cuts {
			pieces = append(pieces, s.pages.piece(rest[:n]))
			rest = rest[n:]
		}
		err = s.f.Append(&s.q, pieces)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// end is the offset after the last byte framed.
func (s *sender) end() int { return s.start + s.q.len() }

// frame transmits [from, to), or less: sealed and unsealed bytes do not mix. It returns up to where.
func (s *sender) frame(from, to int) int {
	g := new(stream.Gather)
	g.Init(make([]byte, to-from), 16)
	g.Book = &s.book
	at, left, begun := s.start, false, false
	for _, span := range s.q.spans {
		a, b := max(from, at)-at, min(to-at, span.Len())
		at += span.Len()
		if a >= b {
			continue
		}
		if offload := span.(stream.Offloader).Offload(); begun && offload != left {
			break
		} else {
			left, begun = offload, true
		}
		free := g.Free()
		span.Gather(g, a, b)
		scratch := free - g.Free()
		// What is left to the device is by reference.
		if left != (len(g.Sealings()) > 0) || left && scratch > 0 {
			s.t.Errorf("Offload said %v: %d sealings, %d bytes of scratch for %d", left, len(g.Sealings()), scratch, b-a)
		}
	}
	s.calls += g.Len()
	s.flying = append(s.flying, flight{from, g})
	return from + g.Len()
}

// land lets the device read the frames that are on their way.
func (s *sender) land() {
	for _, f := range s.flying {
		if got := s.nic.transmit(f.g); !bytes.Equal(got, s.want[f.from:f.from+len(got)]) {
			s.t.Fatalf("bytes [%d,%d) differ from those of crypto/cipher", f.from, f.from+len(got))
		}
	}
	s.flying = nil
}

// ack releases what lies wholly below off. Frames keep what they refer to from being released.
func (s *sender) ack(off int) {
	s.land()
	for len(s.q.spans) > 0 && s.start+s.q.spans[0].Len() <= off {
		s.start += s.q.spans[0].Len()
		s.q.spans[0].Release()
		s.q.spans = s.q.spans[1:]
	}
}

// finish ends the connection and looks for what was not given back.
func (s *sender) finish() {
	s.t.Helper()
	s.f.Close()
	s.q.release()
	if n := s.pages.holds.Load(); n != 0 {
		s.t.Errorf("%d holds left on the pages", n)
	}
	if n := len(s.nic.contexts); n != 0 {
		s.t.Errorf("%d contexts left in the interface", n)
	}
	if k := s.f.keys; k.key != [32]byte{} || k.iv != [12]byte{} || s.f.w.secret != [48]byte{} {
		s.t.Error("the key is still there")
	}
}

// reference is the wire image of a script by crypto/cipher and whole records.
func reference(t testing.TB, suite Suite, policy RecordPolicy, script []act) (wire []byte) {
	old := newEngine
	newEngine = noEngine
	defer func() { newEngine = old }()
	s := newSender(t, suite, ModeUser, policy)
	for _, a := range script {
		s.do(a)
	}
	wire = s.q.gather(0, s.q.len())
	s.finish()
	return wire
}

// Given the same keys, cuts and input, every mode puts the same bytes on the wire, whatever is transmitted when,
// again or ahead, and whoever seals what: with every engine, under key updates, switches and failures of the
// interface.
func TestIdentity(t *testing.T) {
	for name, engine := range engines() {
		for _, suite := range allSuites {
			for _, mode := range []Mode{ModeUser, ModeInline, ModeNIC} {
				t.Run(fmt.Sprintf("%s/%v/%v", name, suite, mode), func(t *testing.T) {
					useEngine(t, engine)
					for seed := range uint64(8) {
						testIdentity(t, suite, mode, rand.New(rand.NewPCG(seed, uint64(suite))), false)
						testIdentity(t, suite, mode, rand.New(rand.NewPCG(seed, uint64(suite))), true)
					}
				})
			}
		}
	}
}

// testIdentity runs one random script; with gaps, bytes are transmitted ahead of their order too.
func testIdentity(t *testing.T, suite Suite, mode Mode, rng *rand.Rand, gaps bool) {
	policy := RecordPolicy{Small: 1 + rng.IntN(2000), SmallBytes: int64(rng.IntN(20_000)), Large: 1000 + rng.IntN(maxPlaintext)}
	script := newScript(rng, suite.version())
	s := newSender(t, suite, mode, policy)
	s.want = reference(t, suite, policy, script)
	repeated := 0
	for len(script) > 0 || s.next < len(s.want) {
		switch op := rng.IntN(13); {
		case op < 2 && len(script) > 0:
			s.do(script[0])
			script = script[1:]
		case op < 7 && s.next < s.end(): // the next frame
			s.next = s.frame(s.next, min(s.end(), s.next+1+rng.IntN(64<<10)))
		case op == 7 && s.start < s.next: // a retransmission
			from := s.start + rng.IntN(s.next-s.start)
			repeated += s.frame(from, min(s.next, from+1+rng.IntN(20_000))) - from
		case op == 8 && gaps && s.next < s.end():
			from := s.next + rng.IntN(s.end()-s.next)
			s.frame(from, min(s.end(), from+1+rng.IntN(20_000)))
		case op == 9 && s.start < s.next:
			s.ack(s.start + rng.IntN(s.next-s.start))
		case op == 10 && mode != ModeUser:
			if err := s.f.SetMode([]Mode{ModeInline, ModeNIC}[rng.IntN(2)]); err != nil {
				t.Fatal(err)
			}
		case op == 11:
			s.nic.health = []offload.Health{offload.Good, offload.Good, offload.Pending, offload.Evicted, offload.Saturated}[rng.IntN(5)]
			s.nic.limit = []int{0, 1, 100}[rng.IntN(3)]
		case op == 12:
			s.land()
		}
	}
	s.land()
	s.checkBook(t, len(s.want), repeated, gaps)
	s.finish()
}

// checkBook holds the ledger against what was transmitted: each byte was sealed by somebody, once.
func (s *sender) checkBook(t *testing.T, sent, repeated int, gaps bool) {
	b := &s.book
	host, again, stored, nic := b.Sum(ledger.SealedHost), b.Sum(ledger.ResealedHost), b.Sum(ledger.SealedStored), b.Sum(ledger.SealedNIC)
	if host+again+stored+nic != uint64(s.calls) {
		t.Errorf("%d bytes transmitted: %d sealed, %d again, %d stored, %d by the device", s.calls, host, again, stored, nic)
	}
	if left := b.Sum(ledger.LeftNIC); left != nic {
		t.Errorf("%d bytes left to the device, which sealed %d", left, nic)
	}
	if b.Sum(ledger.RecordsBytes) != uint64(sent) {
		t.Errorf("%d bytes of records booked, %d made", b.Sum(ledger.RecordsBytes), sent)
	}
	if gaps || nic+stored > 0 {
		return
	}
	if ahead := b.Sum(ledger.ResealedAhead); host != uint64(sent) || again != uint64(repeated) || ahead != 0 {
		t.Errorf("sent %d, retransmitted %d: booked %d and %d, and %d to get there", sent, repeated, host, again, ahead)
	}
}
