package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/syn"
	"ocaserve/tcpstack/wire"
)

const (
	fE = wire.ECE
	fW = wire.CWR
)

// openECN makes a connection that agreed on ECN.
func openECN(t *testing.T) *peer {
	t.Helper()
	p := newPeer(t, Config{})
	p.listen(ListenConfig{})
	p.send(sg{flags: fS | fE | fW, opt: synOptions()})
	p.want(sg{flags: fSA | fE, ack: 1})
	p.advance(10 * time.Millisecond)
	p.send(sg{flags: fA, seq: 1, ack: 1})
	if !p.host.c.ecn.on || p.host.c.Info().Options&InfoECN == 0 {
		t.Fatal("no ECN")
	}
	return p
}

// RFC 3168 section 6.1.1: who agrees to what, as a server.
func TestECNAccepted(t *testing.T) {
	for _, tt := range []struct {
		cfg  ECN
		syn  wire.Flags
		want bool
	}{
		{ECNAccept, fE | fW, true}, {ECNRequest, fE | fW, true}, {ECNOff, fE | fW, false},
		{ECNAccept, fE, false}, {ECNAccept, fW, false}, {ECNAccept, 0, false},
	} {
		p := newPeer(t, Config{ECN: tt.cfg})
		p.listen(ListenConfig{})
		answer := fSA
		if tt.want {
			answer |= fE
		}
		p.send(sg{flags: fS | tt.syn, opt: synOptions()})
		p.want(sg{flags: answer, ack: 1})
		p.send(sg{flags: fA, seq: 1, ack: 1})
		if p.host.c.ecn.on != tt.want {
			t.Errorf("%v, SYN %s: %v", tt.cfg, flagNames(tt.syn), p.host.c.ecn.on)
		}
	}
}

// Section 6.1.1: as a client, and what a SYN-ACK must look like. Section 6.1.1.1: a SYN that was not answered goes
// out again without ECN, and then there is none.
func TestECNRequested(t *testing.T) {
	for _, tt := range []struct {
		answer wire.Flags
		lost   bool
		want   bool
	}{{fE, false, true}, {0, false, false}, {fE | fW, false, false}, {fW, false, false}, {fE, true, false}} {
		p := newPeer(t, Config{ECN: ECNRequest})
		p.dial()
		p.want(sg{flags: fS | fE | fW})
		if tt.lost {
			p.wantAfter(time.Second, sg{flags: fS})
		}
		p.send(sg{flags: fSA | tt.answer, ack: 1, opt: synOptions()})
		p.want(sg{flags: fA, seq: 1, ack: 1})
		if p.host.c.ecn.on != tt.want {
			t.Errorf("SYN-ACK %s, lost %v: %v", flagNames(tt.answer), tt.lost, p.host.c.ecn.on)
		}
	}
}

// A simultaneous open agrees too (sections 6.1.1 and, of RFC 9293, 3.5 figure 7).
func TestECNCrossed(t *testing.T) {
	p := newPeer(t, Config{ECN: ECNRequest})
	p.dial()
	p.want(sg{flags: fS | fE | fW})
	p.send(sg{flags: fS | fE | fW, opt: synOptions()})
	p.want(sg{flags: fSA | fE, ack: 1})
	p.send(sg{flags: fA, seq: 1, ack: 1})
	p.wantState(StateEstablished)
	if !p.host.c.ecn.on {
		t.Error("no ECN")
	}
}

// A SYN that comes again without ECN has given it up (section 6.1.1.1 on the other side).
func TestECNTakenBack(t *testing.T) {
	p := newPeer(t, Config{})
	p.listen(ListenConfig{})
	p.send(sg{flags: fS | fE | fW, opt: synOptions()})
	p.want(sg{flags: fSA | fE, ack: 1})
	p.send(sg{flags: fS, opt: synOptions()})
	p.want(sg{flags: fSA, ack: 1})
	p.send(sg{flags: fA, seq: 1, ack: 1})
	if p.host.c.ecn.on {
		t.Error("ECN is on")
	}
	if p.host.c.RTT().SRTT() != 0 {
		t.Error("an RTT from a SYN-ACK that went out twice (RFC 6298 section 3, Karn)")
	}
}

