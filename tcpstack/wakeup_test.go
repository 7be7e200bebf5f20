package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/netsim"
	"ocaserve/tcpstack/wire"
)

// sending100 is a connection that has an initial window of ten segments in flight and much more to send.
func sending100(t *testing.T, functions, cc string) *peer {
	p := newPeer(t, Config{Functions: functions, Congestion: cc})
	p.quiet = true
	p.open(wire.Options{MSS: 1460, SACKPermitted: true, HasWScale: true, WScale: 7})
	p.write(100 * 1460)
	p.skip()
	p.advance(10 * time.Millisecond)
	if n := p.host.c.rec.Flight(); n != 10*1460 {
		t.Fatalf("%d bytes in flight, want ten segments", n)
	}
	return p
}

// together lets the shard see all segments in one wake-up, or each in a wake-up of its own.
func (p *peer) together(all bool, segments ...sg) {
	for _, g := range segments {
		p.put(g)
		if !all {
			p.settle()
			p.now++
		}
	}
	p.settle()
	p.skip()
}

// A window grows as much when the loop was late and finds all ACKs at once as when it looks at each: RFC 5681 section
// 3.1 counts what is acknowledged. And a loss that comes with them reduces as much: ssthresh is made of a window that
// was in use (RFC 9438 section 4.6).
func TestACKsOfOneWakeUp(t *testing.T) {
	for _, functions := range []string{FunctionsBase, FunctionsRack} {
		for _, cc := range []string{"newreno", "cubic"} {
			var grown, reduced [2]int64
			for i, all := range []bool{false, true} {
				p := sending100(t, functions, cc)
				c := p.host.c
				var acks []sg
				for n := range int64(10) {
					acks = append(acks, sg{flags: fA, seq: 1, ack: 1 + (n+1)*1460})
				}
				p.together(all, acks...)
				grown[i] = c.cc.Window()

				p = sending100(t, functions, cc)
				c = p.host.c
				acks = acks[:5]
				for n := range int64(3) {
					acks = append(acks, sg{flags: fA, seq: 1, ack: 1 + 5*1460, opt: p.sack(1+6*1460, 1+(7+n)*1460)})
				}
				p.together(all, acks...)
				reduced[i] = c.cc.Window()
				if p.s.stats.Recoveries != 1 {
					t.Fatalf("%s %s: %d recoveries", functions, cc, p.s.stats.Recoveries)
				}
			}
			if grown[0] != 20*1460 || grown[1] != grown[0] {
				t.Errorf("%s %s: ten segments acknowledged one by one make a window of %d, together %d", functions, cc, grown[0], grown[1])
			}
			// Limited transmit is part of what was in flight one by one, and never was together.
			if d := reduced[0] - reduced[1]; d < -1460 || d > 1460 {
				t.Errorf("%s %s: a loss makes a window of %d one by one, %d together", functions, cc, reduced[0], reduced[1])
			}
		}
	}
}

// An application that does not use its window gets no larger one from ACKs that come together (RFC 7661 section 4.2).
func TestUnusedWindowInOneWakeUp(t *testing.T) {
	p := newPeer(t, Config{Functions: FunctionsRack})
	p.quiet = true
	p.open(wire.Options{MSS: 1460, SACKPermitted: true, HasWScale: true, WScale: 7})
	end := int64(1)
	for range 20 {
		p.write(2 * 1460)
		p.skip()
		p.advance(10 * time.Millisecond)
		p.together(true, sg{flags: fA, seq: 1, ack: end + 1460}, sg{flags: fA, seq: 1, ack: end + 2*1460})
		end += 2 * 1460
	}
	if w := p.host.c.cc.Window(); w != 10*1460 {
		t.Errorf("a window of %d after two segments per round trip", w)
	}
}

// lossyPath is a path of bench/paths with much random loss, for a response of so many bytes.
type lossyPath struct {
	rtt  time.Duration
	loss float64
	size int
}

// total is the time that transfers with these seeds take; ACKs reach the sender up to late late, several at a time.
func (l lossyPath) total(t *testing.T, functions *Functions, late time.Duration) (sum time.Duration) {
	for seed := range uint64(100) {
		w := newWorld(t, seed, netsim.DumbbellConfig{
			RTT: l.rtt, Rate: goldenRate, BDPs: 1, Sender: netsim.DeviceConfig{Coalesce: late},
			Forward: netsim.WireConfig{Loss: netsim.Bernoulli(l.loss)},
		}, Config{MaxReceiveBuffer: 16 << 20})
		st := w.from[0].stack
		if functions != nil {
			if err := st.RegisterFunctions(functions); err != nil {
				t.Fatal(err)
			}
			if err := st.SetDefaultFunctions(functions.Name); err != nil {
				t.Fatal(err)
			}
		}
		d := w.download(0, goldenData, l.size)
		w.run(10*time.Minute, func() bool { return d.eof || d.err != nil })
		d.check(t)
		sum += d.end.Sub(d.start)
	}
	return sum
}

// Neither a loop that is late by 2 ms nor pacing costs much where windows are small and losses many: the responses
// take as long as with a sender that sends at once, to a few per cent.
func TestLossyPathsInTime(t *testing.T) {
	if raceDetector {
		t.Skip("long simulations in one goroutine")
	}
	for _, l := range []lossyPath{
		{50 * time.Millisecond, .03, 64 << 10},
		{100 * time.Millisecond, .01, 512 << 10},
		{209 * time.Millisecond, .01, 512 << 10},
	} {
		atOnce := l.total(t, Rack("at-once", false), 0)
		paced := l.total(t, nil, 0)
		late := l.total(t, nil, 2*time.Millisecond)
		share := func(d time.Duration) float64 { return float64(d) / float64(atOnce) }
		t.Logf("%v, %d bytes: paced %.3f, with a late loop %.3f of the time without either", l.rtt, l.size, share(paced), share(late))
		if share(paced) > 1.03 || share(late) > 1.08 {
			t.Errorf("%v, %d bytes: paced %.3f, with a late loop %.3f of the time without either", l.rtt, l.size, share(paced), share(late))
		}
	}
}

// What makes a wake-up is the shard's turn, not the stamps of its frames: an interface that receives on its own, as an
// adapter's thread does, stamps each burst when that came, and hands over several.
func TestStampsOfOneWakeUp(t *testing.T) {
	for _, functions := range []string{FunctionsBase, FunctionsRack} {
		p := sending100(t, functions, "newreno")
		stamp := p.now
		p.dev.now = func() mono.Time { stamp += mono.Time(time.Microsecond); return stamp }
		p.now = stamp + mono.Time(time.Millisecond)
		var acks []sg
		for n := range int64(10) {
			acks = append(acks, sg{flags: fA, seq: 1, ack: 1 + (n+1)*1460})
		}
		p.together(true, acks...)
		if w := p.host.c.cc.Window(); w != 20*1460 {
			t.Errorf("%s: ten segments acknowledged with stamps of their own make a window of %d", functions, w)
		}
	}
}
