package ktls

import (
	"testing"

	"ocaserve/ktls/offload"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/stream"
)

// A ship is a sender whose application sends records of one size, for stories about who seals them.
type ship struct{ *sender }

const shipRecord = 1000

func newShip(t *testing.T, prepare func(*softNIC)) ship {
	s := ship{newSender(t, AES128GCM, ModeInline, RecordPolicy{SmallBytes: -1, Large: shipRecord})}
	prepare(s.nic)
	if err := s.f.SetMode(ModeNIC); err != nil {
		t.Fatal(err)
	}
	return s
}

// send frames and transmits n records, and has them acknowledged.
func (s ship) send(n int) {
	s.t.Helper()
	if err := s.f.Append(&s.q, []stream.Piece{s.pages.piece(make([]byte, n*shipRecord))}); err != nil {
		s.t.Fatal(err)
	}
	s.book.Add(ledger.Sent, s.end()-s.next)
	s.next = s.end()
	s.ack(s.end())
}

// wantMode checks who would seal the next record.
func (s ship) wantMode(want Mode) {
	s.t.Helper()
	if got := s.f.ModeNow(); got != want {
		s.t.Fatalf("now in mode %v, want %v (%+v)", got, want, s.switches())
	}
}

func (s ship) switches() Switches { return s.f.pool.Stats().Switches }

// A full table, or an interface that can do nothing now, leaves the connection to the CPU; it comes back.
func TestSwitchWhenThereIsNoContext(t *testing.T) {
	for _, c := range []struct {
		why            Reason
		trouble, mend  func(*softNIC)
		switchedOnTime bool // the trouble can come up in the middle
	}{
		{ReasonTableFull, func(n *softNIC) { n.limit = 0 }, func(n *softNIC) { n.limit = 1 }, false},
		{ReasonUnsupported, func(n *softNIC) { n.off = true }, func(n *softNIC) { n.off = false }, false},
		{ReasonEvicted, func(n *softNIC) { n.health = offload.Evicted }, func(n *softNIC) { n.health = offload.Good }, true},
		{ReasonSaturated, func(n *softNIC) { n.health = offload.Saturated }, func(n *softNIC) { n.health = offload.Good }, true},
		{ReasonDisabled, func(n *softNIC) { n.health = offload.Disabled }, func(n *softNIC) { n.health = offload.Good }, true},
	} {
		t.Run(c.why.String(), func(t *testing.T) {
			s := newShip(t, c.trouble)
			s.wantMode(ModeInline)
			if n := s.switches().Failed[c.why]; n != 1 {
				t.Fatalf("%d failures counted for %v", n, c.why)
			}
			if got := s.f.Why(); got != c.why {
				t.Fatalf("the framer says %v", got)
			}
			c.mend(s.nic)
			s.send(minHold)
			s.wantMode(ModeInline)
			s.send(1)
			s.wantMode(ModeNIC)
			if s.switches().ToIfnet != 1 {
				t.Fatalf("%+v", s.switches())
			}
			if c.switchedOnTime {
				c.trouble(s.nic)
				s.send(1)
				s.wantMode(ModeInline)
				if n := s.switches().ToSW[c.why]; n != 1 {
					t.Fatalf("%d switches counted for %v", n, c.why)
				}
			}
			s.finish()
		})
	}
}

// A context that takes time to be set up is used as soon as it is ready, and not asked for twice.
func TestSwitchWaitsForAContext(t *testing.T) {
	s := newShip(t, func(n *softNIC) { n.health = offload.Pending })
	s.send(maxHold + 100)
	s.wantMode(ModeInline)
	if s.nic.added != 1 || s.switches().Failed[ReasonPending] != 1 {
		t.Fatalf("%d contexts asked for, %+v", s.nic.added, s.switches())
	}
	s.nic.health = offload.Good
	s.send(1)
	s.wantMode(ModeNIC)
	s.nic.health = offload.Evicted
	s.send(1)
	s.wantMode(ModeInline)
	s.nic.health = offload.Good
	s.send(minHold)
	s.send(1) // to have waited for a context counts for nothing
	s.wantMode(ModeNIC)
	s.finish()
}

