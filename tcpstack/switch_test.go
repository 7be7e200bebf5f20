package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/netsim"
	"ocaserve/tcpstack/recovery"
)

// What a connection sends while nothing paces it is no debt to the pacer: back at a paced implementation, or a
// controller with a rate, after two unpaced seconds it goes on at once.
func TestSwitchOwesNothing(t *testing.T) {
	for _, name := range []string{"functions", "congestion"} {
		cfg := Config{Congestion: "cubic", Functions: FunctionsRack}
		away := func(c *Conn) error { return c.SetFunctions(FunctionsBase) }
		back := func(c *Conn) error { return c.SetFunctions(FunctionsRack) }
		if name == "congestion" {
			cfg = Config{Congestion: "bbr", Functions: FunctionsBase}
			away = func(c *Conn) error { return c.SetCongestion("cubic") }
			back = func(c *Conn) error { return c.SetCongestion("bbr") }
		}
		w := newWorld(t, 1, netsim.DumbbellConfig{RTT: 20 * time.Millisecond, Rate: goldenRate, BDPs: 1}, cfg)
		d := w.download(0, goldenData, 1<<30)
		w.run(time.Second, func() bool { return d.conn != nil && d.conn.PacingRate() > 0 }) // slow start: a low rate
		for range 2 {
			if err := away(d.conn); err != nil {
				t.Fatal(err)
			}
			if r := d.conn.PacingRate(); r != 0 {
				t.Errorf("%s: paced at %v by nobody", name, r)
			}
			w.run(2*time.Second, nil)
			if err := back(d.conn); err != nil {
				t.Fatal(err)
			}
			got := d.received
			w.run(500*time.Millisecond, nil)
			if share := float64(d.received-got) / float64(goldenRate) * 2; share < .25 {
				t.Errorf("%s: %.0f %% of the bottleneck in the half second after the switch", name, share*100)
			}
		}
	}
}

// A controller that takes over after a time-out, in the middle of the repair, goes on with slow start: all that was
// lost is not sent again one segment per round trip.
func TestSwitchInLoss(t *testing.T) {
	for _, name := range congestion.Names() {
		first := "newreno"
		if name == first {
			first = "cubic"
		}
		p := newPeer(t, Config{Functions: FunctionsRack, Congestion: first})
		p.open(synOptions())
		c := p.host.c
		c.cc.Acked(p.now, congestion.Ack{Delivered: 100_000, InFlight: 1 << 20})
		p.write(60 * 1460)
		p.advance(time.Second)
		p.advance(10 * time.Second) // time-outs: nothing arrives
		if c.rec.State() != recovery.Loss {
			t.Fatal(c.rec.State())
		}
		p.skip()
		if err := c.SetCongestion(name); err != nil {
			t.Fatal(err)
		}
		rounds, at := 0, int64(1461)
		p.quiet = true
		p.send(sg{flags: fA, seq: 1, ack: at})
		for ; c.rec.Flight() > 0 && rounds < 60; rounds++ {
			p.advance(10 * time.Millisecond)
			for _, s := range p.dev.out {
				if off := int64(s.seg.Seq.Sub(p.irs)); off == at {
					at += int64(len(s.seg.Payload))
				}
			}
			p.skip()
			p.send(sg{flags: fA, seq: 1, ack: at})
		}
		p.skip()
		if rounds > 15 {
			t.Errorf("%s to %s: %d round trips for 60 segments", first, name, rounds)
		}
	}
}
