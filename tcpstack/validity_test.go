package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/wire"
)

// RFC 5961 section 3.2: a RST counts with exactly RCV.NXT; elsewhere in the window it is challenged; outside
// it is ignored.
func TestReset(t *testing.T) {
	p := opened(t)
	p.send(sg{flags: fR, seq: 0})
	p.send(sg{flags: fR, seq: 70000})
	p.send(sg{flags: fR, seq: -70000})
	p.wantState(StateEstablished)
	for _, seq := range []int64{2, 1000, 65535} {
		p.send(sg{flags: fR, seq: seq})
		p.want(sg{flags: fA, seq: 1, ack: 1})
	}
	p.wantState(StateEstablished)
	p.send(sg{flags: fR, seq: 1})
	p.wantClosed(ErrReset)
	if p.s.stats.ChallengeACKs != 3 || p.s.stats.ResetsReceived != 1 {
		t.Errorf("challenges %d, resets %d", p.s.stats.ChallengeACKs, p.s.stats.ResetsReceived)
	}
}

// The exact number counts with the window closed too (RFC 9293 section 3.4: "special allowance").
func TestResetAtClosedWindow(t *testing.T) {
	p := closedWindow(t)
	p.send(sg{flags: fR, seq: p.edge + 1})
	p.wantState(StateEstablished)
	p.send(sg{flags: fR, seq: p.edge})
	p.wantState(StateClosed)
}

// RFC 5961 section 4.2: a SYN on a synchronized connection is challenged, whatever its number.
func TestSynInEstablished(t *testing.T) {
	p := opened(t)
	for _, seq := range []int64{0, 1, 2, 1 << 20, -1 << 20} {
		p.send(sg{flags: fS, seq: seq})
		p.want(sg{flags: fA, seq: 1, ack: 1})
	}
	p.send(sg{flags: fSA, seq: 0, ack: 1})
	p.want(sg{flags: fA, seq: 1, ack: 1})
	p.wantState(StateEstablished)
	if p.s.stats.ChallengeACKs != 6 {
		t.Error("challenges", p.s.stats.ChallengeACKs)
	}
}

// RFC 5961 section 5.2: SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT, else the segment is dropped with a
// challenge, its payload included.
func TestAckValidity(t *testing.T) {
	p := opened(t)
	p.write(100)
	p.wantData(1, 100, 1)
	p.send(sg{flags: fA, seq: 1, ack: 101})
	for _, ack := range []int64{102, 1 << 30, 101 - 65536, -1 << 30} {
		p.send(sg{flags: fA, seq: 1, ack: ack, n: 10})
		p.want(sg{flags: fA, seq: 101, ack: 1})
	}
	p.wantGot(0)
	p.send(sg{flags: fA, seq: 1, ack: 101 - 65535, n: 10}) // the oldest that is acceptable
	p.want(sg{flags: fA, seq: 101, ack: 11})
	p.wantGot(10)
}

// RFC 5961 section 7: challenges are limited, and the limit renews itself.
func TestChallengeLimit(t *testing.T) {
	p := opened(t)
	burst := func(g sg) (n int) {
		for range 50 {
			p.put(g)
			p.settle()
			n += len(p.dev.out)
			p.skip()
		}
		return n
	}
	for _, g := range []sg{{flags: fR, seq: 9}, {flags: fS, seq: -9}, {flags: fA, seq: 1, ack: 1 << 20}, {flags: fA, seq: 1 << 20, ack: 1}} {
		if n := burst(g); n != challengesPerSecond {
			t.Errorf("%d answers to 50 of %v, want %d", n, g, challengesPerSecond)
		}
		p.advance(challengeWindow)
	}
}

// RFC 9293 section 3.10.7.4, fifth: no ACK bit, no segment.
func TestNoAckBit(t *testing.T) {
	p := opened(t)
	p.send(sg{flags: 0, seq: 1, n: 10})
	p.send(sg{flags: fF, seq: 1})
	p.wantGot(0)
	p.wantState(StateEstablished)
	if p.s.stats.Drops[dropNoAck] != 2 {
		t.Error("drops", p.s.stats.Drops)
	}
}

