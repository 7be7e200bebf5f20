package nicoffload

import (
	"strings"
	"testing"
	"time"

	"ocaserve/ktls/offload"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/stream"
)

// traffic sends a session over the rig, with retransmissions, and plain data too; it returns what arrived wrong.
func traffic(r *rig, seed uint64) *receiver {
	s := newSession(r.t, tls13, 16, 0, seed, 16384, 16384, 16384, 3000, 1, 16384)
	r.open(s)
	v := newReceiver(r.t, s.wire)
	step := func(from, to int) {
		r.send(r.frame(s, from, min(to, len(s.wire)), 1448, 4096))
		r.turn()
		v.take(r.arrived())
		r.dev.Completed()
	}
	for at := 0; at < len(s.wire); at += 14480 {
		step(at, at+14480)
		step(at+1448, at+2*1448) // once more, as if lost
	}
	plain := newReceiver(r.t, s.clear)
	for at := 0; at < len(s.clear); at += 14480 {
		end := min(at+14480, len(s.clear))
		r.send(r.plainFrame(s.clear[at:end], at, 1448, 4096))
		r.turn()
		plain.take(r.arrived())
		r.dev.Completed()
	}
	v.bad += plain.bad
	for i := range v.seen {
		if !v.seen[i] || !plain.seen[i] {
			v.bad++ // a segment was lost
			break
		}
	}
	return v
}

// Every fault does harm, and none does with verification of every frame: the offload is found and switched off.
func TestVerificationCatchesFaults(t *testing.T) {
	for _, tc := range []struct {
		fault Faults
		off   []string
	}{
		{FaultCsum, []string{"tx-checksum-ip-generic", "tx-tcp-segmentation", "tls-hw-tx-offload"}},
		{FaultTSO, []string{"tx-tcp-segmentation"}},
		{FaultTLSTag, []string{"tls-hw-tx-offload"}},
		{FaultTLSResync, []string{"tls-hw-tx-offload"}},
		{FaultTLSPlain, []string{"tls-hw-tx-offload"}},
		{FaultCapLie, []string{"tx-tcp-segmentation"}},
	} {
		for _, linkTSO := range []bool{true, false} {
			name := tc.fault.String() + map[bool]string{true: "/tso-link", false: "/tso-emulate"}[linkTSO]
			t.Run(name, func(t *testing.T) {
				r := newRig(t, rigConfig{Config{Faults: tc.fault, Seed: 3}, memory.Config{TSO: linkTSO}})
				if v := traffic(r, 11); v.bad == 0 {
					t.Errorf("the fault does no harm: nothing is tested")
				}
				if len(r.logs) > 0 {
					t.Errorf("unverified, and yet %q", r.logs)
				}

				r = newRig(t, rigConfig{Config{Faults: tc.fault, Seed: 3, Verify: 1}, memory.Config{TSO: linkTSO}})
				v := traffic(r, 11)
				v.complete(0, len(v.want))
				off := map[string]bool{}
				for _, f := range r.nif.Features() {
					off[f.Name] = !f.On && !f.Fixed
				}
				for _, name := range tc.off {
					if !off[name] {
						t.Errorf("%s is still on; log: %q", name, r.logs)
					}
				}
				if tc.fault != FaultCapLie && (len(r.logs) == 0 || !strings.Contains(r.logs[0], tc.off[0])) {
					t.Errorf("the log blames another than %s first: %q", tc.off[0], r.logs)
				}
				if len(r.logs) == 0 || !strings.Contains(strings.Join(r.logs, "\n"), "switched off") {
					t.Errorf("the log says nothing of it: %q", r.logs)
				}
			})
		}
	}
}

// A good adapter passes verification of every frame, whatever is switched on.
func TestVerificationOfTheGood(t *testing.T) {
	for _, linkTSO := range []bool{true, false} {
		for _, noCsum := range []bool{true, false} {
			r := newRig(t, rigConfig{Config{Verify: 1}, memory.Config{TSO: linkTSO && !noCsum, NoChecksum: noCsum}})
			v := traffic(r, 12)
			v.complete(0, len(v.want))
			if len(r.logs) > 0 || r.stat("verify_frames") == 0 {
				t.Errorf("verified %d frames: %q", r.stat("verify_frames"), r.logs)
			}
		}
	}
}

