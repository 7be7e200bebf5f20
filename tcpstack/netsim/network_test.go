package netsim

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
)

// TestEventsHappenInOrder: by time, and in the order of making at one instant; also those made meanwhile.
func TestEventsHappenInOrder(t *testing.T) {
	n := New(1)
	var got []string
	note := func(s string) func(mono.Time) { return func(mono.Time) { got = append(got, s) } }
	n.After(2*ms, note("c"))
	n.After(1*ms, note("a"))
	n.After(1*ms, func(now mono.Time) {
		note("b")(now)
		n.At(now, note("b2"))
		n.At(Epoch, note("b3")) // the past is now
	})
	n.After(2*ms, note("d"))
	n.After(3*ms, note("too late"))
	if done, err := n.RunFor(3*ms-1, nil); done || err != nil || n.Now() != Epoch.Add(3*ms-1) {
		t.Errorf("done %v, error %v, ended at %v", done, err, n.Now().Sub(Epoch))
	}
	if want := "a b b2 b3 c d"; strings.Join(got, " ") != want {
		t.Errorf("happened: %v, want %s", got, want)
	}
}

// FuzzEventQueue compares the heap with a sorted list.
func FuzzEventQueue(f *testing.F) {
	f.Add([]byte{5, 3, 3, 0x80, 9, 3, 0x80, 0x80})
	f.Fuzz(func(t *testing.T, ops []byte) {
		type entry struct {
			at mono.Time
			id uint64
		}
		var q eventQueue
		var model []entry
		pop := func() {
			slices.SortStableFunc(model, func(a, b entry) int { return int(a.at - b.at) })
			if e := q.pop(); e.at != model[0].at || e.seq != model[0].id {
				t.Fatalf("popped event %d at %d, want %d at %d", e.seq, e.at, model[0].id, model[0].at)
			}
			model = model[1:]
		}
		id := uint64(0)
		for _, op := range ops {
			if op&0x80 == 0 {
				q.push(mono.Time(op), nil, nil)
				model = append(model, entry{mono.Time(op), id})
				id++
			} else if len(model) > 0 {
				pop()
			}
		}
		for len(model) > 0 {
			pop()
		}
		if q.next() != mono.Never {
			t.Fatal("the queue is not empty")
		}
	})
}

func TestHostsAreSteppedWhenTheyHaveReason(t *testing.T) {
	n := New(1)
	a := &puppet{deadline: Epoch.Add(3 * ms)}
	b := &puppet{deadline: mono.Never}
	d := n.NewDevice(DeviceConfig{})
	n.Attach(a)
	n.Attach(b, d)
	n.After(5*ms, func(mono.Time) { n.Inject(d, numbered(1, 100)) })
	n.After(7*ms, func(mono.Time) { d.Wake() })
	again := 2
	b.do = func(mono.Time) (bool, error) { again--; return again > 0, nil }
	n.RunFor(10*ms, nil)
	if want := []time.Duration{0, 3 * ms}; !slices.Equal(a.steps, want) {
		t.Errorf("a was stepped at %v, want %v", a.steps, want)
	}
	if want := []time.Duration{0, 0, 5 * ms, 7 * ms}; !slices.Equal(b.steps, want) { // twice at first: it was busy
		t.Errorf("b was stepped at %v, want %v", b.steps, want)
	}
}

func TestRunEnds(t *testing.T) {
	n := New(1)
	h := &puppet{deadline: Epoch.Add(4 * ms)}
	n.Attach(h)
	done, err := n.RunFor(10*ms, func() bool { return len(h.steps) == 2 })
	if !done || err != nil || n.Now() != Epoch.Add(4*ms) {
		t.Errorf("done %v, error %v, at %v; want it done at 4ms", done, err, n.Now().Sub(Epoch))
	}
	broken := errors.New("broken")
	h.do = func(mono.Time) (bool, error) { return false, broken }
	if _, err := n.RunFor(ms, nil); !errors.Is(err, broken) || !strings.Contains(err.Error(), "at 4ms") {
		t.Errorf("error %v, want the host's and the time", err)
	}
	h.do = func(mono.Time) (bool, error) { return true, nil }
	if _, err := n.RunFor(ms, nil); err == nil || !strings.Contains(err.Error(), "spins") {
		t.Errorf("a host that is busy for ever: error %v", err)
	}
	h.do = func(now mono.Time) (bool, error) { h.deadline = now; return false, nil }
	if _, err := n.RunFor(ms, nil); err == nil || !strings.Contains(err.Error(), "spins") {
		t.Errorf("a host whose deadline does not move: error %v", err)
	}
}

