package recovery

import (
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
)

// A connection that goes from busy to idle again and again allocates nothing, and neither does the next one.
func TestPoolReuse(t *testing.T) {
	var pool Pool
	var s Sender
	now := mono.Time(time.Hour)
	answer := func() {
		for range 40 {
			now++
			s.Sent(now, s.Next(), s.Next()+mss)
		}
		now += mono.Time(ms)
		s.Ack(now, AckInfo{Ack: s.Next()})
	}
	config := Config{MSS: mss, SACK: true, Detector: DetectorRACK, Rate: true, Pool: &pool}
	s.Init(config)
	answer()
	answer()
	if n := testing.AllocsPerRun(100, answer); n != 0 {
		t.Errorf("%v allocations per answer", n)
	}
	s.Sent(now, s.Next(), s.Next()+mss)
	s.Release()
	if n := testing.AllocsPerRun(100, func() {
		s.Init(Config{MSS: mss, SACK: true, Pool: &pool})
		answer()
		s.Release()
	}); n != 0 {
		t.Errorf("%v allocations per connection", n)
	}
}

// The pool keeps a bounded amount, and only what it can hand out again.
func TestPoolBound(t *testing.T) {
	var f freeList[burst]
	for range 10_000 {
		for class := range 20 {
			f.put(make([]burst, 0, min(1<<class, 64)))
		}
		f.put(nil)
		f.put(make([]burst, 3))
	}
	var n int
	for class, list := range f.free {
		n += len(list) << class
		if len(list) > 0 && cap(f.get(1<<class)) != 1<<class {
			t.Errorf("class %d", class)
		}
	}
	if n > keptPerCap*(maxClass+1) {
		t.Errorf("%d entries kept", n)
	}
	if got := f.get(1<<20 + 1); cap(got) <= 1<<20 {
		t.Error(cap(got))
	}
	var none *freeList[burst]
	none.put(none.get(5))
}
