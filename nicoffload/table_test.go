package nicoffload

import (
	"errors"
	"testing"
	"time"

	"ocaserve/ktls/offload"
	"ocaserve/tcpstack/link/memory"
)

var _ offload.NIC = (*Device)(nil)

func TestTableFull(t *testing.T) {
	r := newRig(t, rigConfig{Config: Config{Contexts: 2}})
	a := r.open(newSession(t, tls13, 16, 0, 1, 100))
	r.open(newSession(t, tls13, 16, 0, 2, 100))
	if _, err := r.dev.AddContext(&a.crypto); !errors.Is(err, offload.ErrNoContext) {
		t.Fatalf("a third context in a table of two: %v", err)
	}
	r.wantStat("tx_tls_ctx", 2)
	r.wantStat("tx_tls_ctx_full", 1)
	old := a.ctx
	r.dev.DelContext(old)
	r.dev.DelContext(old) // no harm
	r.wantStat("tx_tls_ctx", 1)
	r.open(a)
	if a.ctx == old {
		t.Error("the handle is used again at once")
	}
	if h := r.dev.Health(old); h != offload.Evicted {
		t.Errorf("health of a context that is gone is %v", h)
	}
}

func TestUnsupported(t *testing.T) {
	r := newRig(t, rigConfig{})
	for _, c := range []offload.Crypto{
		{Version: 0x0302, Key: make([]byte, 16)},
		{Version: tls13, Key: make([]byte, 24)[:23]},
	} {
		if _, err := r.dev.AddContext(&c); !errors.Is(err, offload.ErrUnsupported) {
			t.Errorf("version %#x, key of %d bytes: %v", c.Version, len(c.Key), err)
		}
	}
	r.wantStat("tx_tls_ctx", 0)
}

// A context goes with the last frame in the ring that needs it, and its key is wiped then.
func TestDeleteWhileInRing(t *testing.T) {
	r := newRig(t, rigConfig{Config{Contexts: 1}, memory.Config{TSO: true}})
	s := r.open(newSession(t, tls13, 16, 0, 3, 9000))
	row := &r.dev.table.contexts[0]
	spy := &wipeSpy{sealKey: row.key}
	row.key = spy
	r.send(r.frame(s, 0, len(s.wire), 1448, 4096))
	r.dev.DelContext(s.ctx)
	if row.key == nil || row.raw == [32]byte{} {
		t.Fatal("the key is gone before the frame that needs it")
	}
	if _, err := r.dev.AddContext(&s.crypto); !errors.Is(err, offload.ErrNoContext) {
		t.Fatalf("the row is free before the frame that needs it is gone: %v", err)
	}
	r.turn()
	r.dev.Completed()
	if !spy.wiped || row.key != nil || row.raw != [32]byte{} || row.place.tag != [16]byte{} {
		t.Error("the key was not wiped")
	}
	v := newReceiver(t, s.wire)
	v.take(r.arrived())
	v.complete(0, len(s.wire))
	r.open(s)
}

// A wipeSpy notes that its key was wiped.
type wipeSpy struct {
	sealKey
	wiped bool
}

func (s *wipeSpy) wipe() {
	s.sealKey.wipe()
	s.wiped = true
}

func TestEviction(t *testing.T) {
	r := newRig(t, rigConfig{Config{Contexts: 2, Evict: EvictLRU, Idle: time.Second}, memory.Config{TSO: true}})
	a := r.open(newSession(t, tls13, 16, 0, 1, 100))
	b := r.open(newSession(t, tls13, 16, 0, 2, 100))
	c := newSession(t, tls13, 16, 0, 3, 100)
	r.now = r.now.Add(999 * time.Millisecond)
	if _, err := r.dev.AddContext(&c.crypto); !errors.Is(err, offload.ErrNoContext) {
		t.Fatalf("a context was evicted before it was idle for long: %v", err)
	}
	r.send(r.frame(a, 0, len(a.wire), 1448, 4096)) // so that b is the one not used for longest
	r.now = r.now.Add(time.Millisecond)
	r.open(c)
	if _, err := r.dev.AddContext(&b.crypto); !errors.Is(err, offload.ErrNoContext) {
		t.Errorf("a context was evicted that was in use a millisecond ago: %v", err)
	}
	r.turn()
	r.dev.Completed()
	if _, err := r.dev.AddContext(&b.crypto); !errors.Is(err, offload.ErrNoContext) {
		t.Errorf("a context was evicted that was in use a millisecond ago: %v", err)
	}
	if h := r.dev.Health(b.ctx); h != offload.Evicted {
		t.Errorf("the idle context is %v", h)
	}
	if h := r.dev.Health(a.ctx); h != offload.Good {
		t.Errorf("the context in use is %v", h)
	}
	r.wantStat("tx_tls_ctx_evicted", 1)
	// Both are in the ring: nobody to evict, however long the wait.
	r.send(r.frame(a, 0, len(a.wire), 1448, 4096), r.frame(c, 0, len(c.wire), 1448, 4096))
	r.now = r.now.Add(time.Hour)
	if _, err := r.dev.AddContext(&b.crypto); !errors.Is(err, offload.ErrNoContext) {
		t.Fatalf("a context was evicted that the ring needs: %v", err)
	}
	r.turn()
	r.open(b)
}

// The switch stops new contexts and says so to the old; what they have in the send queue is still sealed.
func TestTLSOff(t *testing.T) {
	r := newRig(t, rigConfig{cable: memory.Config{TSO: true}})
	s := r.open(newSession(t, tls13, 16, 0, 1, 9000))
	if err := r.nif.SetFeature("TXTLS4", false); err != nil {
		t.Fatal(err)
	}
	if h := r.dev.Health(s.ctx); h != offload.Disabled {
		t.Errorf("health is %v with the offload off", h)
	}
	if _, err := r.dev.AddContext(&s.crypto); !errors.Is(err, offload.ErrUnsupported) {
		t.Errorf("AddContext with the offload off: %v", err)
	}
	r.send(r.frame(s, 0, len(s.wire), 1448, 4096))
	r.turn()
	v := newReceiver(t, s.wire)
	v.take(r.arrived())
	v.complete(0, len(s.wire))
}

// A handle whose owner was away for long, as an idle connection is, must not come to name somebody else's key: that
// would seal two plaintexts with one nonce. The row that was freed last is the next one taken.
func TestHandlesAreNotReused(t *testing.T) {
	r := newRig(t, rigConfig{Config: Config{Contexts: 1}})
	s := newSession(t, tls13, 16, 0, 1, 100)
	seen := make(map[any]bool)
	for range 70_000 {
		id, err := r.dev.AddContext(&s.crypto)
		if err != nil {
			t.Fatal(err)
		}
		if seen[id] {
			t.Fatalf("handle %#x after %d others is one of them", id, len(seen))
		}
		seen[id] = true
		r.dev.DelContext(id)
	}
}
