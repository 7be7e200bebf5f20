package nicoffload

import (
	"testing"
	"time"

	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/mono"
)

// arrivals turns the adapter for some milliseconds, one at a time, and returns how many packets arrive in each.
func (r *rig) arrivals(v *receiver, ms int) []int {
	r.t.Helper()
	var counts []int
	for range ms {
		r.turn()
		frames := r.arrived()
		counts = append(counts, len(frames))
		v.take(frames)
		r.now = r.now.Add(time.Millisecond)
	}
	return counts
}

func TestRateSpreadsSegments(t *testing.T) {
	for _, seal := range []bool{false, true} {
		r := newRig(t, rigConfig{cable: memory.Config{TSO: true}})
		s := r.open(newSession(t, tls13, 16, 0, 1, 16384))
		v := newReceiver(t, s.clear)
		f := r.plainFrame(s.clear[:5000], 0, 1000, 777)
		if seal {
			v = newReceiver(t, s.wire)
			f = r.frame(s, 0, 5000, 1000, 777)
		}
		f.Rate, f.Flow = 1e6, 9 // a segment each millisecond
		r.send(f)
		if got, want := r.arrivals(v, 7), []int{1, 1, 1, 1, 1, 0, 0}; !equalInts(got, want) {
			t.Errorf("sealed %v: packets arrive as %v, want %v", seal, got, want)
		}
		v.complete(0, 5000)
	}
}

// The memory of a frame is free as soon as the adapter has read it; what follows in the flow, at a rate or not,
// leaves behind it; other flows do not wait.
func TestRateKeepsOrderOfFlow(t *testing.T) {
	r := newRig(t, rigConfig{cable: memory.Config{TSO: true}})
	s := newSession(t, tls13, 16, 0, 1, 16384)
	v := newReceiver(t, s.clear)
	send := func(from, to int, rate uint64, flow uint32) {
		f := r.plainFrame(s.clear[from:to], from, 1000, 777)
		f.Rate, f.Flow = rate, flow
		r.send(f)
	}
	send(0, 3000, 1e6, 9)
	send(3000, 5000, 2e6, 9)
	send(5000, 6000, 0, 9)
	send(6000, 8000, 0, 10)
	send(8000, 10000, 1e6, 11)
	r.turn()
	if done := r.dev.Completed(); done != 5 {
		t.Errorf("%d frames completed, want 5", done)
	}
	// ms 0: one of 9, both of 10 in a superframe, one of 11; ms 1: one of 9, one of 11; ms 2: 9; ms 3: two of 9 at
	// half a millisecond, of which the second is seen at ms 4, with the one that has no rate.
	if got, want := r.arrivals(v, 6), []int{3, 2, 1, 1, 2, 0}; !equalInts(got, want) {
		t.Errorf("packets arrive as %v, want %v", got, want)
	}
	v.complete(0, 10000)
}

func TestRateOff(t *testing.T) {
	r := newRig(t, rigConfig{})
	s := newSession(t, tls13, 16, 0, 1, 16384)
	if err := r.nif.SetFeature("TXRTLMT", false); err != nil {
		t.Fatal(err)
	}
	f := r.plainFrame(s.clear[:5000], 0, 1000, 777)
	f.Rate, f.Flow = 1e6, 9
	r.send(f)
	v := newReceiver(t, s.clear)
	if got, want := r.arrivals(v, 2), []int{5, 0}; !equalInts(got, want) {
		t.Errorf("packets arrive as %v, want %v", got, want)
	}
}

// When the adapter's memory is full of frames that are being spread, the ring waits, and a reset frees it.
func TestRateMemory(t *testing.T) {
	r := newRig(t, rigConfig{cable: memory.Config{TSO: true}})
	f := r.plainFrame(make([]byte, 2000), 0, 1000, 777)
	for i := range maxSpreads + 10 {
		f.Rate, f.Flow = 1e6, uint32(i+1)
		r.send(f)
		r.turn()
		r.arrived()
	}
	if done := r.dev.Completed(); done != maxSpreads {
		t.Errorf("%d frames completed, want %d", done, maxSpreads)
	}
	if n := r.stat("tx_rtlmt_held"); n == 0 {
		t.Error("no frame had to wait")
	}
	r.now = r.now.Add(time.Millisecond)
	r.turn()
	r.arrived()
	if done := r.dev.Completed(); done != r.dev.taken {
		t.Errorf("%d of %d frames completed", done, r.dev.taken)
	}
	r.dev.nic.empty()
	if got := r.stat("tx_rtlmt_dropped"); got != 10 {
		t.Errorf("%d packets dropped by the reset, want 10", got)
	}
	r.send(f)
	r.turn()
	if got := len(r.arrived()); got != 1 {
		t.Errorf("%d packets at once after the reset, want 1", got)
	}
	r.now = r.now.Add(time.Millisecond)
	r.turn()
	if got := len(r.arrived()); got != 1 {
		t.Errorf("%d packets a millisecond after, want 1", got)
	}
}

// Flows that fall on the same places of the table keep theirs, as long as there is one, then the one soonest
// through gives way.
func TestLanes(t *testing.T) {
	var s shaper
	for i := range uint32(laneProbes) {
		s.lane(5+i*lanes, 100).free = mono.Time(1000 - i) // the last is through first
	}
	for i := range uint32(laneProbes) {
		if l := s.lane(5+i*lanes, 100); l.free != mono.Time(1000-i) {
			t.Errorf("flow %d has lost its place", i)
		}
	}
	if l := s.lane(5+laneProbes*lanes, 100); l.free != 100 {
		t.Errorf("a new flow begins at %v, want now", l.free)
	}
	if l := s.lane(5, 100); l.free != 1000 {
		t.Error("the flow that takes longest has lost its place")
	}
	if l := s.lane(5+(laneProbes-1)*lanes, 100); l.free != 100 {
		t.Error("the flow that is soonest through has kept its place")
	}
}