// RFC 9293 section 3.8.5, RFC 6093: the urgent mechanism is not used: the octets stay in the stream.
func TestUrgentIsData(t *testing.T) {
	p := opened(t)
	p.send(sg{flags: fA | wire.URG, seq: 1, ack: 1, n: 10})
	p.want(sg{flags: fA, seq: 1, ack: 11})
	p.wantGot(10)
}

// RFC 9293 section 3.10.7.4: what is old, or beyond the window, is trimmed off; the first copy of a byte wins.
func TestOverlapAndTrim(t *testing.T) {
	p := opened(t)
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 100})
	p.want(sg{flags: fA, seq: 1, ack: 101})
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 100}) // all of it again: our ACK was lost
	p.want(sg{flags: fA, seq: 1, ack: 101})
	p.send(sg{flags: fA, seq: 51, ack: 1, n: 100})
	p.want(sg{flags: fA, seq: 1, ack: 151})
	p.send(sg{flags: fA, seq: 201, ack: 1, n: 50})
	p.want(sg{flags: fA, seq: 1, ack: 151})
	lie := make([]byte, 100)
	p.send(sg{flags: fA, seq: 151, ack: 1, data: string(append(peerBytes(151, 50), lie...))})
	p.want(sg{flags: fA, seq: 1, ack: 301})
	if string(p.host.got[:250]) != string(peerBytes(1, 250)) {
		t.Fatal("a byte received before was replaced")
	}

	p = opened(t)
	p.host.pause = true
	p.send(sg{flags: fA, seq: 65000, ack: 1, n: 1000}) // 536 bytes are in the window
	p.want(sg{flags: fA, seq: 1, ack: 1})
	for at := int64(1); at < 65000; at += 1000 {
		p.put(sg{flags: fA, seq: at, ack: 1, n: int(min(1000, 65000-at))})
	}
	p.settle()
	p.skip()
	if n := p.host.c.Readable(); n != 65535 {
		t.Errorf("%d bytes taken of a window of 65535", n)
	}
	p.skip()
}

// A FIN counts only when all before it is here, and only within the window.
func TestFinOutOfOrder(t *testing.T) {
	p := opened(t)
	p.send(sg{flags: fFA, seq: 101, ack: 1, n: 100})
	p.want(sg{flags: fA, seq: 1, ack: 1})
	p.wantState(StateEstablished)
	p.send(sg{flags: fA, seq: 201, ack: 1, n: 100}) // behind the FIN there is nothing
	p.want(sg{flags: fA, seq: 1, ack: 1})
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 100})
	p.want(sg{flags: fA, seq: 1, ack: 202})
	p.wantGot(200)
	p.wantState(StateCloseWait)
	p.send(sg{flags: fA, seq: 202, ack: 1, n: 100})
	p.wantGot(200)
	p.skip()
}

// A FIN below what has arrived already is a lie, and changes nothing.
func TestFinBelowData(t *testing.T) {
	p := opened(t)
	p.send(sg{flags: fA, seq: 101, ack: 1, n: 100})
	p.want(sg{flags: fA, seq: 1, ack: 1})
	p.send(sg{flags: fFA, seq: 151, ack: 1})
	p.want(sg{flags: fA, seq: 1, ack: 1})
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 150})
	p.want(sg{flags: fA, seq: 1, ack: 201})
	p.wantState(StateEstablished)
	p.send(sg{flags: fFA, seq: 201, ack: 1})
	p.want(sg{flags: fA, seq: 1, ack: 202})
	p.wantGot(200)
	p.wantState(StateCloseWait)
}

// An ICMP or TCP checksum that is wrong costs the packet (RFC 9293 section 3.1: "MUST check").
func TestWrongChecksum(t *testing.T) {
	p := opened(t)
	p.put(sg{flags: fA, seq: 1, ack: 1, n: 10})
	p.dev.in[0][45] ^= 1
	p.settle()
	p.wantGot(0)
	if p.s.stats.WireDrops[wire.DropTCPChecksum] != 1 {
		t.Error("not counted")
	}
}

