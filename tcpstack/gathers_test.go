package tcpstack

import (
	"testing"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/netsim"
	"ocaserve/tcpstack/wire"
)

// On a short round trip a window that is no multiple of superframes is filled with superframes, and the burst of a pace is
// one: neither's rest leaves as a frame of its own.
func TestSuperframesAreFull(t *testing.T) {
	for _, fn := range []string{FunctionsBase, FunctionsRack} {
		w := newWorld(t, 1, netsim.DumbbellConfig{RTT: 200 * time.Microsecond, Rate: 12_500_000_000, BDPs: 4,
			Receiver: netsim.DeviceConfig{GRO: true, Coalesce: 20 * time.Microsecond}},
			Config{Functions: fn, ReceiveBuffer: 128 << 10, MaxReceiveBuffer: 128 << 10})
		d := w.download(0, goldenData, 32<<20)
		w.run(time.Minute, func() bool { return d.received > 16<<20 })
		c := d.conn
		if fn == FunctionsRack && c.pace.Quantum() != c.superframe() {
			t.Errorf("bursts of %d bytes, superframes of %d", c.pace.Quantum(), c.superframe())
		}
		st := &w.from[0].stats
		mean := st.BytesSent / st.FramesSent
		t.Logf("%s: %d bytes in %d frames, %d in each", fn, st.BytesSent, st.FramesSent, mean)
		if fn == FunctionsBase && mean < 60_000 {
			t.Errorf("frames of %d bytes", mean)
		}
	}
}

// Where the peer's window is what limits, ACKs open it by a segment or two at a time. If a queue holds it, on a short
// path, what leaves is a quarter of it at a time, and the path stays full; if it is in flight all of it is used.
func TestWindowIsGathered(t *testing.T) {
	const window = 32 << 10
	for _, fn := range []string{FunctionsBase, FunctionsRack} {
		for _, tc := range []struct {
			name   string
			rtt    time.Duration
			rate   pacing.Rate
			queued bool
			used   float64 // of what rate or window let through, at least
		}{
			{"a queue", 200 * time.Microsecond, 12_500_000, true, 0.95},
			{"no queue", 200 * time.Microsecond, 1_250_000_000, false, 0.9},
			{"a long path", 5 * time.Millisecond, 1_250_000, false, 0.95},
		} {
			w := newWorld(t, 1, netsim.DumbbellConfig{RTT: tc.rtt, Rate: tc.rate, BDPs: 32},
				Config{Functions: fn, ReceiveBuffer: window, MaxReceiveBuffer: window})
			d := w.download(0, goldenData, 4<<20)
			w.run(time.Minute, func() bool { return d.eof || d.err != nil })
			d.check(t)
			st := &w.from[0].stats
			segments, rate := st.SegmentsSent/st.FramesSent, float64(d.received)/d.end.Sub(d.start).Seconds()
			used := rate / min(float64(tc.rate), window/tc.rtt.Seconds())
			t.Logf("%s, %s: %d segments in a frame, %.2f used", fn, tc.name, segments, used)
			want := uint64(1)
			if tc.queued {
				want = window / 4 / 1448
			}
			if segments < want || used < tc.used {
				t.Errorf("%s, %s: %d segments in a frame, want %d; %.2f used, want %.2f", fn, tc.name, segments, want, used, tc.used)
			}
		}
	}
}

// What the peer's window has room for is not withheld from limited transmit: where most of a flight is lost, its duplicate
// ACKs are what fast retransmit waits for.
func TestGathersNoLimitedTransmit(t *testing.T) {
	for _, fn := range []string{FunctionsBase, FunctionsRack} {
		p := newPeer(t, Config{Functions: fn, Congestion: "newreno"})
		p.quiet = true
		p.win = 40 * 1460
		p.listen(ListenConfig{})
		p.send(sg{flags: wire.SYN, opt: synOptions()})
		p.want(sg{flags: wire.SYN | wire.ACK, ack: 1})
		p.advance(200 * time.Microsecond)
		p.send(sg{flags: wire.ACK, seq: 1, ack: 1})
		c := p.host.c
		p.write(1000 * 1460)
		for range 13 {
			p.advance(200 * time.Microsecond)
			p.skip()
			p.put(sg{flags: fA, seq: 1, ack: 1 + c.rec.Next()})
			p.settle()
		}
		p.advance(200 * time.Microsecond)
		una := c.rec.Una() + 2*1460
		p.put(sg{flags: fA, seq: 1, ack: 1 + una})
		p.settle()
		p.skip()
		for at := una + 37*1460; at <= c.rec.Next(); at += 1460 { // the first 36 are lost
			block := wire.SACKBlock{Left: p.irs.Add(int(1 + una + 36*1460)), Right: p.irs.Add(int(1 + at))}
			p.put(sg{flags: fA, seq: 1, ack: 1 + una, opt: wire.Options{NSACK: 1, SACK: [4]wire.SACKBlock{block}}})
			p.settle()
		}
		p.advance(time.Millisecond)
		if len(p.dev.out) == 0 {
			t.Errorf("%s: nothing was sent for a millisecond, with room for %d bytes", fn, c.windowRoom())
		}
		p.skip()
	}
}

// A policer drops what comes too fast and delays nothing, so that no queue ever shows: a paced window gets through where
// bursts do not, also when the link before it is known to carry much more.
func TestPolicedPath(t *testing.T) {
	for _, rtt := range []time.Duration{20 * time.Millisecond, 40 * time.Millisecond} {
		took := map[string]time.Duration{}
		for _, fn := range []string{FunctionsBase, FunctionsRack} {
			w := newWorld(t, 1, netsim.DumbbellConfig{RTT: rtt, Rate: 125_000_000, BDPs: 1},
				Config{Functions: fn, Congestion: "cubic", MaxReceiveBuffer: 16 << 20})
			policer := w.net.NewPolicer(netsim.PolicerConfig{Rate: 6_250_000, Burst: 32 << 10})
			netsim.Chain(w.bell.Receivers[0], w.bell.Forward[0], policer)
			d := w.download(0, goldenData, 8<<20)
			w.run(5*time.Minute, func() bool { return d.eof || d.err != nil })
			d.check(t)
			took[fn] = d.end.Sub(d.start)
		}
		base, rack := took[FunctionsBase], took[FunctionsRack]
		t.Logf("%v: base %v, rack %v", rtt, base, rack)
		if rack > base/2 {
			t.Errorf("%v behind a policer: rack takes %v, base %v", rtt, rack, base)
		}
	}
}
