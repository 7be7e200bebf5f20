package nicoffload

import (
	"testing"
	"time"

	"ocaserve/ktls/offload"
	"ocaserve/tcpstack/link/memory"
)

// What a frame costs: headers and payload, a descriptor, and 24 bytes for each 256.
func TestBusBytes(t *testing.T) {
	r := newRig(t, rigConfig{cable: memory.Config{TSO: true}})
	r.send(r.plainFrame(make([]byte, 1000), 0, 1448, 1000))
	r.turn()
	r.wantStat("bus_bytes", 1040+5*24+64)
	r.wantStat("dram_bytes", 17*64)
}

// A queue whose bus is used up is saturated, stays so while that lasts, and recovers with hysteresis.
func TestSaturation(t *testing.T) {
	r := newRig(t, rigConfig{Config{Bus: 1e6}, memory.Config{TSO: true}})
	s := r.open(newSession(t, tls13, 16, 0, 1, 16000, 16000, 16000))
	health := func(want offload.Health) {
		t.Helper()
		if h := r.dev.Health(s.ctx); h != want {
			t.Errorf("health %v, want %v", h, want)
		}
	}
	health(offload.Good)
	for _, rec := range s.records {
		r.send(r.frame(s, rec.at, rec.at+rec.length, 1448, 4096))
	}
	for range 20 { // 1 MB/s: each record takes 17 ms
		r.turn()
		r.arrived()
		r.now = r.now.Add(time.Millisecond)
	}
	health(offload.Saturated)
	for range 40 {
		r.turn()
		r.arrived()
		r.now = r.now.Add(time.Millisecond)
	}
	r.turn()
	if r.dev.Completed() != 3 {
		t.Fatalf("%d frames completed", r.dev.Completed())
	}
	r.now = r.now.Add(saturationHold)
	health(offload.Good)
	if ns := r.stat("tx_bus_stalled_ns"); ns < 30e6 || ns > 40e6 {
		t.Errorf("stalled for %d ns, want about 36 ms", ns)
	}
}

// Between a fifth and a half of the time the state stays what it was.
func TestSaturationHysteresis(t *testing.T) {
	var s stalled
	var count nicCounters
	now := newRig(t, rigConfig{}).now
	s.window = now
	share := func(percent int) bool {
		ends := now.Add(saturationWindow * time.Duration(percent) / 100)
		s.note(now, ends, &count)
		now = ends
		s.note(now, 0, &count)
		now = now.Add(saturationWindow * time.Duration(100-percent) / 100)
		s.note(now, 0, &count)
		return s.until > now
	}
	for i, step := range []struct {
		percent int
		want    bool
	}{{30, false}, {49, false}, {51, true}, {30, true}, {21, true}, {19, false}, {30, false}} {
		if got := share(step.percent); got != step.want {
			t.Errorf("step %d: stalled for %d %% of a window: saturated is %v", i, step.percent, got)
		}
	}
}

// A thread that had no processor for a while did not wait for the bus meanwhile.
func TestLateThreadIsNoStall(t *testing.T) {
	var s stalled
	var count nicCounters
	now := newRig(t, rigConfig{}).now
	s.window = now
	s.note(now, now.Add(time.Microsecond), &count)
	now = now.Add(10 * saturationWindow)
	s.note(now, 0, &count)
	if s.until > now {
		t.Error("a stall of 1 us makes the queue saturated")
	}
	if ns := count.stalledNs.Load(); ns != 1000 {
		t.Errorf("stalled for %d ns, want 1000", ns)
	}
}

func TestPacketRate(t *testing.T) {
	r := newRig(t, rigConfig{Config{Packets: 1000}, memory.Config{}})
	for range 10 {
		r.send(r.plainFrame([]byte("x"), 0, 1448, 10))
	}
	for ms := range 12 {
		r.turn()
		if got, want := r.dev.Completed(), uint64(min(ms+1, 10)); got != want {
			t.Errorf("after %d ms %d packets are out, want %d", ms, got, want)
		}
		r.now = r.now.Add(time.Millisecond)
	}
}