// withTimestamps is a connection that uses them.
func withTimestamps(t *testing.T) *peer {
	p := newPeer(t, Config{})
	o := synOptions()
	o.HasTS, o.TSVal = true, p.tsOf()
	p.open(o)
	return p
}

// RFC 7323 section 5.3: PAWS.
func TestPAWS(t *testing.T) {
	p := withTimestamps(t)
	old := func() wire.Options { return wire.Options{HasTS: true, TSVal: p.tsOf() - 1000, TSEcr: p.echo} }
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 10})
	p.want(sg{flags: fA, seq: 1, ack: 11})
	p.send(sg{flags: fA, seq: 11, ack: 1, n: 10, opt: old()})
	p.want(sg{flags: fA, seq: 1, ack: 11})
	p.wantGot(10)
	if p.s.stats.Drops[dropPAWS] != 1 {
		t.Error("drops", p.s.stats.Drops)
	}
	p.send(sg{flags: fR, seq: 11, opt: old()}) // R1: "if the RST bit is not set"
	p.wantClosed(ErrReset)
}

// RFC 7323 section 5.5: after 24 days TS.Recent is no longer valid, and is replaced.
func TestPAWSAfter24Days(t *testing.T) {
	p := withTimestamps(t)
	now := p.tsOf()
	p.advance(25 * 24 * time.Hour)
	p.tsOf = func() uint32 { return now - 5000 } // wrapped, or restarted
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 10})
	if e := p.want(sg{flags: fA, seq: 1, ack: 11}).Options.TSEcr; e != now-5000 {
		t.Errorf("echoes %d, want %d", e, now-5000)
	}
	p.wantGot(10)
}

// RFC 7323 section 3.2: once negotiated, a segment without timestamp is dropped; a RST is not.
func TestMissingTimestamp(t *testing.T) {
	p := withTimestamps(t)
	p.ts = false
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 10})
	p.wantGot(0)
	if p.s.stats.Drops[dropNoTimestamp] != 1 {
		t.Error("drops", p.s.stats.Drops)
	}
	p.send(sg{flags: fR, seq: 1})
	p.wantClosed(ErrReset)
}

// RFC 7323 section 4.3: TSecr is that of the segment that advanced the left edge, so that a hole or a delayed
// ACK counts into the RTT.
func TestTSecrWithHoles(t *testing.T) {
	p := withTimestamps(t)
	val := uint32(0)
	base := p.tsOf()
	p.tsOf = func() uint32 { return base + val }
	step := func(v uint32, seq int64, ack int64, echo uint32) {
		t.Helper()
		val = v
		p.send(sg{flags: fA, seq: seq, ack: 1, n: 100})
		if got := p.want(sg{flags: fA, seq: 1, ack: ack}).Options.TSEcr; got != base+echo {
			t.Errorf("TSecr %d, want %d", got-base, echo)
		}
	}
	step(1, 1, 101, 1)
	step(3, 201, 101, 1) // a hole: the last segment that advanced
	step(4, 301, 101, 1)
	step(2, 101, 401, 2) // the hole is filled by an older segment: its own
	step(6, 401, 501, 6)
}

// A segment that turns out to be a forgery does not touch TS.Recent: it could block the connection.
func TestTimestampPoison(t *testing.T) {
	p := withTimestamps(t)
	far := wire.Options{HasTS: true, TSVal: p.tsOf() + 1<<30}
	for _, g := range []sg{
		{flags: fA, seq: 1, ack: 1 << 20, n: 1, opt: far},
		{flags: fS, seq: 1, opt: far},
		{flags: fR, seq: 2, opt: far},
		{flags: 0, seq: 1, n: 1, opt: far},
	} {
		p.put(g)
		p.settle()
		p.skip()
	}
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 10})
	p.want(sg{flags: fA, seq: 1, ack: 11})
	p.wantGot(10)
}

