package nicoffload

import (
	"math/rand/v2"
	"testing"

	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/stream"
)

// rows are all records of a session, as one that frames many at a time has them.
type rows struct{ s *session }

func (o rows) Plain(g *stream.Gather, number uint64, from, to int) {
	o.s.records[number-o.s.records[0].number].Plain(g, number, from, to)
}

// joined makes one run of neighbours of one length and type.
func (o rows) joined(f link.Frame) link.Frame {
	var runs []stream.Sealing
	for _, x := range f.Seal {
		x.Records = o
		if n := len(runs); n > 0 {
			l := &runs[n-1]
			if l.Len == x.Len && l.Type == x.Type && l.Number+uint64(l.Count) == x.Number && l.To == l.Len && x.From == 0 {
				l.Count, l.To = l.Count+1, x.To
				continue
			}
		}
		runs = append(runs, x)
	}
	f.Seal = runs
	return f
}

// Runs of many records, cut anywhere, in order and out of it, come out as one by one; what was fetched and what was made add up.
func TestRows(t *testing.T) {
	seeds, many := uint64(300), 0
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 9))
		r := newRig(t, rigConfig{
			Config{TSO: TSOMode(seed & 1), Verify: float64(seed >> 1 & 1)},
			memory.Config{TSO: seed>>2&1 == 0, RingBytes: 4 << 20},
		})
		r.nif.setFeature(tso4, seed>>3&1 == 0)
		k := kinds[int(seed)%len(kinds)]
		s := newSession(t, k.version, k.keyLen, rng.Uint64N(1<<40), seed)
		s.alike = true
		n := []int{0, 1, 26, 200, 1426, 4000}[rng.IntN(6)]
		number := s.crypto.Number
		for range 4 + rng.IntN(12) {
			s.append(t, number, random(rng, n))
			number++
		}
		s.append(t, number, random(rng, rng.IntN(n+1)))
		r.open(s)
		in := newReceiver(t, s.wire)
		next, sent := 0, uint64(0)
		for range 40 {
			from := next
			if rng.IntN(3) == 0 || from == len(s.wire) {
				from = rng.IntN(len(s.wire))
			}
			to := min(len(s.wire), from+1+rng.IntN(30000>>rng.IntN(8)))
			if from == next {
				next = to
			}
			f := rows{s}.joined(r.frame(s, from, to, 100+rng.IntN(1300), 1+rng.IntN(5000)))
			for i := range f.Seal {
				many += min(f.Seal[i].Count-1, 1)
			}
			sent += uint64(to - from)
			r.send(f)
			if rng.IntN(3) > 0 {
				r.turn()
				in.take(r.arrived())
			}
		}
		r.turn()
		in.take(r.arrived())
		in.complete(0, next)
		b := &r.book
		if b.Sum(ledger.Fetched)+b.Sum(ledger.MadeNIC) != sent || b.Sum(ledger.SealedNIC) != sent || b.Sum(ledger.Refetched) != r.stat("tx_tls_dump_bytes") {
			t.Fatalf("seed %d: %d sent, %d fetched, %d made, %d sealed, %d of %d refetched", seed, sent, b.Sum(ledger.Fetched),
				b.Sum(ledger.MadeNIC), b.Sum(ledger.SealedNIC), b.Sum(ledger.Refetched), r.stat("tx_tls_dump_bytes"))
		}
		r.wantStat("tx_tls_drop_no_sync_data", 0)
	}
	if many == 0 {
		t.Error("no run was of more than one record")
	}
}
