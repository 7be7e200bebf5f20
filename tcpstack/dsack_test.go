package tcpstack

import (
	"testing"
	"time"
)

// blocks returns the SACK blocks of the next segment, as offsets from the first byte of the peer's stream plus one.
func (p *peer) blocks(ack int64) (edges []int64) {
	p.t.Helper()
	seg := p.want(sg{flags: fA, seq: 1, ack: ack})
	for _, b := range seg.Options.SACK[:seg.Options.NSACK] {
		edges = append(edges, int64(b.Left.Sub(p.iss)), int64(b.Right.Sub(p.iss)))
	}
	return edges
}

func wantEdges(t *testing.T, what string, got []int64, want ...int64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: blocks %v, want %v", what, got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: blocks %v, want %v", what, got, want)
		}
	}
}

// RFC 2883 section 4: what arrives twice is reported in the first block; below the cumulative ACK it stands alone
// (4.1), above it the block that contains it follows (4.2.2); once only (4 (1)).
func TestDSACKSent(t *testing.T) {
	p := opened(t)
	data := func(seq int64, n int) {
		p.put(sg{flags: fA, seq: seq, ack: 1, n: n})
		p.settle()
	}
	data(1, 1000)
	p.wantAck(1001)
	data(1, 1000) // the whole segment again
	wantEdges(t, "old", p.blocks(1001), 1, 1001)
	data(501, 1000) // half of it is new (section 4.3: the duplicate part only)
	wantEdges(t, "overlap", p.blocks(1501), 501, 1001)
	data(2501, 500) // a hole
	wantEdges(t, "out of order", p.blocks(1501), 2501, 3001)
	data(4001, 500)
	wantEdges(t, "two ranges", p.blocks(1501), 4001, 4501, 2501, 3001)
	data(2501, 500) // again, out of order
	wantEdges(t, "out of order twice", p.blocks(1501), 2501, 3001, 2501, 3001, 4001, 4501)
	data(1501, 1000) // fills the first hole
	wantEdges(t, "after it", p.blocks(3001), 4001, 4501)
	if p.s.stats.DSACKsSent != 3 {
		t.Errorf("%d D-SACKs counted", p.s.stats.DSACKsSent)
	}
}

// Without SACK there is no D-SACK either.
func TestNoDSACKWithoutSACK(t *testing.T) {
	p := newPeer(t, Config{})
	o := synOptions()
	o.SACKPermitted = false
	p.open(o)
	for range 2 {
		p.put(sg{flags: fA, seq: 1, ack: 1, n: 100})
		p.settle()
		wantEdges(t, "no SACK", p.blocks(101))
	}
}

// wantAck expects a bare ACK.
func (p *peer) wantAck(ack int64) { p.t.Helper(); p.want(sg{flags: fA, seq: 1, ack: ack}) }

// RFC 8985 section 7: the last segment of a flight is lost; the probe goes out after two round trips and the time
// that a lone segment's ACK may be delayed, and no time-out is needed (7.3).
func TestTailLossProbe(t *testing.T) {
	p := newPeer(t, Config{Functions: FunctionsRack})
	p.open(synOptions()) // the handshake took 10 ms
	p.write(2920)
	p.wantData(1, 1460, 1)
	p.wantData(1461, 1460, 1)
	p.advance(10 * time.Millisecond)
	p.send(sg{flags: fA, seq: 1, ack: 1461})
	p.wantNone()
	p.advance(150 * time.Millisecond) // a lone segment's ACK may be delayed
	p.wantNone()
	p.advance(100 * time.Millisecond)
	p.wantData(1461, 1460, 1)
	p.send(sg{flags: fA, seq: 1, ack: 2921})
	p.wantNone()
	st := &p.s.stats
	if st.LossProbes != 1 || st.Timeouts != 0 {
		t.Errorf("%d probes, %d time-outs", st.LossProbes, st.Timeouts)
	}
}

// RFC 8985 section 7.4.2, case 1: the D-SACK says that the probe was needless: no reduction.
func TestNeedlessProbe(t *testing.T) {
	p := newPeer(t, Config{Functions: FunctionsRack})
	p.open(synOptions())
	p.write(1000)
	p.wantData(1, 1000, 1)
	p.advance(300 * time.Millisecond)
	p.wantData(1, 1000, 1)
	window := p.host.c.cc.Window()
	p.send(sg{flags: fA, seq: 1, ack: 1001})
	p.send(sg{flags: fA, seq: 1, ack: 1001, opt: p.sack(1, 1001)})
	p.wantNone()
	if w := p.host.c.cc.Window(); w < window || p.s.stats.Recoveries != 0 || p.s.stats.DSACKsReceived != 1 {
		t.Errorf("window %d after %d, %d recoveries, %d D-SACKs", w, window, p.s.stats.Recoveries, p.s.stats.DSACKsReceived)
	}
}

// RFC 2883 section 4 on the ACK of our FIN in LAST-ACK: the connection ends with it, and there is nothing left
// that the D-SACK could teach.
func TestDSACKWithTheLastACK(t *testing.T) {
	p := newPeer(t, Config{Functions: FunctionsRack})
	p.open(synOptions())
	p.write(1000)
	p.wantData(1, 1000, 1)
	p.advance(300 * time.Millisecond)
	p.wantData(1, 1000, 1) // the probe, needless
	p.send(sg{flags: fFA, seq: 1, ack: 1001})
	p.skip()
	p.do(func(c *Conn) { c.CloseWrite() })
	p.want(sg{flags: fFA, seq: 1001, ack: 2})
	p.wantState(StateLastAck)
	p.send(sg{flags: fA, seq: 2, ack: 1002, opt: p.sack(1, 1001)})
	p.wantState(StateClosed)
}