// What an offload that was found wrong cannot be spared for, records that are queued already, is verified though
// only a small share is.
func TestSuspectIsVerified(t *testing.T) {
	r := newRig(t, rigConfig{Config{Faults: FaultTLSTag, Seed: 1}, memory.Config{TSO: true}})
	r.nif.distrust(tlsTx, "was rude")
	s := newSession(t, tls13, 16, 0, 5, 9000, 9000, 9000, 9000, 9000, 9000, 9000, 9000)
	if _, err := r.dev.AddContext(&s.crypto); err == nil {
		t.Error("a context of a suspect offload")
	}
	r.nif.features.set(tlsTx, true)
	r.open(s)
	r.nif.features.set(tlsTx, false)
	v := newReceiver(t, s.wire)
	for _, rec := range s.records {
		r.send(r.frame(s, rec.at, rec.at+rec.length, 1448, 4096))
		r.turn()
		v.take(r.arrived())
	}
	v.complete(0, len(s.wire))
	if r.stat("verify_tls") == 0 {
		t.Error("no tag was wrong: nothing is tested")
	}
}

// A frame whose runs and pieces do not fit together is dropped and completes; nothing of it leaves, whatever is wrong.
func TestRefuses(t *testing.T) {
	for name, spoil := range map[string]func(f *link.Frame){
		"a byte too few":     func(f *link.Frame) { f.Pieces[0] = f.Pieces[0][1:] },
		"a byte too many":    func(f *link.Frame) { f.Pieces = append(f.Pieces, []byte{1}) },
		"no pieces":          func(f *link.Frame) { f.Pieces = nil },
		"no records":         func(f *link.Frame) { f.Seal[0].Count = 0 },
		"-1 records":         func(f *link.Frame) { f.Seal[0].Count = -1 },
		"too many records":   func(f *link.Frame) { f.Seal[0].Count = 1 << 40 },
		"too many that fit":  func(f *link.Frame) { f.Seal[0].Count = maxGSO },
		"a record too many":  func(f *link.Frame) { f.Seal[0].Count++ },
		"too long":           func(f *link.Frame) { f.Seal[0].Len = maxRecord + 1 },
		"much too long":      func(f *link.Frame) { f.Seal[0].Len = 1<<32 + f.Seal[0].Len },
		"too short":          func(f *link.Frame) { f.Seal[0].Len = headerLen + tagLen },
		"before the record":  func(f *link.Frame) { f.Seal[0].From = -1 },
		"behind the record":  func(f *link.Frame) { f.Seal[1].To = f.Seal[1].Len + 1 },
		"nothing of it":      func(f *link.Frame) { f.Seal[1].To = 0 },
		"backwards":          func(f *link.Frame) { f.Seal[1].From, f.Seal[1].To = 20, 10 },
		"a gap":              func(f *link.Frame) { f.Seal[1].From = 1 },
		"a gap before":       func(f *link.Frame) { f.Seal[0].To-- },
		"a header too short": func(f *link.Frame) { f.Seal[0].Len-- },
	} {
		for _, tso := range []bool{true, false} {
			r := newRig(t, rigConfig{Config{Verify: 1}, memory.Config{TSO: true}})
			r.nif.setFeature(tso4, tso)
			s := r.open(newSession(t, tls13, 16, 0, 6, 3000, 3000))
			f := r.frame(s, 0, 5000, 1448, 4096)
			spoil(&f)
			r.send(f)
			r.turn()
			if got := r.arrived(); len(got) != 0 || r.dev.Completed() != 1 || r.stat("tx_tls_drop_no_sync_data") != 1 {
				t.Errorf("%s: %d frames left, %d completed", name, len(got), r.dev.Completed())
			}
			if h := r.dev.Health(s.ctx); h != offload.Evicted {
				t.Errorf("%s: health is %v", name, h)
			}
		}
	}
}

// Records that say less, or more, when they are read again than they should.
func TestRefusesDump(t *testing.T) {
	for _, extra := range []int{-1, 1} {
		r := newRig(t, rigConfig{cable: memory.Config{TSO: true}})
		s := r.open(newSession(t, tls13, 16, 0, 6, 9000))
		r.send(r.frame(s, 0, 5000, 1448, 4096))
		again := r.frame(s, 2000, 3000, 1448, 4096)
		again.Seal[0].Records = liar{s.records[0], extra}
		r.send(again)
		r.turn()
		r.wantStat("tx_tls_drop_no_sync_data", 1)
		if got := r.arrived(); len(got) != 1 {
			t.Errorf("%d frames left, want the first", len(got))
		}
	}
}

// A liar is a record that yields extra bytes of plaintext.
type liar struct {
	*record
	extra int
}

func (l liar) Plain(g *stream.Gather, number uint64, from, to int) {
	l.record.Plain(g, number, from, to+l.extra)
}

