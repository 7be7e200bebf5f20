package tcpstack

import (
	"net/netip"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/netsim"
)

// Dynamic right-sizing: the buffer grows from 64 KiB fast enough that slow start goes as if it had been at its
// cap from the start, and no further than the path has use for.
func TestTuningKeepsUpWithSlowStart(t *testing.T) {
	run := func(rtt time.Duration, first int) (time.Duration, int) {
		w := newWorld(t, 1, netsim.DumbbellConfig{RTT: rtt, Rate: goldenRate, BDPs: 8},
			// Not paced: the window alone decides when bytes leave.
			Config{ReceiveBuffer: first, MaxReceiveBuffer: 32 << 20, Functions: FunctionsBase})
		most := 0
		d := w.download(0, goldenData, len(goldenData))
		w.run(time.Minute, func() bool {
			for _, c := range w.to[0].flows {
				most = max(most, c.rcv.limit)
			}
			return d.eof
		})
		d.check(t)
		return d.end.Sub(d.start), most
	}
	for _, rtt := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 209 * time.Millisecond} {
		tuned, limit := run(rtt, 0)
		fixed, _ := run(rtt, 32<<20)
		t.Logf("RTT %v: %v, with a large buffer from the start %v; grown to %d", rtt, tuned, fixed, limit)
		if tuned > fixed+time.Millisecond {
			t.Errorf("RTT %v: tuning costs %v", rtt, tuned-fixed)
		}
		if limit > 6*len(goldenData) {
			t.Errorf("RTT %v: the buffer has grown to %d", rtt, limit)
		}
	}
}

// The estimate of a receiver that sends nothing: a sender's pause counts for a little, and without timestamps a
// window that fills slowly for nothing.
func TestReceiverRTT(t *testing.T) {
	const ms = time.Millisecond
	var r rightSizer
	r.sample(500*ms, 10*ms)
	if r.rtt != 20*ms {
		t.Errorf("first sample behind a slow server: %v", r.rtt)
	}
	r.sample(10*ms, 10*ms)
	if r.rtt != 20*ms-10*ms/8 {
		t.Errorf("smoothed: %v", r.rtt)
	}
	r.rtt = 8 * ms
	r.sample(5*time.Second, 0)
	if r.rtt != 11*ms {
		t.Errorf("after a pause: %v", r.rtt)
	}
	r = rightSizer{}
	at := time.Hour
	for i, want := range []time.Duration{0, 30 * ms, 30 * ms, 10 * ms} {
		took := []time.Duration{0, 30 * ms, 90 * ms, 10 * ms}[i]
		at += took
		r.sampleWindow(monoAt(at), int64(i)*1000, int64(i)*1000+1000)
		if r.rtt != want {
			t.Errorf("window %d, in %v: %v, want %v", i, took, r.rtt, want)
		}
	}
	r.sampleWindow(monoAt(at+ms), 3500, 4500)
	if r.rtt != 10*ms {
		t.Error("half a window is no sample")
	}
}

// The window follows what a round brought: twice that, and ahead of a flight that doubles.
func TestRightSize(t *testing.T) {
	r := rightSizer{space: 100_000}
	for _, x := range []struct{ copied, want int64 }{
		{100_000, 216_000}, {150_000, 316_000 + 316_000}, {200_000, 416_000 + 2*416_000},
	} {
		if got := r.rightSize(x.copied, 1000); got != x.want {
			t.Errorf("%d after %d: %d, want %d", x.copied, r.space, got, x.want)
		}
	}
}

func monoAt(d time.Duration) mono.Time { return mono.Time(d) }

// The application, not the path, is the limit: where it leaves bytes unread all the time the buffer stays as it is,
// even if the application takes more of them than before, at whatever pace it looks.
func TestTuningForASlowApplication(t *testing.T) {
	for _, every := range []time.Duration{5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond} {
		p := newPair(t, Config{})
		client, server := p.connect()
		client.pause = true
		server.send = pattern(12_000_000, 1)
		server.Writable(server.c)
		c := client.c
		read := func(rate int, d time.Duration) {
			for range d / every {
				p.run(every, nil)
				c.Discard(min(c.Readable(), rate*int(every/time.Microsecond)))
			}
		}
		read(1, time.Second)
		limit, from := c.rcv.limit, c.in.Offset()
		read(4, time.Second)
		t.Logf("every %v: buffer %d", every, limit)
		if c.rcv.limit != limit {
			t.Errorf("every %v: the buffer has grown from %d to %d", every, limit, c.rcv.limit)
		}
		if n := c.in.Offset() - from; n < 3_900_000 {
			t.Errorf("every %v: only %d bytes were there to read", every, n)
		}
	}
}

// Receivers that all read fast and then stop: what they were promised fits into the memory, so that nothing of it is
// refused and no sender runs into time-outs.
func TestPromisesAreKept(t *testing.T) {
	p := newPair(t, Config{MaxReassembly: 8 << 20})
	if _, err := p.b.stack.Listen(netip.AddrPortFrom(addrB, 80), ListenConfig{
		Accept: func(c *Conn) Handler { c.raise(eventWritable); return source{make([]byte, 16<<10)} },
	}); err != nil {
		t.Fatal(err)
	}
	var conns []*Conn
	var apps []*app
	for i := range 20 {
		flow := flowOf(netip.AddrPortFrom(addrA, uint16(40000+i)), netip.AddrPortFrom(addrB, 80))
		a := &app{}
		c := p.a.newConn(&flow, a)
		c.connect(p.now)
		conns, apps = append(conns, c), append(apps, a)
	}
	p.run(300*time.Millisecond, nil)
	grown := 0
	for i, c := range conns {
		apps[i].pause = true
		if c.rcv.limit > 64<<10 {
			grown++
		}
	}
	p.run(5*time.Second, nil)
	if grown < 10 {
		t.Fatalf("%d buffers have grown: the test proves nothing", grown)
	}
	if n := p.a.blocks.Refused(); n > 0 || p.b.stats.BytesRetransmitted > 0 {
		t.Errorf("%d blocks were refused, %d bytes retransmitted", n, p.b.stats.BytesRetransmitted)
	}
	for _, c := range conns {
		c.Abort()
	}
	if p.a.mem.promised != 0 {
		t.Errorf("%d bytes are promised to nobody", p.a.mem.promised)
	}
}
