package ktls

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"ocaserve/tcpstack/stream"
)

var allSuites = append(append([]Suite(nil), suites13...), ecSuites12...)

// pair makes both sides of one direction from fixed secrets.
func pair(t testing.TB, s Suite) (*WriteState, *ReadState) {
	t.Helper()
	type half interface {
		initSecret(s Suite, secret []byte, seq uint64) error
		init(v Version, s Suite, info *suiteInfo, p keyPair, seq uint64) error
	}
	var w WriteState
	var r ReadState
	for _, h := range []half{&w, &r} {
		info, err := s.info(s.version())
		if err != nil {
			t.Fatal(err)
		}
		if s.version() == TLS13 {
			err = h.initSecret(s, bytes.Repeat([]byte{7}, info.hash().Size()), 0)
		} else {
			_, server := info.keyBlock(make([]byte, 48), make([]byte, 32), make([]byte, 32))
			err = h.init(TLS12, s, info, server, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return &w, &r
}

func newFramer(t testing.TB, mode Mode, w *WriteState) *Framer {
	t.Helper()
	f, err := NewFramer(mode, w, NewPool(0))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// openAll opens a whole stream of records and returns its data.
func openAll(t testing.TB, r *ReadState, wire []byte) []byte {
	t.Helper()
	o := NewOpener(r)
	wire = bytes.Clone(wire)
	var data []byte
	for len(wire) > 0 {
		n, plain, _, err := o.Open(wire)
		if err != nil || n == 0 {
			t.Fatalf("Open: n=%d, %v", n, err)
		}
		data = append(data, plain...)
		wire = wire[n:]
	}
	return data
}

// Any split of the stream, gathered in any order and more than once, yields the same bytes; these open to
// what was appended; and at the end no page is held.
func TestGatherAnySplit(t *testing.T) {
	for _, suite := range allSuites {
		for _, mode := range []Mode{ModeUser, ModeInline} {
			t.Run(suite.String()+"/"+mode.String(), func(t *testing.T) {
				for seed := range uint64(4) {
					testGather(t, suite, mode, rand.New(rand.NewPCG(seed, 1)))
				}
			})
		}
	}
}

func testGather(t *testing.T, suite Suite, mode Mode, rng *rand.Rand) {
	w, r := pair(t, suite)
	f := newFramer(t, mode, w)
	f.SetPolicy(RecordPolicy{Small: 1 + rng.IntN(2000), SmallBytes: int64(rng.IntN(20000)), Large: 1 + rng.IntN(maxPlaintext)})
	var q queue
	var pg page
	var want []byte
	for range 1 + rng.IntN(4) {
		data := randomBytes(rng, rng.IntN(40000))
		pieces := split(rng, data)
		for i := range pieces {
			pieces[i] = pg.piece(pieces[i].Data)
		}
		if err := f.Append(&q, append(pieces, pg.piece(nil))); err != nil {
			t.Fatal(err)
		}
		want = append(want, data...)
		if suite.version() == TLS13 && rng.IntN(2) == 0 {
			if err := f.KeyUpdate(&q, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	total := q.len()
	wire, known := make([]byte, total), make([]bool, total)
	check := func(from, to int) {
		got := q.gather(from, to)
		if len(got) != to-from {
			t.Fatalf("gathered %d bytes of [%d,%d)", len(got), from, to)
		}
		for i, b := range got {
			if known[from+i] && wire[from+i] != b {
				t.Fatalf("byte %d changed between two gathers", from+i)
			}
			wire[from+i], known[from+i] = b, true
		}
	}
	for range 200 {
		if total > 0 {
			from := rng.IntN(total)
			check(from, from+1+rng.IntN(min(total-from, 5000)))
		}
	}
	check(0, total)
	if got := openAll(t, r, wire); !bytes.Equal(got, want) {
		t.Fatalf("opened %d bytes, want %d, or their content differs", len(got), len(want))
	}
	q.release()
	if n := pg.holds.Load(); n != 0 {
		t.Fatalf("%d holds left on the pages", n)
	}
}

// Given the same keys, cuts and input, every mode puts the same bytes on the wire.
func TestModesAgree(t *testing.T) {
	for _, suite := range allSuites {
		t.Run(suite.String(), func(t *testing.T) {
			var wires [][]byte
			for _, mode := range []Mode{ModeUser, ModeInline} {
				rng := rand.New(rand.NewPCG(5, 6))
				w, _ := pair(t, suite)
				f, q := newFramer(t, mode, w), queue{}
				for range 5 {
					if err := f.Append(&q, split(rng, randomBytes(rng, 30000))); err != nil {
						t.Fatal(err)
					}
				}
				f.CloseNotify(&q)
				wires = append(wires, q.gather(0, q.len()))
			}
			if !bytes.Equal(wires[0], wires[1]) {
				t.Fatal("user and inline differ on the wire")
			}
		})
	}
}

func TestModeOff(t *testing.T) {
	f := newFramer(t, ModeOff, nil)
	var q queue
	var pg page
	data := []byte("plain text over plain HTTP")
	if err := f.Append(&q, []stream.Piece{pg.piece(data[:10]), pg.piece(nil), pg.piece(data[10:])}); err != nil {
		t.Fatal(err)
	}
	if got := q.gather(0, q.len()); !bytes.Equal(got, data) {
		t.Fatalf("got %q", got)
	}
	if got := q.gather(8, 13); !bytes.Equal(got, data[8:13]) {
		t.Fatalf("got %q", got)
	}
	if err := f.KeyUpdate(&q, false); err != ErrNoKeyUpdate {
		t.Fatalf("KeyUpdate: %v", err)
	}
	f.CloseNotify(&q)
	if len(q.spans) != 2 {
		t.Fatalf("%d spans, want 2: close_notify has no place in plain text", len(q.spans))
	}
	if err := f.Append(&q, []stream.Piece{pg.piece(data)}); err != ErrClosed {
		t.Fatalf("Append after the close: %v", err)
	}
	q.release()
	if n := pg.holds.Load(); n != 0 {
		t.Fatalf("%d holds left", n)
	}
}

// Inline keeps the pages and not the ciphertext, however often a record is gathered; a cipher that the engine
// does not have keeps the ciphertext and not the pages.
func TestInlineKeeps(t *testing.T) {
	for _, c := range []struct {
		suite Suite
		left  int64
	}{{AES128GCM, 3}, {ChaCha20Poly1305, 2}} {
		if suite, _ := pair(t, c.suite); suite.keys.gcm == nil {
			c.left = 2
		}
		w, _ := pair(t, c.suite)
		f := newFramer(t, ModeInline, w)
		var q queue
		var pg page
		if err := f.Append(&q, []stream.Piece{pg.piece(make([]byte, 4000))}); err != nil {
			t.Fatal(err)
		}
		if n := pg.holds.Load(); n != 3 {
			t.Fatalf("%v: %d holds, want one per record (3)", c.suite, n)
		}
		q.gather(0, 1)
		if n := pg.holds.Load(); n != c.left {
			t.Fatalf("%v: %d holds after a byte of 3 records, want %d", c.suite, n, c.left)
		}
		q.release() // the connection is gone before the rest was sealed
		if n := pg.holds.Load(); n != 0 {
			t.Fatalf("%v: %d holds left", c.suite, n)
		}
	}
}

// RFC 8446, 5.5: the key is replaced before it has sealed its limit, KeyUpdate included.
func TestKeyUpdateByItself(t *testing.T) {
	for _, mode := range []Mode{ModeUser, ModeInline} {
		w, r := pair(t, AES256GCM)
		f := newFramer(t, mode, w)
		if f.limit != gcmLimit {
			t.Fatalf("limit %d", f.limit)
		}
		f.limit = 4
		f.SetPolicy(RecordPolicy{Small: 10, Large: 10})
		var q queue
		data := []byte(strings.Repeat("0123456789", 10))
		if err := f.Append(&q, []stream.Piece{{Data: data}}); err != nil {
			t.Fatal(err)
		}
		perKey := map[*sealKeys]int{}
		for _, s := range q.spans {
			perKey[s.(*record).keys]++
		}
		for _, n := range perKey {
			if n > 4 {
				t.Fatalf("%d records under one key, the limit is 4", n)
			}
		}
		if len(perKey) != 4 || f.pool.Stats().KeyUpdates != 3 {
			t.Fatalf("%d keys, %d updates for 10 records, 3 of data per key", len(perKey), f.pool.Stats().KeyUpdates)
		}
		if got := openAll(t, r, q.gather(0, q.len())); !bytes.Equal(got, data) {
			t.Fatalf("got %q", got)
		}
	}
}

func TestKeyWorn(t *testing.T) {
	w, _ := pair(t, ECDHE_ECDSA_AES128GCM)
	f := newFramer(t, ModeUser, w)
	if f.limit != keyLimit {
		t.Fatalf("limit %d", f.limit)
	}
	f.limit = 4
	f.SetPolicy(RecordPolicy{Small: 10, Large: 10})
	var q queue
	var pg page
	err := f.Append(&q, []stream.Piece{pg.piece(make([]byte, 25)), pg.piece(make([]byte, 30))})
	if err != ErrKeyWorn || len(q.spans) != 3 {
		t.Fatalf("%d records, %v", len(q.spans), err)
	}
	q.release()
	if n := pg.holds.Load(); n != 0 {
		t.Fatalf("%d holds left after the error", n)
	}
	if err := f.KeyUpdate(&q, false); err != ErrNoKeyUpdate {
		t.Fatalf("KeyUpdate: %v", err)
	}
	f.CloseNotify(&q) // there is a number left to say goodbye
	if len(q.spans) != 1 {
		t.Fatal("no close_notify under a worn key")
	}
}

// RFC 8446, 4.6.3: requests that arrive while we are silent are answered by a single update.
func TestKeyUpdateAnsweredOnce(t *testing.T) {
	w, _ := pair(t, AES128GCM)
	f := newFramer(t, ModeInline, w)
	var q queue
	if err := f.Append(&q, []stream.Piece{{Data: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := f.Answer(&q, EventKeyUpdateRequested); err != nil {
			t.Fatal(err)
		}
	}
	if len(q.spans) != 2 {
		t.Fatalf("%d records, want data and one KeyUpdate", len(q.spans))
	}
	if err := f.KeyUpdate(&q, true); err != nil || len(q.spans) != 3 {
		t.Fatalf("a request of our own was left out: %v", err)
	}
}

// RFC 8446, 6.1 and 6.2: nothing follows close_notify or a fatal alert.
func TestNothingAfterClose(t *testing.T) {
	for _, a := range []Alert{AlertCloseNotify, AlertBadRecordMAC} {
		w, _ := pair(t, AES128GCM)
		f := newFramer(t, ModeInline, w)
		var q queue
		var pg page
		f.Alert(&q, a)
		f.Alert(&q, AlertInternalError)
		f.CloseNotify(&q)
		err := f.Append(&q, []stream.Piece{pg.piece([]byte("late"))})
		if len(q.spans) != 1 || err != ErrClosed || !f.Closed() || pg.holds.Load() != 0 {
			t.Fatalf("%v: %d records, %v", a, len(q.spans), err)
		}
		if err := f.KeyUpdate(&q, false); err != ErrClosed {
			t.Fatalf("KeyUpdate: %v", err)
		}
		if err := f.Answer(&q, EventKeyUpdateRequested); err != nil {
			t.Fatalf("the peer may still ask: %v", err)
		}
	}
	w, _ := pair(t, ECDHE_ECDSA_AES128GCM)
	f := newFramer(t, ModeInline, w)
	var q queue
	if err := f.Answer(&q, EventRenegotiate); err != nil || f.Closed() || len(q.spans) != 1 {
		t.Fatalf("no_renegotiation is a warning (RFC 5246, 7.2.2): %v", err)
	}
}

func TestNewFramerRefuses(t *testing.T) {
	w, _ := pair(t, AES128GCM)
	pool := NewPool(0)
	if _, err := NewFramer(ModeNIC, w, pool); !errors.Is(err, ErrNoNIC) {
		t.Errorf("nic: %v", err)
	}
	if _, err := NewFramer(ModeOff, w, pool); err == nil {
		t.Error("off took keys")
	}
	if _, err := NewFramer(ModeUser, nil, pool); err == nil {
		t.Error("user did without keys")
	}
	if _, err := NewFramer(Mode(9), w, pool); err == nil {
		t.Error("an unknown mode passed")
	}
	if _, err := NewFramer(ModeUser, w, pool); err != nil {
		t.Error(err)
	}
	if _, err := NewFramer(ModeInline, w, pool); err == nil {
		t.Error("two framers would seal the same record numbers")
	}
}

func TestParseMode(t *testing.T) {
	for m := ModeOff; m <= ModeNIC; m++ {
		if got, err := ParseMode(m.String()); err != nil || got != m {
			t.Errorf("%v: %v, %v", m, got, err)
		}
	}
	if _, err := ParseMode("kernel"); err == nil {
		t.Error("kernel is no mode")
	}
}

func TestPoolIsBounded(t *testing.T) {
	w, _ := pair(t, AES128GCM)
	pool := NewPool(100 << 10)
	f, err := NewFramer(ModeUser, w, pool)
	if err != nil {
		t.Fatal(err)
	}
	var q queue
	if err := f.Append(&q, []stream.Piece{{Data: make([]byte, 4<<20)}}); err != nil {
		t.Fatal(err)
	}
	q.release()
	if n := pool.Idle(); n == 0 || n > 100<<10 {
		t.Fatalf("%d idle bytes, want some and at most 100 KiB", n)
	}
	if s := pool.Stats(); s.Sealed != 4<<20 || s.Copied != s.Sealed || s.Records == 0 {
		t.Fatalf("stats %+v", s)
	}
}

// Sealing is the copy: the engine reads pages and writes what is transmitted.
func TestSealWithoutCopy(t *testing.T) {
	w, r := pair(t, AES128GCM)
	if w.keys.gcm == nil {
		t.Skip("this CPU has no engine")
	}
	f := newFramer(t, ModeInline, w)
	var q queue
	data := bytes.Repeat([]byte("movie"), 20000)
	if err := f.Append(&q, []stream.Piece{{Data: data}}); err != nil {
		t.Fatal(err)
	}
	if got := openAll(t, r, q.gather(0, q.len())); !bytes.Equal(got, data) {
		t.Fatal("content differs")
	}
	if s := f.pool.Stats(); s.Copied != 0 || s.Sealed != uint64(len(data)) {
		t.Fatalf("stats %+v", s)
	}
}
