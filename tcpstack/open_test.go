package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/wire"
)

const (
	fS, fA, fF, fR = wire.SYN, wire.ACK, wire.FIN, wire.RST
	fSA, fFA, fRA  = wire.SYN | wire.ACK, wire.FIN | wire.ACK, wire.RST | wire.ACK
)

// RFC 9293 section 3.5, figure 6.
func TestPassiveOpen(t *testing.T) {
	p := newPeer(t, Config{})
	p.listen(ListenConfig{})
	p.send(sg{flags: fS, opt: synOptions()})
	o := p.want(sg{flags: fSA, ack: 1}).Options
	if o.MSS != 1460 || !o.HasWScale || !o.SACKPermitted || o.HasTS {
		t.Errorf("options %+v", o)
	}
	if len(p.s.flows) != 0 || p.s.syns.Len() != 1 {
		t.Error("a half-open connection belongs into the SYN cache")
	}
	p.send(sg{flags: fA, seq: 1, ack: 1})
	p.wantState(StateEstablished)
	if p.s.syns.Len() != 0 || p.s.stats.Accepted != 1 {
		t.Error("the SYN cache still holds the connection")
	}
}

// RFC 9293 section 3.8.1: a SYN-ACK that is not answered is sent again, and given up in the end.
func TestSynAckIsRetransmitted(t *testing.T) {
	p := newPeer(t, Config{})
	p.listen(ListenConfig{})
	p.send(sg{flags: fS, opt: synOptions()})
	p.want(sg{flags: fSA, ack: 1})
	for _, d := range []time.Duration{1, 2, 4, 8, 16} {
		p.wantAfter(d*time.Second, sg{flags: fSA, ack: 1})
	}
	p.advance(2 * time.Minute)
	p.wantNone()
	if p.s.syns.Len() != 0 {
		t.Error("never given up")
	}
	p.send(sg{flags: fA, seq: 1, ack: 1})
	p.want(sg{flags: fR, seq: 1})
}

// A SYN that comes again gets the same SYN-ACK.
func TestSynComesAgain(t *testing.T) {
	p := newPeer(t, Config{})
	p.listen(ListenConfig{})
	for range 3 {
		p.send(sg{flags: fS, opt: synOptions()})
		p.want(sg{flags: fSA, ack: 1})
	}
	if p.s.syns.Len() != 1 {
		t.Error("one connection, one entry")
	}
	p.send(sg{flags: fA, seq: 1, ack: 1})
	p.wantState(StateEstablished)
}

// RFC 9293 section 3.10.7.4, SYN-RECEIVED: an unacceptable ACK is answered by <SEQ=SEG.ACK><CTL=RST>, and
// opens nothing; a RST with the right number ends the attempt (RFC 5961 section 3.2), another does not.
func TestHalfOpenForged(t *testing.T) {
	p := newPeer(t, Config{})
	p.listen(ListenConfig{})
	p.send(sg{flags: fS, opt: synOptions()})
	p.want(sg{flags: fSA, ack: 1})
	p.send(sg{flags: fA, seq: 1, ack: 2})
	p.want(sg{flags: fR, seq: 2})
	p.send(sg{flags: fA, seq: -5, ack: 1}) // outside the window: acknowledged
	p.want(sg{flags: fA, seq: 1, ack: 1})
	p.send(sg{flags: fSA, seq: 1, ack: 1}) // SYN in SYN-RECEIVED never completes an open
	p.want(sg{flags: fR, seq: 1})
	p.wantState(StateClosed)
	p.send(sg{flags: fR, seq: 2})
	if p.s.syns.Len() != 1 {
		t.Fatal("a RST with the wrong number counted")
	}
	p.send(sg{flags: fR, seq: 1})
	if p.s.syns.Len() != 0 {
		t.Fatal("a RST with the right number did not count")
	}
}