// A stalled ring is reset after the watchdog's time, and nothing stays pinned.
func TestWatchdog(t *testing.T) {
	r := newRig(t, rigConfig{Config{Faults: FaultStall, Watchdog: time.Second}, memory.Config{}})
	f := r.plainFrame([]byte("x"), 0, 1448, 10)
	for range 3 { // an idle queue is not a stalled one
		r.dev.Completed()
		r.now = r.now.Add(time.Hour)
		r.nif.SetFaults(0)
		r.send(f)
		r.turn()
		r.arrived()
		r.dev.Completed()
		r.dev.watch(r.now) // as Wait does
	}
	r.wantStat("tx_timeout", 0)
	r.nif.SetFaults(FaultStall)
	for range 1000 {
		r.send(f)
		r.turn()
		r.dev.Completed()
	}
	if r.dev.Completed() == r.dev.taken {
		t.Fatal("it never stalled")
	}
	r.now = r.now.Add(999 * time.Millisecond)
	r.send(f)
	r.wantStat("tx_timeout", 0)
	r.now = r.now.Add(time.Millisecond)
	r.send(f)
	r.wantStat("tx_timeout", 1)
	r.wantStat("ifnet.reset", 1)
	r.nif.SetFaults(0)
	r.turn()
	if done := r.dev.Completed(); done != r.dev.taken {
		t.Errorf("%d of %d frames completed after the reset", done, r.dev.taken)
	}
	if r.stat("ifnet.reset_dropped") == 0 || len(r.logs) != 1 {
		t.Errorf("dropped %d, log %q", r.stat("ifnet.reset_dropped"), r.logs)
	}
	r.arrived()
	r.send(f)
	r.turn()
	if got := r.arrived(); len(got) != 1 {
		t.Errorf("%d frames after the reset", len(got))
	}
}

// Completions that come twice or not at all never make more frames complete than are, and in the end all do.
func TestBadCompletions(t *testing.T) {
	r := newRig(t, rigConfig{Config{Faults: FaultCQEDup | FaultCQEDrop, Watchdog: time.Second}, memory.Config{}})
	f := r.plainFrame([]byte("x"), 0, 1448, 10)
	for range 500 {
		r.send(f)
		r.turn()
		r.arrived()
		if done, out := r.dev.Completed(), r.dev.nic.out.done; done > out {
			t.Fatalf("%d frames completed, the adapter is done with %d", done, out)
		}
	}
	if r.stat("tx_cqe_err") == 0 {
		t.Error("no completion came twice: nothing is tested")
	}
	r.nif.SetFaults(FaultCQEDrop)
	for r.dev.Completed() == r.dev.taken {
		r.send(f)
		r.turn()
		r.arrived()
	}
	r.now = r.now.Add(time.Second)
	if _, ok := r.dev.patience(r.now); ok { // what Wait does at the watchdog's time
		t.Error("Wait sleeps on")
	}
	r.turn()
	if done := r.dev.Completed(); done != r.dev.taken {
		t.Errorf("%d of %d frames completed after the reset", done, r.dev.taken)
	}
}

// An adapter that vouches for what it did not verify is found out on the other side of the ring.
func TestRxChecksumFault(t *testing.T) {
	for _, verify := range []float64{0, 1} {
		r := newRig(t, rigConfig{Config{Faults: FaultRxCsum, Verify: verify}, memory.Config{NoChecksum: true}})
		f := r.plainFrame([]byte("hello"), 0, 1448, 10)
		f.Csum = link.CsumComplete // which it is not
		if _, err := r.far.Transmit([]link.Frame{f}); err != nil {
			t.Fatal(err)
		}
		r.turn()
		if n, err := r.dev.Receive(r.got); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		switch got := r.got[0].Csum; {
		case verify == 0 && got != link.CsumValid:
			t.Error("the fault does no harm: nothing is tested")
		case verify == 1 && (got == link.CsumValid || len(r.logs) != 1 || r.nif.features.has(rxCsum)):
			t.Errorf("checksum state %d, log %q", got, r.logs)
		}
	}
}

