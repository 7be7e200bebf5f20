package tcpstack

import (
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/netsim"
	"ocaserve/tcpstack/recovery"
)

// functionsOf returns the registry's line for name.
func functionsOf(t *testing.T, st *Stack, name string) FunctionsInfo {
	t.Helper()
	for _, f := range st.ListFunctions() {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("%s is not registered", name)
	return FunctionsInfo{}
}

// The registry: a block is counted while connections run it, and cannot be removed while they do or while it is the
// default; the default changes at run time and holds for new connections.
func TestFunctionsRegistry(t *testing.T) {
	p := newPeer(t, Config{Functions: FunctionsBase})
	st := p.s.stack
	p.open(synOptions())
	if f := functionsOf(t, st, FunctionsBase); !f.Default || f.Connections != 1 {
		t.Errorf("base: %+v", f)
	}
	mine := Rack("mine", false)
	if err := st.RegisterFunctions(mine); err != nil {
		t.Fatal(err)
	}
	if err := st.RegisterFunctions(Rack("mine", true)); err == nil {
		t.Error("a name was registered twice")
	}
	if err := p.host.c.SetFunctions("mine"); err != nil {
		t.Fatal(err)
	}
	if err := st.UnregisterFunctions("mine"); !errors.Is(err, ErrFunctionsInUse) {
		t.Errorf("a block in use was removed: %v", err)
	}
	if err := st.UnregisterFunctions(FunctionsBase); !errors.Is(err, ErrFunctionsInUse) {
		t.Errorf("the default was removed: %v", err)
	}
	if err := st.SetDefaultFunctions("mine"); err != nil {
		t.Fatal(err)
	}
	p.do(func(c *Conn) { c.Abort() })
	p.skip()
	if f := functionsOf(t, st, "mine"); !f.Default || f.Connections != 0 {
		t.Errorf("after the end of its connection: %+v", f)
	}
	if err := st.UnregisterFunctions(FunctionsBase); err != nil {
		t.Error(err)
	}
	if err := st.SetDefaultFunctions(FunctionsBase); !errors.Is(err, ErrFunctionsUnknown) {
		t.Errorf("a removed block became the default: %v", err)
	}
	if _, err := st.Listen(netip.AddrPortFrom(addrA, 81), ListenConfig{
		Accept: func(*Conn) Handler { return nil }, Functions: FunctionsBase,
	}); !errors.Is(err, ErrFunctionsUnknown) {
		t.Errorf("a listener with a removed block: %v", err)
	}
}

// The listener's choice goes before the default, and what TIME-WAIT keeps counts no more.
func TestListenerChooses(t *testing.T) {
	p := newPeer(t, Config{Functions: FunctionsBase, Congestion: "newreno"})
	p.listen(ListenConfig{Functions: FunctionsRack, Congestion: "cubic"})
	p.connect(synOptions())
	c := p.host.c
	if c.Functions().Name != FunctionsRack || c.Congestion() != "cubic" || c.rec.Detector() != recovery.DetectorRACK {
		t.Errorf("%s, %s, %v", c.Functions().Name, c.Congestion(), c.rec.Detector())
	}
	p.do(func(c *Conn) { c.CloseWrite() })
	p.want(sg{flags: fFA, seq: 1, ack: 1})
	p.send(sg{flags: fFA, seq: 1, ack: 2})
	p.want(sg{flags: fA, seq: 2, ack: 2})
	p.wantState(StateTimeWait)
	if n := functionsOf(t, p.s.stack, FunctionsRack).Connections; n != 0 {
		t.Errorf("%d connections in TIME-WAIT are counted", n)
	}
}

// A cohort gets its share of the 4-tuples, and the same one each time.
func TestCohorts(t *testing.T) {
	p := newPeer(t, Config{Functions: FunctionsRack, Cohorts: []Cohort{
		{Share: .25, Functions: FunctionsBase}, {Share: .1, Congestion: "cubic"},
	}})
	flow, counts := p.flow, [3]int{}
	const n = 20000
	for port := range n {
		flow.RemotePort = uint16(port)
		k := p.s.stack.cohort(&flow)
		switch {
		case k != p.s.stack.cohort(&flow):
			t.Fatal("a flow changes its cohort")
		case k == nil:
			counts[2]++
		case k.Functions == FunctionsBase:
			counts[0]++
		default:
			counts[1]++
		}
	}
	for i, want := range []float64{.25, .1, .65} {
		// Four standard deviations of a binomial distribution.
		if got := float64(counts[i]) / n; math.Abs(got-want) > 4*math.Sqrt(want*(1-want)/n) {
			t.Errorf("cohort %d: %.3f of the flows, want %.3f", i, got, want)
		}
	}
	cfg := Config{Addrs: []netip.Addr{addrA}, Cohorts: []Cohort{{Share: .6}, {Share: .5}}}
	if _, err := New(cfg, nil); err == nil {
		t.Error("shares above 1 in sum")
	}
}

// A live switch of stack and congestion control, every few milliseconds, over a path that loses, reorders and
// duplicates: every byte arrives.
func TestLiveSwitch(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 5))
		w := newWorld(t, seed, netsim.DumbbellConfig{
			RTT: 20 * time.Millisecond, Rate: goldenRate, BDPs: .5,
			Forward: netsim.WireConfig{Loss: netsim.Bernoulli(.01), Reorder: .01, ReorderBy: 5 * time.Millisecond, Duplicate: .005},
			Back:    netsim.WireConfig{Loss: netsim.Bernoulli(.01)},
		}, Config{})
		d := w.download(0, goldenData, len(goldenData))
		stacks, ccs := []string{FunctionsBase, FunctionsRack}, congestion.Names()
		switches := 0
		for !d.eof && d.err == nil && switches < 10_000 {
			w.run(time.Duration(1+rng.IntN(30))*time.Millisecond, nil)
			if d.conn == nil || d.conn.cc == nil {
				continue
			}
			switches++
			err := d.conn.SetFunctions(stacks[rng.IntN(2)])
			if rng.IntN(2) == 0 {
				err = errors.Join(err, d.conn.SetCongestion(ccs[rng.IntN(len(ccs))]))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		d.check(t)
		w.run(5*time.Minute, nil)
		for _, f := range w.from[0].stack.ListFunctions() {
			if f.Connections != 0 {
				t.Errorf("%s: %d connections after the end", f.Name, f.Connections)
			}
		}
		t.Logf("seed %d: %d switches in %v", seed, switches, d.end.Sub(d.start))
	}
}

// A switch hands the window over: it neither falls back to the initial one nor forgets the threshold.
func TestSwitchKeepsTheWindow(t *testing.T) {
	w := newWorld(t, 1, netsim.DumbbellConfig{RTT: 20 * time.Millisecond, Rate: goldenRate, BDPs: 1}, Config{Congestion: "cubic"})
	d := w.download(0, goldenData, 1<<30)
	w.run(2*time.Second, nil)
	for _, name := range congestion.Names() {
		before := d.conn.cc.Window()
		if err := d.conn.SetCongestion(name); err != nil {
			t.Fatal(err)
		}
		if after := d.conn.cc.Window(); after < before/2 || after > before*2 {
			t.Errorf("%s: window %d before, %d after", name, before, after)
		}
		got := d.received
		w.run(time.Second, nil)
		if share := float64(d.received-got) / float64(goldenRate); share < .8 {
			t.Errorf("%s: %.0f %% of the bottleneck in the second after the switch", name, share*100)
		}
	}
}
