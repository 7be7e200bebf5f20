package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/recovery"
	"ocaserve/tcpstack/wire"
)

// One ACK may prove a time-out needless (RFC 3522) and begin a reduction, by a hole or an ECN echo. What the undo puts back
// in flight is no part of the window that waits to be sent: no more than that window is in flight afterwards.
func TestUndoLeavesNoRoom(t *testing.T) {
	for _, ecn := range []bool{false, true} {
		p := timestamped(t, ecn)
		c := p.host.c
		mss := int64(c.snd.mss)
		for c.cc.Window() < 100*mss {
			p.advance(10 * time.Millisecond)
			p.skip()
			p.echo = c.tsNow(p.now) - 10
			p.put(sg{flags: wire.ACK, seq: 1, ack: 1 + c.rec.Next()})
			p.settle()
			p.advance(9 * time.Millisecond)
			p.skip()
		}
		p.advance(9 * time.Millisecond)
		p.skip()
		before, original := c.cc.Window(), c.tsNow(p.now)-5
		for c.rec.State() != recovery.Loss {
			p.now = max(p.now+1, p.s.Deadline())
			p.settle()
		}
		p.advance(6 * time.Millisecond)
		p.skip()
		una := c.rec.Una()
		g := sg{flags: wire.ACK, seq: 1, ack: 1 + una + mss}
		if ecn {
			g.flags |= wire.ECE
		} else {
			g.opt = p.sack(1+una+2*mss, 1+una+6*mss)
		}
		g.opt.HasTS, g.opt.TSVal, g.opt.TSEcr = true, p.tsOf(), original
		p.put(g)
		p.settle()
		p.skip()
		if c.rec.State() < recovery.CWR || c.rec.State() == recovery.Loss {
			t.Fatalf("ecn %v: state %v, want a reduction", ecn, c.rec.State())
		}
		most := c.rec.Pipe()
		for i := 0; i < 400 && c.timers[timerPace].IsSet(); i++ {
			p.now = max(p.now+1, c.timers[timerPace])
			p.settle()
			p.skip()
			most = max(most, c.rec.Pipe())
		}
		if most > before {
			t.Errorf("ecn %v: %d segments in flight, the window was %d", ecn, most/mss, before/mss)
		}
	}
}

// timestamped is a connection with timestamps, and ECN if asked for, that has much to send.
func timestamped(t *testing.T, ecn bool) *peer {
	p := newPeer(t, Config{Functions: FunctionsRack, Congestion: "cubic"})
	p.quiet = true
	p.listen(ListenConfig{})
	o := wide()
	o.HasTS, o.TSVal = true, p.tsOf()
	syn, answer := wire.Flags(wire.SYN), wire.SYN|wire.ACK
	if ecn {
		syn, answer = syn|wire.ECE|wire.CWR, answer|wire.ECE
	}
	p.send(sg{flags: syn, opt: o})
	p.want(sg{flags: answer, ack: 1})
	p.advance(10 * time.Millisecond)
	p.ts = true
	p.send(sg{flags: wire.ACK, seq: 1, ack: 1})
	p.write(8 << 20)
	p.skip()
	return p
}