// everything is a path on which all goes wrong at once.
func everything(n *Network) []Element {
	return []Element{
		n.NewWire(WireConfig{Name: "first", Delay: 3 * ms, Jitter: 2 * ms, Duplicate: 0.1, Loss: Bursts(0.05, 3)}),
		n.NewPolicer(PolicerConfig{Name: "policer", Rate: 900_000, Burst: 20_000}),
		n.NewBottleneck(BottleneckConfig{Name: "red", Rate: 800_000, Queue: &RED{Min: 3000, Max: 9000, ECN: true}}),
		n.NewBottleneck(BottleneckConfig{Name: "codel", Rate: 700_001, Queue: &CoDel{Target: ms, Limit: 30_000}}),
		n.NewNarrow(NarrowConfig{Name: "narrow", MTU: 1400}),
		n.NewWire(WireConfig{Name: "last", Jitter: ms, JitterReorders: true, Reorder: 0.1, ReorderBy: 5 * ms, Corrupt: 0.1}),
	}
}

// TestSameSeedSamePackets: to the nanosecond; and the books of every element balance at any time.
func TestSameSeedSamePackets(t *testing.T) {
	run := func(seed uint64) []arrival {
		var all []Element
		l := newLab(t, seed, func(n *Network) []Element { all = everything(n); return all })
		for i := range 2000 {
			l.send(time.Duration(i)*ms, 500+i%1000)
		}
		for range 25 {
			l.run(100 * ms)
			for _, e := range all {
				balance(t, e.(interface{ Counters() Counters }).Counters())
			}
		}
		return l.got
	}
	a, b, c := run(1), run(1), run(2)
	if !slices.Equal(a, b) {
		t.Error("the same seed gave different arrivals")
	}
	if slices.Equal(a, c) || len(a) < 500 {
		t.Errorf("another seed gave the same %d arrivals", len(a))
	}
}

func TestNoAllocations(t *testing.T) {
	n := New(1)
	to := n.NewDevice(DeviceConfig{GRO: true})
	from := n.NewDevice(DeviceConfig{TSO: true, Rate: 1e9})
	from.Connect(Chain(to, everything(n)...))
	f, _ := superframe(false, 16, 1, 1300, 20_000)
	frames := newFrames(64)
	round := func() {
		one := frames[:1]
		one[0] = f
		from.Transmit(one)
		n.RunFor(20*ms, nil)
		to.Receive(frames)
	}
	for range 500 { // until every list has its size
		round()
	}
	if a := testing.AllocsPerRun(200, round); a != 0 {
		t.Errorf("%v allocations per superframe", a)
	}
}

func BenchmarkPath(b *testing.B) {
	n := New(1)
	to := n.NewDevice(DeviceConfig{})
	from := n.NewDevice(DeviceConfig{TSO: true})
	from.Connect(Chain(to,
		n.NewBottleneck(BottleneckConfig{Rate: 1e9, Queue: &DropTail{Bytes: 1 << 20}}),
		n.NewWire(WireConfig{Delay: 10 * ms, Loss: Bernoulli(0.01)})))
	f, _ := superframe(false, 16, 1, 1448, 14_480)
	frames := newFrames(64)
	b.SetBytes(14_480)
	b.ReportAllocs()
	for b.Loop() {
		frames[0] = f
		from.Transmit(frames[:1])
		n.RunFor(20*us, nil)
		to.Receive(frames)
	}
}