// Retransmissions above 2 % of a window move a connection to the CPU; a window below 0.5 % brings it back, later
// each time.
func TestSwitchByRetransmissions(t *testing.T) {
	s := newShip(t, func(*softNIC) {})
	s.wantMode(ModeNIC)
	window := rexmitWindow / s.book1()
	back := func() (records int) {
		for s.f.ModeNow() != ModeNIC {
			s.send(1)
			records++
		}
		return records
	}
	last := 0
	for i := range 7 {
		for begun := s.f.helm.sent; s.f.helm.sent == begun; {
			s.send(1) // until a window begins
		}
		s.book.Add(ledger.Retransmitted, rexmitWindow/50)
		s.send(1)
		s.wantMode(ModeNIC) // not above 2 % yet
		s.book.Add(ledger.Retransmitted, rexmitWindow/1000)
		s.send(1)
		s.wantMode(ModeInline)
		if n := s.switches().ToSW[ReasonRetransmits]; n != uint64(i+1) {
			t.Fatalf("%d switches counted", n)
		}
		n := back()
		if n < max(window, last) {
			t.Fatalf("back after %d records, last time after %d; a window is %d", n, last, window)
		}
		last = n
		s.send(2 * window) // what was measured before is forgotten
		s.wantMode(ModeNIC)
	}
	if last < maxHold {
		t.Fatalf("back after %d records the 7th time, want %d", last, maxHold)
	}
	// It stays away for as long as there are retransmissions.
	s.book.Add(ledger.Retransmitted, rexmitWindow)
	for range 20 {
		s.send(window / 2)
		s.book.Add(ledger.Retransmitted, rexmitWindow/100)
		s.wantMode(ModeInline)
	}
	s.finish()
}

// With a threshold of 100 % no share of retransmissions moves a connection, with 10 % one above it does.
func TestMaxRexmit(t *testing.T) {
	for _, c := range []struct {
		max, rexmit float64
		want        Mode
	}{{1, 0.9, ModeNIC}, {0.1, 0.08, ModeNIC}, {0.1, 0.12, ModeInline}} {
		s := newShip(t, func(*softNIC) {})
		s.f.pool.SetMaxRexmit(c.max)
		s.book.Add(ledger.Retransmitted, int(rexmitWindow*c.rexmit))
		s.send(1)
		s.wantMode(c.want)
		s.finish()
	}
}

// book1 is what a record adds to the bytes sent.
func (s ship) book1() int { return s.f.keys.wireLen(shipRecord) }

func TestSetMode(t *testing.T) {
	s := newShip(t, func(*softNIC) {})
	s.send(1)
	if err := s.f.SetMode(ModeInline); err != nil {
		t.Fatal(err)
	}
	if s.wantMode(ModeInline); s.f.Mode() != ModeInline || s.switches().ToSW[ReasonCommand] != 1 {
		t.Fatalf("%v, %+v", s.f.Mode(), s.switches())
	}
	if len(s.nic.contexts) != 0 {
		t.Fatal("the context of a connection that left is still taken")
	}
	s.send(2 * maxHold)
	s.wantMode(ModeInline) // a command holds
	for _, m := range []Mode{ModeOff, ModeUser, Mode(9)} {
		if err := s.f.SetMode(m); err != ErrFixedMode {
			t.Errorf("to %v: %v", m, err)
		}
	}
	s.f.pool.nic = nil
	if err := s.f.SetMode(ModeNIC); err != ErrNoNIC {
		t.Errorf("without an interface: %v", err)
	}
	s.f.Close()
	if err := s.f.SetMode(ModeInline); err != ErrClosed {
		t.Errorf("closed: %v", err)
	}
	w, _ := pair(t, AES128GCM)
	if err := newFramer(t, ModeUser, w).SetMode(ModeInline); err != ErrFixedMode {
		t.Errorf("from user: %v", err)
	}
	if err := newFramer(t, ModeOff, nil).SetMode(ModeInline); err != ErrFixedMode {
		t.Errorf("from off: %v", err)
	}
	names := ModeOff.TXTLS() + ModeUser.TXTLS() + ModeInline.TXTLS() + ModeNIC.TXTLS()
	if names != "NONENONESWIFNET" {
		t.Errorf("names %q", names)
	}
}