// A SYN cookie carries ECN in the timestamp, or declines it.
func TestECNCookie(t *testing.T) {
	for _, ts := range []bool{false, true} {
		p := newPeer(t, Config{})
		p.listen(ListenConfig{})
		o := synOptions()
		o.HasTS, o.TSVal = ts, 5
		seg := wire.Segment{Seq: p.iss, Flags: fS | fE | fW, Options: o}
		want := wire.Flags(0)
		if ts {
			want = fE
		}
		fillSyns(p)
		p.s.answerSyn(p.now, p.s.stack.listenerFor(p.flow.Local, 80), &p.flow, &seg)
		if p.s.stats.SyncookiesSent == 0 {
			t.Fatal("no cookie")
		}
		p.settle()
		p.want(sg{flags: fSA | want, ack: 1})
		p.ts = ts
		p.send(sg{flags: fA, seq: 1, ack: 1})
		if p.host.c == nil || p.host.c.ecn.on != ts {
			t.Errorf("timestamps %v: %+v", ts, p.host.c)
		}
		p.s.syns.Advance(p.now.Add(time.Hour), p.s.resendSynAck)
		p.skip()
	}
}

// fillSyns makes the SYN cache refuse p's flow.
func fillSyns(p *peer) {
	flow := p.flow
	for port := range uint16(20000) {
		flow.RemotePort = 1000 + port
		e := syn.NewEntry(flow, &wire.Segment{}, 1)
		p.s.syns.Add(p.now, &e)
	}
}

// Sections 6.1.4, 6.1.5: new data is ECN-capable; ACKs, retransmissions, the FIN alone and probes are not.
func TestECNWhatIsCapable(t *testing.T) {
	p := openECN(t)
	ecn := func(s *wire.Segment, want uint8) {
		t.Helper()
		if s.ECN != want {
			t.Fatalf("ECN field %d, want %d", s.ECN, want)
		}
	}
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 100})
	ecn(p.want(sg{flags: fA, seq: 1, ack: 101}), wire.NotECT)
	p.write(1000)
	ecn(p.wantData(1, 1000, 101), wire.ECT0)
	p.advance(5 * time.Second)
	for len(p.dev.out) > 0 {
		ecn(p.wantData(1, 1000, 101), wire.NotECT)
	}
	p.send(sg{flags: fA, seq: 101, ack: 1001})
	p.do(func(c *Conn) { c.CloseWrite() })
	ecn(p.want(sg{flags: fFA, seq: 1001, ack: 101}), wire.NotECT)
	p.send(sg{flags: fA, seq: 101, ack: 1002})
}

// Section 6.1.3: ECE from the first CE mark to CWR, and again if that segment is marked itself. Section 6.1.5:
// marks outside of the window say nothing.
func TestECNEcho(t *testing.T) {
	p := openECN(t)
	seq := int64(1)
	data := func(flags wire.Flags, ecn uint8, echo wire.Flags) {
		t.Helper()
		p.send(sg{flags: fA | flags, seq: seq, ack: 1, n: 100, ecn: ecn})
		seq += 100
		p.want(sg{flags: fA | echo, seq: 1, ack: seq})
	}
	for range quickACKs {
		data(0, wire.ECT0, 0)
	}
	data(0, wire.CE, fE) // at once, though a lone segment would wait
	p.send(sg{flags: fA, seq: seq, ack: 1, n: 100, ecn: wire.ECT0})
	seq += 100
	p.wantAfter(delAckLen, sg{flags: fA | fE, seq: 1, ack: seq})
	data(fW, wire.ECT0, 0)
	data(0, wire.CE, fE)
	data(fW, wire.CE, fE)
	p.write(10)
	p.want(sg{flags: fA | fE, seq: 1, ack: seq, n: 10})
	p.send(sg{flags: fA | fW, seq: seq, ack: 11, n: 100, ecn: wire.ECT0})
	seq += 100
	p.want(sg{flags: fA, seq: 11, ack: seq})
	p.send(sg{flags: fA, seq: 1, ack: 11, n: 100, ecn: wire.CE}) // old
	p.want(sg{flags: fA, seq: 11, ack: seq})
	p.send(sg{flags: fA, seq: seq, ack: 11, ecn: wire.CE}) // no data
	if p.s.stats.CEReceived != 3 {
		t.Error("CEReceived", p.s.stats.CEReceived)
	}
}

