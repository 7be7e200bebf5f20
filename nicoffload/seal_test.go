package nicoffload

import (
	"bytes"
	"fmt"
	"testing"

	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/link/memory"
)

var kinds = []struct {
	version uint16
	keyLen  int
}{{tls13, 16}, {tls13, 32}, {tls12, 16}, {tls12, 32}}

func eachKind(t *testing.T, f func(t *testing.T, version uint16, keyLen int)) {
	for _, k := range kinds {
		t.Run(fmt.Sprintf("%#x/aes%d", k.version, 8*k.keyLen), func(t *testing.T) { f(t, k.version, k.keyLen) })
	}
}

func TestInSequence(t *testing.T) {
	eachKind(t, func(t *testing.T, version uint16, keyLen int) {
		for _, tso := range []bool{true, false} {
			r := newRig(t, rigConfig{cable: memory.Config{TSO: tso}})
			s := r.open(newSession(t, version, keyLen, 5, 1, 16384, 0+1, 100, 16384, 5000))
			v := newReceiver(t, s.wire)
			for at := 0; at < len(s.wire); at += 14480 {
				r.send(r.frame(s, at, min(at+14480, len(s.wire)), 1448, 4096))
				r.turn()
				v.take(r.arrived())
			}
			v.complete(0, len(s.wire))
			r.wantStat("tx_tls_ooo", 0)
			r.wantStat("tx_tls_encrypted_bytes", uint64(len(s.wire)))
			for i := range r.dev.ring.descs { // pages may be unmapped once frames have completed
				if d := &r.dev.ring.descs[i]; d.data != nil || len(d.pieces) > 0 && d.pieces[0] != nil {
					t.Fatalf("descriptor %d still points to the shard's memory", i)
				}
			}
			if n := r.book.Sum(ledger.SealedNIC); n != uint64(len(s.wire)) {
				t.Errorf("booked %d bytes as sealed, want %d", n, len(s.wire))
			}
			const plain = 16384 + 1 + 100 + 16384 + 5000
			if n, made := r.book.Sum(ledger.Fetched), r.book.Sum(ledger.MadeNIC); n != plain || n+made != uint64(len(s.wire)) {
				t.Errorf("booked %d bytes as read and %d as made, want %d of %d to be read", n, made, plain, len(s.wire))
			}
			if done := r.dev.Completed(); done != r.dev.taken {
				t.Errorf("%d frames of %d completed", done, r.dev.taken)
			}
		}
	})
}

// Every way to cut a record into two frames.
func TestAnySplit(t *testing.T) {
	eachKind(t, func(t *testing.T, version uint16, keyLen int) {
		r := newRig(t, rigConfig{})
		for cut := 1; ; cut++ {
			s := r.open(newSession(t, version, keyLen, 0, 2, 70, 3))
			if cut == len(s.wire) {
				break
			}
			v := newReceiver(t, s.wire)
			r.send(r.frame(s, 0, cut, 1448, 7), r.frame(s, cut, len(s.wire), 1448, 7))
			r.turn()
			v.take(r.arrived())
			v.complete(0, len(s.wire))
			r.dev.DelContext(s.ctx)
		}
		r.wantStat("tx_tls_ooo", 0)
		r.wantStat("tx_tls_ctx", 1)
	})
}

// Every range of a record again, and new data after it.
func TestRetransmission(t *testing.T) {
	eachKind(t, func(t *testing.T, version uint16, keyLen int) {
		r := newRig(t, rigConfig{})
		s := r.open(newSession(t, version, keyLen, 9, 3, 60, 60))
		whole := r.frame(s, 0, len(s.wire), 1448, 13)
		for from := range len(s.wire) {
			for _, to := range []int{from + 1, from + 17, from + 40, len(s.wire)} {
				if to > len(s.wire) {
					continue
				}
				v := newReceiver(t, s.wire)
				r.send(whole, r.frame(s, from, to, 1448, 13), whole)
				r.turn()
				v.take(r.arrived())
				v.complete(0, len(s.wire))
			}
		}
		r.wantStat("tx_tls_drop_no_sync_data", 0)
		r.wantStat("tx_tls_drop_lost_place", 0)
	})
}