// After a KeyUpdate a switch holds for what is still queued under the old key too.
func TestSwitchWithAnOldKey(t *testing.T) {
	s := newShip(t, func(*softNIC) {})
	for range 2 {
		if err := s.f.Append(&s.q, []stream.Piece{s.pages.piece(make([]byte, shipRecord))}); err != nil {
			t.Fatal(err)
		}
		if err := s.f.KeyUpdate(&s.q, false); err != nil {
			t.Fatal(err)
		}
		if err := s.f.Append(&s.q, []stream.Piece{s.pages.piece(make([]byte, shipRecord))}); err != nil {
			t.Fatal(err)
		}
		s.wantMode(ModeNIC)
		s.frame(s.next, s.next+10) // the first record is begun
		if err := s.f.SetMode(ModeInline); err != nil {
			t.Fatal(err)
		}
		for i, span := range s.q.spans {
			if left := span.(*record).Offload(); left != (i == 0) {
				t.Fatalf("record %d of two keys: left to the interface: %v", i, left)
			}
		}
		s.flying = nil
		s.ack(s.end())
		s.next = s.end()
		if len(s.nic.contexts) != 0 {
			t.Fatalf("%d contexts are still taken", len(s.nic.contexts))
		}
		if err := s.f.SetMode(ModeNIC); err != nil {
			t.Fatal(err)
		}
	}
	s.finish()
}

// ChaCha20 is sealed by no interface, and none is asked.
func TestSwitchNeverForOtherCiphers(t *testing.T) {
	s := newSender(t, ChaCha20Poly1305, ModeNIC, RecordPolicy{})
	if s.f.ModeNow() != ModeInline || s.nic.added != 0 || s.f.pool.Stats().Switches.Failed[ReasonUnsupported] != 1 {
		t.Fatalf("now %v, %+v", s.f.ModeNow(), s.f.pool.Stats().Switches)
	}
	s.finish()
}

// A switch takes effect between records: a record whose beginning the device has is ended by the device, one that
// the CPU has begun by the CPU. What the CPU has sealed it also seals again; in mode inline it does all of that.
func TestSwitchBetweenRecords(t *testing.T) {
	w, _ := pair(t, AES128GCM)
	if w.keys.gcm == nil {
		t.Skip("this CPU has no engine")
	}
	s := newShip(t, func(*softNIC) {})
	for range 4 {
		if err := s.f.Append(&s.q, []stream.Piece{s.pages.piece(make([]byte, shipRecord))}); err != nil {
			t.Fatal(err)
		}
	}
	spans, size := s.q.spans, s.book1()
	wantLeft := func(span int, want bool) {
		t.Helper()
		if got := spans[span].(*record).Offload(); got != want {
			t.Fatalf("record %d: left to the device: %v, want %v", span, got, want)
		}
	}
	s.frame(0, size+500) // one record and a half
	if err := s.f.SetMode(ModeInline); err != nil {
		t.Fatal(err)
	}
	wantLeft(0, false) // retransmitted from now on by the CPU
	wantLeft(1, true)  // begun by the device
	wantLeft(2, false)
	s.frame(size+500, 2*size)
	s.frame(2*size, 2*size+500)
	if err := s.f.SetMode(ModeNIC); err != nil {
		t.Fatal(err)
	}
	if s.nic.added != 1 {
		t.Fatalf("%d contexts, but the first is still alive", s.nic.added)
	}
	s.f.keys.leaveFrom(0) // even so:
	wantLeft(1, true)
	wantLeft(2, false) // begun by the CPU
	wantLeft(3, true)
	s.frame(2*size+500, 3*size)
	wantLeft(2, false) // sealed by the CPU
	if n := s.book.Sum(ledger.ResealedAhead); n != 0 {
		t.Fatalf("%d bytes sealed to get somewhere", n)
	}
	s.frame(0, 100)
	s.frame(size+100, size+200)
	s.flying = nil
	s.finish()
}