// Without ECN agreed on, marks and flags mean nothing.
func TestECNOff(t *testing.T) {
	p := opened(t)
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 100, ecn: wire.CE})
	p.want(sg{flags: fA, seq: 1, ack: 101})
	p.write(10)
	if s := p.wantData(1, 10, 101); s.ECN != wire.NotECT {
		t.Error("ECN field", s.ECN)
	}
	if m, echo := p.host.c.ecnMarked(&wire.Segment{Flags: fA | fE}, 10); m != 0 || echo {
		t.Error("an echo counted")
	}
	p.send(sg{flags: fA, seq: 101, ack: 11})
}

// Section 6.1.2: after a reduction the first new data says CWR, in a segment of its own; retransmissions do not.
func TestECNReduced(t *testing.T) {
	p := openECN(t)
	p.do(func(c *Conn) { c.ecnReduced() })
	p.write(3 * 1460)
	p.want(sg{flags: fA | fW, seq: 1, ack: 1, n: 1460})
	p.wantData(1461, 1460, 1)
	p.wantData(2921, 1460, 1)
	if m, echo := p.host.c.ecnMarked(&wire.Segment{Flags: fA | fE}, 1460); m != 1460 || !echo {
		t.Error("marked", m, echo)
	}
	if m, echo := p.host.c.ecnMarked(&wire.Segment{Flags: fA}, 1460); m != 0 || echo {
		t.Error("marked", m, echo)
	}
	p.send(sg{flags: fA, seq: 1, ack: 4381})
}

// eachMark is a scalable controller.
type eachMark struct{ congestion.Controller }

func (eachMark) Scalable() bool { return true }

// RFC 8257 section 3.2: each change of the mark is acknowledged, with what came before under the old state.
func TestECNEachMark(t *testing.T) {
	p := openECN(t)
	p.do(func(c *Conn) { c.cc = eachMark{c.cc}; c.rcv.quickACK = 0 })
	data := func(seq int64, ecn uint8) {
		t.Helper()
		p.send(sg{flags: fA, seq: seq, ack: 1, n: 100, ecn: ecn})
	}
	data(1, wire.ECT0)
	data(101, wire.CE)
	p.want(sg{flags: fA, seq: 1, ack: 101})
	p.want(sg{flags: fA | fE, seq: 1, ack: 201})
	data(201, wire.CE)
	p.wantAfter(delAckLen, sg{flags: fA | fE, seq: 1, ack: 301})
	data(301, wire.ECT0)
	p.want(sg{flags: fA, seq: 1, ack: 401})
	data(401, wire.ECT0)
	data(501, wire.ECT0)
	p.want(sg{flags: fA, seq: 1, ack: 601})
}

// markCount is a controller that reads marks and adds them up.
type markCount struct {
	congestion.Controller
	marked int64
}

func (*markCount) Scalable() bool { return false }

func (m *markCount) Acked(now mono.Time, e congestion.Ack) {
	m.marked += e.Marked
	m.Controller.Acked(now, e)
}

// RFC 8257 section 3.3 counts the marked bytes of each acceptable ACK; those of duplicate ACKs wait with their bytes.
func TestECNMarksOfDuplicates(t *testing.T) {
	p := openECN(t)
	m := &markCount{Controller: p.host.c.cc}
	p.host.c.cc = m
	p.write(5 * 1460)
	p.skip()
	p.advance(10 * time.Millisecond)
	p.send(sg{flags: fA | fE, seq: 1, ack: 1, opt: p.sack(1461, 2921)})
	p.send(sg{flags: fA | fE, seq: 1, ack: 1, opt: p.sack(1461, 4381)})
	p.send(sg{flags: fA, seq: 1, ack: 7301})
	p.skip()
	if m.marked != 2*1460 {
		t.Errorf("%d bytes marked, want %d", m.marked, 2*1460)
	}
}