// RFC 4987 section 3.6: with the SYN cache full the answer is a cookie, and nothing is remembered.
func TestSynCookies(t *testing.T) {
	p := newPeer(t, Config{MaxHalfOpen: 8})
	p.listen(ListenConfig{})
	p.advance(time.Second)
	for port := range uint16(200) { // the flood
		p.flow.RemotePort = 1000 + port
		p.put(sg{flags: fS, opt: synOptions()})
		p.settle()
	}
	p.skip()
	if p.s.stats.SyncookiesSent == 0 {
		t.Fatal("no cookie was sent")
	}
	sent := p.s.stats.SyncookiesSent
	p.flow.RemotePort = 50000
	p.send(sg{flags: fS, opt: synOptions()})
	p.want(sg{flags: fSA, ack: 1})
	if p.s.stats.SyncookiesSent == sent {
		t.Skip("the SYN found room in the cache")
	}
	p.send(sg{flags: fA, seq: 1, ack: 3}) // a guess
	p.want(sg{flags: fR, seq: 3})
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 10})
	p.want(sg{flags: fA, seq: 1, ack: 11})
	p.wantState(StateEstablished)
	p.wantGot(10)
	if p.s.stats.SyncookiesRecv != 1 {
		t.Error("SyncookiesRecv", p.s.stats.SyncookiesRecv)
	}
	p.s.syns.Advance(p.now.Add(time.Hour), p.s.resendSynAck) // ends the flood
	p.settle()
	p.skip()
}

// RFC 9293 section 3.10.7.1: what is for nobody is reset; a RST never is.
func TestClosedPort(t *testing.T) {
	p := newPeer(t, Config{})
	p.send(sg{flags: fS, seq: 0})
	p.want(sg{flags: fRA, ack: 1, seq: int64(wire.Seq(0).Sub(p.irs))})
	p.send(sg{flags: fA, seq: 5, ack: 77, n: 3})
	p.want(sg{flags: fR, seq: 77})
	p.send(sg{flags: fR, seq: 5})
	p.send(sg{flags: fF, seq: 5, n: 3})
	p.want(sg{flags: fRA, ack: 9})
}

// RFC 9293 sections 3.5 and 3.10.7.3.
func TestActiveOpen(t *testing.T) {
	p := newPeer(t, Config{})
	p.dial()
	o := p.want(sg{flags: fS}).Options
	if o.MSS != 1460 || !o.HasWScale || !o.SACKPermitted || !o.HasTS {
		t.Errorf("options %+v", o)
	}
	p.wantState(StateSynSent)
	p.send(sg{flags: fA, ack: 9, seq: 1}) // SEG.ACK > SND.NXT: reset, stay
	p.want(sg{flags: fR, seq: 9})
	p.send(sg{flags: fRA, ack: 9}) // a RST for something else: ignored
	p.send(sg{flags: fR, ack: 0})
	p.wantState(StateSynSent)
	p.send(sg{flags: fSA, ack: 1, opt: synOptions()})
	p.want(sg{flags: fA, seq: 1, ack: 1})
	p.wantState(StateEstablished)
	if p.host.writable != 1 {
		t.Errorf("%d Writable events say that it is open", p.host.writable)
	}
}

// What the peer's SYN-ACK does not offer is not used (RFC 7323 sections 2.2 and 3.2, RFC 2018 section 2).
func TestActiveOpenWithoutOptions(t *testing.T) {
	p := newPeer(t, Config{})
	p.dial()
	p.want(sg{flags: fS})
	p.send(sg{flags: fSA, ack: 1})
	p.want(sg{flags: fA, seq: 1, ack: 1})
	p.write(600)
	if o := p.wantData(1, 536, 1).Options; o != (wire.Options{}) {
		t.Errorf("options %+v", o)
	}
	p.wantData(537, 64, 1)
	p.send(sg{flags: fA, seq: 11, ack: 601, n: 10})
	if s := p.want(sg{flags: fA, seq: 601, ack: 1}); s.Options != (wire.Options{}) || s.Window < 60000 {
		t.Errorf("window %d, options %+v", s.Window, s.Options)
	}
}

