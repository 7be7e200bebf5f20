package nicoffload

import (
	"errors"
	"testing"
	"time"

	"ocaserve/ktls/offload"
	"ocaserve/tcpstack/link/memory"
)

// What the owner has built and not yet transmitted keeps its context: the frame could not be sealed without.
func TestEvictionSparesTheBatch(t *testing.T) {
	r := newRig(t, rigConfig{Config{Contexts: 1, Evict: EvictLRU, Idle: time.Second}, memory.Config{TSO: true}})
	a := r.open(newSession(t, tls13, 16, 0, 1, 9000))
	b := newSession(t, tls13, 16, 0, 2, 100)
	r.now = r.now.Add(time.Minute)
	if h := r.dev.Health(a.ctx); h != offload.Good { // as when a record is gathered
		t.Fatalf("health is %v", h)
	}
	f := r.frame(a, 0, len(a.wire), 1448, 4096)
	if _, err := r.dev.AddContext(&b.crypto); !errors.Is(err, offload.ErrNoContext) {
		t.Fatalf("a context was evicted that a frame needs which is not posted yet: %v", err)
	}
	r.send(f)
	r.turn()
	r.wantStat("tx_tls_drop_bypass_req", 0)
	v := newReceiver(t, a.wire)
	v.take(r.arrived())
	v.complete(0, len(a.wire))
	r.now = r.now.Add(time.Minute)
	r.open(b)
	r.wantStat("tx_tls_ctx_evicted", 1)
}
