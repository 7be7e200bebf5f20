package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/wire"
)

// sink is a link that drops what is sent and plays the frames it is given, without allocating.
type sink struct {
	link.Device
	in   [][]byte
	sent int
}

func (d *sink) Receive(frames []link.Frame) (int, error) {
	n := min(len(d.in), len(frames))
	for i := range n {
		frames[i] = link.Frame{Data: d.in[i]}
	}
	d.in = d.in[n:]
	return n, nil
}

func (d *sink) Transmit(f []link.Frame) (int, error) { d.sent += len(f); return len(f), nil }

// steady measures turn, which lays packets onto the link, after enough of them to fill the pools.
func (p *peer) steady(what string, d *sink, turn func()) {
	p.t.Helper()
	p.s.dev = d
	run := func() {
		turn()
		for range 2 {
			p.s.Step(p.now)
		}
		p.now += 1e6
	}
	for range 300 {
		run()
	}
	if n := testing.AllocsPerRun(500, run); n != 0 {
		p.t.Errorf("%s: %v allocations", what, n)
	}
	p.s.dev = p.dev
}

// packets makes a segment as it is on the wire, to be changed in place.
func (p *peer) raw(g sg) []byte {
	s := wire.Segment{
		SrcPort: p.flow.RemotePort, DstPort: p.flow.LocalPort, Flags: g.flags, Window: p.win,
		Seq: p.iss.Add(int(g.seq)), Ack: p.irs.Add(int(g.ack)), Options: g.opt,
	}
	if g.n > 0 {
		s.Payload = peerBytes(g.seq, g.n)
	}
	return p.packet(&s)
}

// TestNoAllocationsPerSegment pins the paths that TestNoAllocations does not take.
func TestNoAllocationsPerSegment(t *testing.T) {
	frames := make([][]byte, 4)
	buf := make([]byte, 2000)
	d := &sink{}
	lay := func(b ...[]byte) {
		d.in = append(frames[:0], b...)
	}
	// emit writes a segment into buf: the numbers change from turn to turn.
	emit := func(p *peer, b []byte, s *wire.Segment) []byte {
		h := wire.IPHeader{Src: p.flow.Remote, Dst: p.flow.Local, Protocol: wire.ProtoTCP, HopLimit: 64}
		s.SrcPort, s.DstPort, s.Flags, s.Window = p.flow.RemotePort, p.flow.LocalPort, wire.ACK, 65535
		return b[:wire.PutSegment(b, &h, s)]
	}

	p := opened(t)
	ack := p.raw(sg{flags: fA, seq: 1, ack: 1})
	p.steady("a pure ACK", d, func() { lay(ack) })

	p = opened(t)
	data, seq := peerBytes(0, 1000), p.iss.Add(1)
	b2 := make([]byte, 2000)
	p.host.got = nil
	p.host.pause = true
	p.host.onReadable = func(c *Conn) { c.Discard(c.Readable()) }
	var s wire.Segment
	p.steady("out of order, then in order", d, func() {
		s = wire.Segment{Seq: seq.Add(1000), Ack: p.irs.Add(1), Payload: data}
		second := emit(p, buf, &s)
		s.Seq = seq
		lay(second, emit(p, b2, &s))
		seq = seq.Add(2000)
	})
	if p.host.c.rcvNext() < 100000 {
		t.Error("nothing was received: the measurement is void")
	}

	p = opened(t)
	p.write(100000)
	p.skip()
	var rto time.Duration
	sent := d.sent
	p.steady("retransmission", d, func() {
		rto = p.host.c.rec.RTO()
		p.now = p.now.Add(rto)
		p.host.c.snd.stalledSince = 0
		p.host.c.rec.SampleRTT(p.now, 10*time.Millisecond) // ends the back-off
	})
	if p.s.stats.Timeouts < 700 || d.sent-sent < 700 {
		t.Errorf("%d time-outs, %d frames: the measurement is void", p.s.stats.Timeouts, d.sent-sent)
	}

	p = opened(t)
	p.host.c.SetKeepAlive(KeepAlive{Idle: time.Second, Count: 1 << 20})
	p.steady("idle timers", d, func() {
		p.now = p.now.Add(time.Second)
		p.host.c.rcv.probes = 0
		p.host.c.SetTimer(p.now.Add(time.Second))
	})
}