func TestRefused(t *testing.T) {
	p := newPeer(t, Config{})
	p.dial()
	p.want(sg{flags: fS})
	p.send(sg{flags: fRA, ack: 1})
	p.wantClosed(ErrRefused)
}

// RFC 6298 section 2.1 and 5.5, RFC 9293 section 3.8.3: 1 s, doubled each time, given up after six SYNs.
func TestSynTimeout(t *testing.T) {
	p := newPeer(t, Config{})
	p.dial()
	p.want(sg{flags: fS})
	for _, d := range []time.Duration{1, 2, 4, 8, 16} {
		p.wantAfter(d*time.Second, sg{flags: fS})
	}
	p.advance(33 * time.Second)
	p.wantClosed(ErrTimeout)
}

// RFC 9293 section 3.5, figure 8: both SYNs cross; each SYN-ACK completes the other side.
func TestSimultaneousOpen(t *testing.T) {
	for _, last := range []wire.Flags{fA, fSA} {
		p := newPeer(t, Config{})
		p.dial()
		p.want(sg{flags: fS})
		p.send(sg{flags: fS, opt: synOptions()})
		p.want(sg{flags: fSA, ack: 1})
		p.wantState(StateSynReceived)
		if last == fSA {
			p.send(sg{flags: fSA, ack: 1, opt: synOptions()})
			p.want(sg{flags: fA, seq: 1, ack: 1})
		} else {
			p.send(sg{flags: fA, seq: 1, ack: 1})
		}
		p.wantState(StateEstablished)
		p.write(10)
		p.wantData(1, 10, 1)
		p.send(sg{flags: fA, seq: 1, ack: 11, n: 5})
		p.want(sg{flags: fA, seq: 11, ack: 6})
		p.wantGot(5)
	}
}

// In SYN-RECEIVED our SYN-ACK is repeated, and the peer's SYN acknowledged again.
func TestSimultaneousOpenLoss(t *testing.T) {
	p := newPeer(t, Config{})
	p.dial()
	p.want(sg{flags: fS})
	p.send(sg{flags: fS, opt: synOptions()})
	p.want(sg{flags: fSA, ack: 1})
	p.wantAfter(time.Second, sg{flags: fSA, ack: 1})
	p.send(sg{flags: fS, opt: synOptions()})
	p.want(sg{flags: fA, seq: 1, ack: 1})
	p.send(sg{flags: fA, seq: 1, ack: 5}) // forged
	p.want(sg{flags: fR, seq: 5})
	p.send(sg{flags: fRA, seq: 1, ack: 1})
	p.wantClosed(ErrRefused)
}

// RFC 9293 section 3.10.4: CLOSE in SYN-RECEIVED waits for ESTABLISHED; what was queued goes first.
func TestCloseInSynReceived(t *testing.T) {
	p := newPeer(t, Config{})
	p.dial()
	p.want(sg{flags: fS})
	p.send(sg{flags: fS, opt: synOptions()})
	p.want(sg{flags: fSA, ack: 1})
	p.write(3)
	p.do(func(c *Conn) { c.CloseWrite() })
	p.do(func(c *Conn) {
		appendOwn(c, &counted{n: 5, released: new(int)}) // too late
		if c.Queued() != 3 {
			t.Error("appended after CloseWrite")
		}
	})
	p.wantAfter(time.Second, sg{flags: fSA, ack: 1})
	p.send(sg{flags: fA, seq: 1, ack: 1})
	p.want(sg{flags: fFA, seq: 1, ack: 1, n: 3})
	p.wantState(StateFinWait1)
	p.send(sg{flags: fFA, seq: 1, ack: 5})
	p.want(sg{flags: fA, seq: 5, ack: 2})
	p.wantState(StateTimeWait)
}