// Plaintext never leaves: what cannot be sealed is dropped, and completes.
func TestNoPlaintextWithoutContext(t *testing.T) {
	r := newRig(t, rigConfig{Config{Setup: time.Millisecond}, memory.Config{TSO: true}})
	s := r.open(newSession(t, tls12, 16, 0, 6, 5000))
	id := s.ctx
	all := r.frame(s, 0, len(s.wire), 1448, 4096)
	if h := r.dev.Health(id); h != offload.Pending {
		t.Errorf("health is %v before the set-up time has passed", h)
	}
	r.send(all)
	r.wantStat("tx_tls_drop_no_sync_data", 1)
	r.now = r.now.Add(time.Millisecond)
	if h := r.dev.Health(id); h != offload.Good {
		t.Errorf("health is %v after the set-up time", h)
	}
	short := all
	short.Seal = append(short.Seal[:0:0], all.Seal...)
	short.Pieces = all.Pieces[:1] // less plaintext than the run's
	r.send(short)
	r.wantStat("tx_tls_drop_no_sync_data", 2)
	if h := r.dev.Health(id); h != offload.Evicted {
		t.Errorf("health is %v after a frame could not be sealed", h)
	}
	r.dev.DelContext(id)
	r.send(all)
	r.wantStat("tx_tls_drop_bypass_req", 1)
	s.ctx = 0
	r.send(all)
	r.wantStat("tx_tls_drop_bypass_req", 2)
	r.turn()
	if got := r.arrived(); len(got) != 0 {
		t.Errorf("%d frames left", len(got))
	}
	if n, want := r.book.Sum(ledger.LinkDropped), uint64(4*len(s.wire)); n != want {
		t.Errorf("booked %d bytes as dropped, want %d", n, want)
	}
	if n := r.book.Sum(ledger.Fetched) + r.book.Sum(ledger.SealedNIC); n != 0 {
		t.Errorf("booked %d bytes as read or sealed", n)
	}
	if done := r.dev.Completed(); done != 4 {
		t.Errorf("%d of 4 dropped frames completed", done)
	}
}

// After a reset contexts are not where the driver left them: their next frames are brought into place again.
func TestSealingGoesOnAfterReset(t *testing.T) {
	r := newRig(t, rigConfig{cable: memory.Config{TSO: true}})
	s := r.open(newSession(t, tls13, 16, 0, 6, 16384))
	v := newReceiver(t, s.wire)
	send := func(from, to int) {
		r.send(r.frame(s, from, to, 1448, 4096))
	}
	send(0, 5000)
	r.turn()
	send(5000, 7000)
	r.dev.nic.reset.Store(true)
	r.turn() // bytes 5000 to 7000 are lost
	send(7000, 9000)
	r.turn()
	r.wantStat("tx_tls_ooo", 1)
	r.wantStat("tx_tls_drop_lost_place", 0)
	send(5000, 7000)
	send(9000, len(s.wire))
	r.turn()
	v.take(r.arrived())
	v.complete(0, len(s.wire))
}

// A frame that the adapter had to drop because it was posted before the driver knew of a reset costs no more than
// that frame.
func TestLostPlaceHeals(t *testing.T) {
	r := newRig(t, rigConfig{cable: memory.Config{TSO: true}})
	s := r.open(newSession(t, tls13, 16, 0, 6, 16384))
	r.send(r.frame(s, 0, 5000, 1448, 4096))
	r.turn()
	r.dev.table.contexts[r.dev.table.find(s.ctx)].place.off = 17
	r.send(r.frame(s, 5000, 6000, 1448, 4096))
	r.turn()
	r.wantStat("tx_tls_drop_lost_place", 1)
	r.send(r.frame(s, 6000, 7000, 1448, 4096), r.frame(s, 5000, 6000, 1448, 4096))
	r.turn()
	r.wantStat("tx_tls_drop_lost_place", 1)
	v := newReceiver(t, s.wire)
	v.take(r.arrived())
	v.complete(0, 7000)
}

// The blame goes to the offload whose work differs.
func TestDifference(t *testing.T) {
	packet := func(edit func(p []byte)) []byte {
		p := incoming{port: 9, n: 20}.packet([]byte("twenty bytes of text"))
		edit(p)
		return p
	}
	same := packet(func([]byte) {})
	for _, tc := range []struct {
		name   string
		got    [][]byte
		sealed bool
		super  bool
		want   feature
	}{
		{"payload of records", [][]byte{same, packet(func(p []byte) { p[len(p)-1]++ })}, true, true, tlsTx},
		{"sum", [][]byte{same, packet(func(p []byte) { p[20+16]++ })}, true, true, txCsum},
		{"sum of a plain packet", [][]byte{same, packet(func(p []byte) { p[20+16]++ })}, false, false, txCsum},
		{"sequence number", [][]byte{same, packet(func(p []byte) { p[20+5]++ })}, true, true, tso4 | tso6},
		{"short", [][]byte{same, same[:len(same)-1]}, true, true, tso4 | tso6},
		{"missing", [][]byte{same}, true, true, tso4 | tso6},
		{"nothing", nil, true, true, tlsTx},
	} {
		var k checker
		for range 2 {
			k.want.add(&link.Frame{Data: same})
		}
		for _, p := range tc.got {
			k.got.add(&link.Frame{Data: p})
		}
		if got, how := k.difference(tc.sealed, tc.super); got != tc.want || how == "" {
			t.Errorf("%s: blames %s (%s), want %s", tc.name, nameOf(got), how, nameOf(tc.want))
		}
	}
}