// RFC 7323 section 1.3 and 3.2: what the SYN does not offer is not used.
func TestNoOptions(t *testing.T) {
	p := newPeer(t, Config{})
	p.listen(ListenConfig{})
	p.send(sg{flags: fS})
	if o := p.want(sg{flags: fSA, ack: 1}).Options; o != (wire.Options{MSS: 1460}) {
		t.Errorf("options in the SYN-ACK: %+v", o)
	}
	p.send(sg{flags: fA, seq: 1, ack: 1})
	p.write(1200)
	p.wantData(1, 536, 1) // RFC 9293 section 3.7.1: 536 by default
	p.wantData(537, 536, 1)
	if o := p.wantData(1073, 128, 1).Options; o != (wire.Options{}) {
		t.Errorf("options: %+v", o)
	}
	p.send(sg{flags: fA, seq: 101, ack: 1201, n: 10})
	if p.want(sg{flags: fA, seq: 1201, ack: 1}).Options.NSACK != 0 {
		t.Error("SACK without permission")
	}
}

// RFC 9293 section 3.7.1: 1220 for IPv6; RFC 6691: the options in each segment come off the MSS.
func TestEffectiveMSS(t *testing.T) {
	for _, c := range []struct {
		v6   bool
		o    wire.Options
		want int
	}{
		{true, wire.Options{}, 1220},
		{true, wire.Options{MSS: 1440}, 1440},
		{true, wire.Options{MSS: 9000}, 1440}, // our own link
		{true, wire.Options{MSS: 1440, HasTS: true, TSVal: 1}, 1428},
		{false, wire.Options{HasTS: true, TSVal: 1}, 524},
		{false, wire.Options{MSS: 1000}, 1000},
		{false, wire.Options{MSS: 1}, minMSS},
	} {
		p := newPeer(t, Config{})
		if c.v6 {
			p = newPeer6(t, Config{})
		}
		p.open(c.o)
		p.write(c.want + 1)
		p.wantData(1, c.want, 1)
		p.wantData(int64(c.want+1), 1, 1)
	}
}

// RFC 7323 section 2.2: the window in a SYN is not scaled, all others are.
func TestWindowScale(t *testing.T) {
	o := synOptions()
	o.WScale = 7
	p := newPeer(t, Config{})
	p.win = 1
	p.listen(ListenConfig{})
	p.send(sg{flags: fS, opt: o, win: window(65535)})
	if s := p.want(sg{flags: fSA, ack: 1}); s.Window != 65535 || s.Options.WScale != 7 {
		t.Errorf("window %d, scale %d", s.Window, s.Options.WScale)
	}
	p.send(sg{flags: fA, seq: 1, ack: 1}) // 128 bytes
	p.write(200)
	p.wantData(1, 128, 1)
	p.send(sg{flags: fA, seq: 1, ack: 129, n: 10})
	p.want(sg{flags: fA, seq: 129, ack: 11, n: 72})
}

// RFC 9293 section 3.4: a segment with one new byte at its end is acceptable, and so is one that spans the whole
// window; what is beyond it is not taken, a FIN included.
func TestSegmentAroundTheWindow(t *testing.T) {
	p := newPeer(t, Config{ReceiveBuffer: 1000, MaxReceiveBuffer: 1000})
	p.open(wire.Options{MSS: 1460})
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 10})
	p.want(sg{flags: fA, seq: 1, ack: 11})
	p.send(sg{flags: fA, seq: 2, ack: 1, n: 10})
	p.want(sg{flags: fA, seq: 1, ack: 12})
	p.wantGot(11)
	p.host.pause = true
	p.send(sg{flags: fFA, seq: 6, ack: 1, n: 1400})
	p.want(sg{flags: fA, seq: 1, ack: 1001})
	p.do(func(c *Conn) { p.host.pause = false; p.host.drain(c) })
	p.want(sg{flags: fA, seq: 1, ack: 1001})
	p.send(sg{flags: fA, seq: 1001, ack: 1, n: 800}) // so the FIN was none
	p.want(sg{flags: fA, seq: 1, ack: 1801})
	p.wantGot(1800)
	p.wantState(StateEstablished)
}