// RFC 9293 section 3.10.4: CLOSE in SYN-SENT deletes the TCB.
func TestCloseInSynSent(t *testing.T) {
	p := newPeer(t, Config{})
	p.dial()
	p.want(sg{flags: fS})
	p.do(func(c *Conn) { c.Close() })
	p.wantClosed(ErrAborted)
	p.send(sg{flags: fSA, ack: 1})
	p.want(sg{flags: fR, seq: 1})
}

// RFC 9293 section 3.10.7.3: text and FIN in a SYN-ACK are taken.
func TestSynAckWithData(t *testing.T) {
	p := newPeer(t, Config{})
	p.dial()
	p.want(sg{flags: fS})
	p.send(sg{flags: fSA, ack: 1, data: "hello", opt: synOptions()})
	p.want(sg{flags: fA, seq: 1, ack: 6})
	if string(p.host.got) != "hello" {
		t.Errorf("got %q", p.host.got)
	}

	p = newPeer(t, Config{})
	p.dial()
	p.want(sg{flags: fS})
	p.send(sg{flags: fSA | fF, ack: 1, data: "hello", opt: synOptions()})
	p.want(sg{flags: fA, seq: 1, ack: 7})
	if string(p.host.got) != "hello" || !p.host.eof {
		t.Errorf("got %q, eof %v", p.host.got, p.host.eof)
	}
	p.wantState(StateCloseWait)
}

// RFC 9293 section 3.10.7.4: the ACK that opens may carry data, and FIN.
func TestFinalAckWithDataAndFin(t *testing.T) {
	p := newPeer(t, Config{})
	p.listen(ListenConfig{})
	p.send(sg{flags: fS, opt: synOptions()})
	p.want(sg{flags: fSA, ack: 1})
	p.send(sg{flags: fFA, seq: 1, ack: 1, n: 100})
	p.want(sg{flags: fA, seq: 1, ack: 102})
	p.wantGot(100)
	p.wantState(StateCloseWait)
}

// RFC 9293 section 3.10.7.2: the lost final ACK is replaced by the first data.
func TestFinalAckLost(t *testing.T) {
	p := newPeer(t, Config{})
	p.listen(ListenConfig{})
	p.send(sg{flags: fS, opt: synOptions()})
	p.want(sg{flags: fSA, ack: 1})
	p.send(sg{flags: fA, seq: 101, ack: 1, n: 100}) // the first segment is lost too
	a := p.want(sg{flags: fA, seq: 1, ack: 1})
	if a.Options.NSACK != 1 {
		t.Error("no SACK for what lies beyond the hole")
	}
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 100})
	p.want(sg{flags: fA, seq: 1, ack: 201})
	p.wantGot(200)
}

// A listener at its limit leaves the SYN unanswered; the peer tries again.
func TestListenerLimit(t *testing.T) {
	p := newPeer(t, Config{})
	ready := false
	l := p.listen(ListenConfig{MaxConns: 1, Ready: func() bool { return ready }})
	p.send(sg{flags: fS, opt: synOptions()})
	p.wantNone()
	ready = true
	p.send(sg{flags: fS, opt: synOptions()})
	p.want(sg{flags: fSA, ack: 1})
	p.send(sg{flags: fA, seq: 1, ack: 1})
	p.wantState(StateEstablished)
	if l.Open() != 1 {
		t.Error("open", l.Open())
	}
	p.flow.RemotePort++
	p.send(sg{flags: fS, opt: synOptions()})
	p.wantNone()
	p.do(func(c *Conn) { c.Abort() })
	p.flow.RemotePort--
	p.want(sg{flags: fRA, seq: 1, ack: 1})
	if l.Open() != 0 {
		t.Error("open", l.Open())
	}
	if p.s.stats.ListenOverflows != 2 {
		t.Error("overflows", p.s.stats.ListenOverflows)
	}
}

// counted is a span whose release is seen, and that spoils its bytes then.
type counted struct {
	n        int
	b        []byte
	released *int
}