// What a retransmission costs on the bus: the plaintext of the record up to the place, and no more.
func TestDumpBytes(t *testing.T) {
	r := newRig(t, rigConfig{cable: memory.Config{TSO: true}})
	s := r.open(newSession(t, tls13, 16, 0, 4, 16384, 16384))
	first := s.records[0].length
	r.send(r.frame(s, 0, 30000, 1448, 4096))
	r.wantStat("tx_tls_dump_bytes", 0)
	r.send(r.frame(s, first-1448, first, 1448, 4096)) // the end of the first record
	r.wantStat("tx_tls_ooo", 1)
	r.wantStat("tx_tls_dump_packets", 1)
	r.wantStat("tx_tls_dump_bytes", uint64(first-1448-headerLen))
	r.wantStat("tx_tls_resync_bytes", 1448)
	r.send(r.frame(s, 30000, len(s.wire), 1448, 4096)) // new data, in the middle of the second
	r.wantStat("tx_tls_ooo", 2)
	r.wantStat("tx_tls_dump_bytes", uint64(first-1448-headerLen+30000-first-headerLen))
	r.send(r.frame(s, 0, 1448, 1448, 4096)) // the beginning of a record needs no more than its number
	r.wantStat("tx_tls_ooo", 3)
	r.wantStat("tx_tls_dump_packets", 2)
	if n := r.book.Sum(ledger.Refetched); n != r.stat("tx_tls_dump_bytes") {
		t.Errorf("booked %d bytes as fetched again, dumped %d", n, r.stat("tx_tls_dump_bytes"))
	}
	r.turn()
	v := newReceiver(t, s.wire)
	v.take(r.arrived())
	v.complete(0, len(s.wire))
}

// Once a frame has completed nothing in driver or adapter points to the shard's memory: it may be unmapped.
func TestNoReferenceOutlivesFrame(t *testing.T) {
	for _, off := range []feature{0, txCsum} {
		r := newRig(t, rigConfig{Config{Verify: 1}, memory.Config{TSO: true}})
		s := r.open(newSession(t, tls13, 16, 0, 1, 16384, 16384))
		r.nif.setFeature(off, false)
		plain := r.plainFrame(s.clear[:20000], 0, 1448, 999)
		r.send(r.frame(s, 0, 20000, 1448, 999), r.frame(s, 8000, 9000, 1448, 999), plain)
		r.turn()
		if r.dev.Completed() != 3 {
			t.Fatal("not all frames have completed")
		}
		n := r.dev.nic
		for i := range r.dev.ring.descs {
			d := &r.dev.ring.descs[i]
			none(t, "descriptor", d.pieces)
			if d.data != nil || d.want != nil {
				t.Fatal("a descriptor still points to headers")
			}
		}
		for _, x := range r.dev.wants {
			none(t, "expectation", x.pieces)
		}
		none(t, "driver", r.dev.pieces)
		none(t, "outbox", n.out.pieces)
		for _, f := range n.out.frames[:cap(n.out.frames)] {
			if f.Data != nil || f.Pieces != nil {
				t.Fatal("the outbox still points to a frame")
			}
		}
	}
}

// none checks that pieces holds nothing, up to its capacity.
func none(t *testing.T, where string, pieces [][]byte) {
	t.Helper()
	for _, p := range pieces[:cap(pieces)] {
		if p != nil {
			t.Fatalf("%s still points to %d bytes of the shard's", where, len(p))
		}
	}
}

// The cipher for CPUs without an engine makes the same records, in whatever pieces they come.
func TestPortableKey(t *testing.T) {
	eachKind(t, func(t *testing.T, version uint16, keyLen int) {
		s := newSession(t, version, keyLen, 7, 21, 3000, 1, 500)
		key, err := newPortableKey(s.crypto.Key)
		if err != nil {
			t.Fatal(err)
		}
		var tab table
		tab.init(1)
		tab.take(&s.crypto, key)
		c := &tab.contexts[0]
		got := make([]byte, len(s.wire))
		for _, rec := range s.records {
			c.begin(&run{number: rec.number, length: uint16(rec.length), typ: rec.typ})
			in := cursor{pieces: chop(rec.part(0, rec.length), 997)}
			for at, n := 0, 1; at < rec.length; n = n*3%101 + 1 {
				end := min(at+n, rec.length)
				c.pass(got[rec.at+at:rec.at+end], &in)
				at = end
			}
		}
		if !bytes.Equal(got, s.wire) {
			t.Errorf("differs from crypto/cipher at byte %d", mismatch(got, s.wire))
		}
		tab.drop(0)
		if key.aead != nil || key.plain != nil {
			t.Error("the key was not wiped")
		}
	})
}

// A frame goes on in a record only at the same place of the same record.
func TestPlace(t *testing.T) {
	key, err := newSealKey(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	c := context{version: tls13, prefixLen: headerLen, inner: 1, key: key}
	c.begin(&run{number: 4, length: 100, typ: 23})
	c.place.off = 30
	for _, tc := range []struct {
		r    run
		want bool
	}{
		{run{number: 4, length: 100, from: 30, typ: 23}, true},
		{run{number: 5, length: 100, from: 30, typ: 23}, false},
		{run{number: 4, length: 101, from: 30, typ: 23}, false},
		{run{number: 4, length: 100, from: 31, typ: 23}, false},
		{run{number: 4, length: 100, from: 30, typ: 21}, false},
	} {
		if got := c.enter(&tc.r); got != tc.want {
			t.Errorf("%+v: %v", tc.r, got)
		}
	}
	if !c.enter(&run{number: 9, length: 50}) || c.place.number != 9 || c.place.off != 0 {
		t.Error("a record's first byte is a place to begin, wherever the context stands")
	}
}
