package netsim

import (
	"math"
	"slices"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// cable is a path of one wire.
func cable(w **Wire, cfg WireConfig) func(*Network) []Element {
	cfg.Name = "wire"
	return func(n *Network) []Element {
		*w = n.NewWire(cfg)
		return []Element{*w}
	}
}

func TestDelayLossAndHoldByNumber(t *testing.T) {
	var w *Wire
	l := newLab(t, 1, cable(&w, WireConfig{
		Delay: 10 * ms, Loss: Numbers{2, 5},
		Hold: map[uint64]time.Duration{3: 2 * ms, 4: 1},
	}))
	l.every(ms, 7, 100)
	l.run(100 * ms)
	l.want("1@10000000", "4@13000001", "3@14000000", "6@15000000", "7@16000000")
	c := w.Counters()
	if balance(t, c); c.Lost != 2 || c.Reordered != 2 || c.OutBytes != 500 || c.Bytes != 700 {
		t.Errorf("counters %+v", c)
	}
}

func TestEveryAndFunc(t *testing.T) {
	var w *Wire
	l := newLab(t, 1, cable(&w, WireConfig{Loss: Every(3)}))
	l.every(1, 7, 100)
	l.run(ms)
	l.want("1@0", "2@1", "4@3", "5@4", "7@6")
	w.SetLoss(LossFunc(func(_ mono.Time, _ uint64, p *Packet) bool { return len(p.Data) > 200 }))
	w.SetDelay(ms)
	l.send(2*ms, 201, 200)
	l.run(5 * ms)
	l.want("9@3000000")
	w.SetLoss(nil)
	l.send(6*ms, 201)
	l.run(5 * ms)
	l.want("10@7000000")
}

// TestDuplicates arrive right behind, and corrupt packets differ in exactly one bit that a checksum covers.
func TestDuplicatesAndBitErrors(t *testing.T) {
	n := New(1)
	w := n.NewWire(WireConfig{Delay: ms, Duplicate: 1, Corrupt: 1})
	for _, v6 := range []bool{false, true} {
		f, _ := superframe(v6, wire.ACK, 1, 0, 100)
		var whole []byte
		n.NewDevice(DeviceConfig{}).cut.Segment(&f, func(p []byte) { whole = slices.Clone(p) })
		got := &keep{}
		w.Connect(got)
		n.Inject(w, whole)
		n.RunFor(ms, nil)
		if len(got.packets) != 2 {
			t.Fatalf("%d packets arrived, want 2", len(got.packets))
		}
		a, b := got.packets[0], got.packets[1]
		if !slices.Equal(b.Data, whole) || b.ID != a.ID {
			t.Errorf("the duplicate is damaged, or has number %d instead of %d", b.ID, a.ID)
		}
		bits := 0
		for i := range whole {
			for d := whole[i] ^ a.Data[i]; d != 0; d &= d - 1 {
				bits++
			}
		}
		if _, ok := segment(a.Data); bits != 1 || ok && checksumHolds(a.Data) {
			t.Errorf("%d bits flipped, and nobody could notice", bits)
		}
	}
	if c := w.Counters(); c.Duplicated != 2 || c.Corrupted != 2 {
		t.Errorf("counters %+v", c)
	}
}

func checksumHolds(b []byte) bool {
	var ip wire.IPHeader
	var seg wire.Segment
	rest, d := wire.ParseIP(b, &ip)
	return d == wire.DropNone && wire.ParseTCP(&ip, rest, true, &seg) == wire.DropNone
}

// keep is the end of a path that keeps packets.
type keep struct{ packets []*Packet }

func (k *keep) Put(_ mono.Time, p *Packet) { k.packets = append(k.packets, p) }

// TestJitter: within its bounds, and in order unless asked otherwise.
func TestJitter(t *testing.T) {
	for _, reorders := range []bool{false, true} {
		var w *Wire
		l := newLab(t, 1, cable(&w, WireConfig{Delay: 5 * ms, Jitter: 10 * ms, JitterReorders: reorders}))
		l.every(ms, 1000, 100)
		l.run(2 * time.Second)
		lo, hi := time.Hour, time.Duration(0)
		for _, a := range l.got {
			d := a.at - time.Duration(a.num-1)*ms
			lo, hi = min(lo, d), max(hi, d)
		}
		if lo < 5*ms || hi >= 15*ms || hi < 14*ms || reorders && lo > 6*ms {
			t.Errorf("delays from %v to %v, want 5ms to 15ms", lo, hi)
		}
		if slices.IsSorted(l.numbers()) == reorders {
			t.Errorf("JitterReorders %v, but in order: %v", reorders, !reorders)
		}
	}
}

// TestShares: the share of packets that something happens to is the configured one, within three standard
// deviations, and it happens to the same packets whatever else goes wrong.
func TestShares(t *testing.T) {
	const n = 100_000
	fates := func(cfg WireConfig) (lost []bool, c Counters) {
		var w *Wire
		l := newLab(t, 1, cable(&w, cfg))
		l.every(1, n, 24)
		l.run(time.Second)
		lost = make([]bool, n+1)
		for i := range lost {
			lost[i] = true
		}
		for _, a := range l.got {
			lost[min(a.num, n)] = false
		}
		balance(t, w.Counters())
		return lost, w.Counters()
	}
	near := func(what string, got uint64, share float64) {
		t.Helper()
		if d := math.Abs(float64(got) - share*n); d > 3*math.Sqrt(share*(1-share)*n) {
			t.Errorf("%s: %d of %d, want %.0f", what, got, n, share*n)
		}
	}
	alone, c := fates(WireConfig{Loss: Bernoulli(0.03)})
	near("lost", c.Lost, 0.03)
	_, c = fates(WireConfig{Duplicate: 0.02, Reorder: 0.05, ReorderBy: 10})
	near("duplicated", c.Duplicated, 0.02)
	near("reordered", c.Reordered, 0.05)
	together, c := fates(WireConfig{Loss: Bernoulli(0.03), Duplicate: 0.2, Reorder: 0.1, ReorderBy: 10, Jitter: 5})
	if !slices.Equal(alone, together) {
		t.Error("other misfortunes changed which packets are lost")
	}
	near("duplicated of those that live", c.Duplicated, 0.2*0.97)
}

func TestOutages(t *testing.T) {
	var w *Wire
	l := newLab(t, 1, cable(&w, WireConfig{Loss: AnyOf{
		Outage{Epoch.Add(2 * ms), Epoch.Add(4 * ms)}, Numbers{7}, Outage{Epoch.Add(8 * ms), mono.Never},
	}}))
	l.every(ms, 11, 100)
	l.run(time.Second)
	l.want("1@0", "2@1000000", "5@4000000", "6@5000000", "8@7000000")
}

// TestBurstsEndWhenIdle: a state that only packets can end would starve who sends one per time-out.
func TestBurstsEndWhenIdle(t *testing.T) {
	g := &GilbertElliott{GoodToBad: 1, LossBad: 1, Idle: time.Second}
	r := New(1).random("w", "loss")
	var got []bool
	for _, at := range []time.Duration{0, 999 * ms, 1998 * ms, 2998 * ms} {
		g.GoodToBad = max(0, 1-float64(at)) // only the first packet begins a burst
		got = append(got, g.Lost(Epoch.Add(at), r, 0, nil))
	}
	if want := []bool{true, true, true, false}; !slices.Equal(got, want) {
		t.Errorf("lost %v, want %v", got, want)
	}
}

// TestGilbertElliott: the share and the mean length of bursts are those of its formulas.
func TestGilbertElliott(t *testing.T) {
	for _, tt := range []struct {
		name         string
		model        *GilbertElliott
		share, burst float64
	}{
		{"bursts", Bursts(0.02, 8), 0.02, 8},
		{"long bursts", Bursts(0.01, 30), 0.01, 30},
		{"both lossy", &GilbertElliott{GoodToBad: 0.01, BadToGood: 0.04, LossGood: 0.005, LossBad: 0.5}, 0.104, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const n = 2_000_000
			r := New(1).random("w", "loss")
			lost, bursts, before := 0, 0, false
			for i := range uint64(n) {
				now := tt.model.Lost(Epoch, r, i, nil)
				if now {
					lost++
					if !before {
						bursts++
					}
				}
				before = now
			}
			if share := float64(lost) / n; math.Abs(share/tt.share-1) > 0.1 {
				t.Errorf("%.5f lost, want %.5f", share, tt.share)
			}
			if mean := float64(lost) / float64(bursts); tt.burst > 0 && math.Abs(mean/tt.burst-1) > 0.1 {
				t.Errorf("bursts of %.2f packets on average, want %.2f", mean, tt.burst)
			}
		})
	}
}
