package nicoffload

import (
	"math/rand/v2"
	"testing"

	"ocaserve/tcpstack/link/memory"
)

// FuzzSealings sends several sessions in frames of random ranges, in order, again and with gaps: every byte that
// arrives must be the one that crypto/cipher makes for its place, in whatever order frames were posted.
func FuzzSealings(f *testing.F) {
	for seed := range uint64(24) {
		f.Add(seed, []byte{1, 2, 3, 200, 0, 77, 13, 254, 90, 1, 1, 1, 30})
	}
	f.Add(uint64(1), []byte{0, 0, 0, 0, 255, 255, 255, 255})
	f.Add(uint64(72), []byte("A")) // three bytes of a header
	f.Fuzz(func(t *testing.T, seed uint64, script []byte) {
		if len(script) > 400 {
			t.Skip()
		}
		rng := rand.New(rand.NewPCG(seed, 9))
		r := newRig(t, rigConfig{
			Config{TSO: TSOMode(seed & 1), Verify: float64(seed >> 1 & 1)},
			memory.Config{TSO: seed>>2&1 == 0, RingBytes: 4 << 20},
		})
		if seed>>3&1 == 1 {
			r.nif.setFeature(tso4, false)
		}
		var sessions []*session
		var receivers []*receiver
		for i, k := range kinds {
			s := r.open(newSession(t, k.version, k.keyLen, rng.Uint64N(1<<40), seed+uint64(i),
				rng.IntN(16385), rng.IntN(40), 1+rng.IntN(600), rng.IntN(16385)))
			sessions, receivers = append(sessions, s), append(receivers, newReceiver(t, s.wire))
		}
		next := make([]int, len(sessions))
		for _, b := range script {
			i := int(b) % len(sessions)
			s := sessions[i]
			from := next[i]
			if b>>2%3 == 0 || from == len(s.wire) {
				from = rng.IntN(len(s.wire))
			}
			to := min(len(s.wire), from+1+rng.IntN(30000>>(b>>5)))
			if from == next[i] {
				next[i] = to
			}
			r.send(r.frame(s, from, to, 100+rng.IntN(1361), 1+rng.IntN(5000)))
			if b&0x10 == 0 {
				r.turn()
				drain(r, receivers)
			}
		}
		r.turn()
		drain(r, receivers)
		for i, v := range receivers {
			v.complete(0, next[i])
		}
		r.wantStat("tx_tls_drop_no_sync_data", 0)
		r.wantStat("tx_tls_drop_lost_place", 0)
		if len(r.logs) > 0 {
			t.Error(r.logs)
		}
	})
}

// drain gives each frame to the receivers of the sessions that it may belong to: those that know its bytes, more than
// one if these are of a header only.
func drain(r *rig, receivers []*receiver) {
	r.t.Helper()
	frames := r.arrived()
	for i := range frames {
		known := false
		for _, v := range receivers {
			v.take(frames[i : i+1])
			known = known || v.bad == 0
			v.bad = 0
		}
		if !known {
			r.t.Fatalf("a frame of %d bytes that no session should have sent", frames[i].Len())
		}
	}
	r.dev.Completed()
}
