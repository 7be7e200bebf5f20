package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

// opened is a connection with one round trip behind it, without timestamps.
func opened(t *testing.T) *peer {
	t.Helper()
	p := newPeer(t, Config{})
	p.open(synOptions())
	return p
}

// RFC 9293 section 3.6, figure 12: we close first.
func TestCloseFirst(t *testing.T) {
	p := opened(t)
	p.write(10)
	p.wantData(1, 10, 1)
	p.do(func(c *Conn) { c.CloseWrite() })
	p.want(sg{flags: fFA, seq: 11, ack: 1})
	p.wantState(StateFinWait1)
	p.send(sg{flags: fA, seq: 1, ack: 12})
	p.wantState(StateFinWait2)
	p.send(sg{flags: fA, seq: 1, ack: 12, n: 300}) // half-close: we still receive
	p.want(sg{flags: fA, seq: 12, ack: 301})
	p.wantGot(300)
	p.send(sg{flags: fFA, seq: 301, ack: 12})
	p.want(sg{flags: fA, seq: 12, ack: 302})
	p.wantState(StateTimeWait)
	p.wantClosed(nil)
	if !p.host.eof {
		t.Error("no EOF")
	}
	p.advance(timeWaitLen - slack)
	p.wantState(StateTimeWait)
	p.advance(2 * slack)
	p.wantState(StateClosed)
	if len(p.s.flows) != 0 {
		t.Error("still in the table")
	}
}

// The peer closes first; we go on sending (half-close).
func TestCloseSecond(t *testing.T) {
	p := opened(t)
	p.send(sg{flags: fFA, seq: 1, ack: 1, n: 5})
	p.want(sg{flags: fA, seq: 1, ack: 7})
	p.wantState(StateCloseWait)
	if !p.host.eof || p.host.closed != 0 {
		t.Error("EOF yes, Closed no")
	}
	p.write(3000)
	p.wantData(1, 1460, 7)
	p.wantData(1461, 1460, 7)
	p.wantData(2921, 80, 7)
	p.do(func(c *Conn) { c.CloseWrite() })
	p.want(sg{flags: fFA, seq: 3001, ack: 7})
	p.wantState(StateLastAck)
	p.send(sg{flags: fA, seq: 7, ack: 3002})
	p.wantState(StateClosed)
	p.wantClosed(nil)
}

// RFC 9293 section 3.6, figure 13: the FINs cross.
func TestSimultaneousClose(t *testing.T) {
	p := opened(t)
	p.do(func(c *Conn) { c.CloseWrite() })
	p.want(sg{flags: fFA, seq: 1, ack: 1})
	p.send(sg{flags: fFA, seq: 1, ack: 1})
	p.want(sg{flags: fA, seq: 2, ack: 2})
	p.wantState(StateClosing)
	p.send(sg{flags: fA, seq: 2, ack: 2})
	p.wantState(StateTimeWait)
	p.wantClosed(nil)
}

// FIN and the ACK of ours in one segment: FIN-WAIT-1 straight to TIME-WAIT.
func TestFinWithAckOfFin(t *testing.T) {
	p := opened(t)
	p.do(func(c *Conn) { c.CloseWrite() })
	p.want(sg{flags: fFA, seq: 1, ack: 1})
	p.send(sg{flags: fFA, seq: 1, ack: 2})
	p.want(sg{flags: fA, seq: 2, ack: 2})
	p.wantState(StateTimeWait)
	p.wantClosed(nil)
}

// A FIN is retransmitted like data (RFC 9293 section 3.6), with the data before it.
func TestFinIsRetransmitted(t *testing.T) {
	p := opened(t)
	p.write(100)
	p.wantData(1, 100, 1)
	p.do(func(c *Conn) { c.CloseWrite() })
	p.want(sg{flags: fFA, seq: 101, ack: 1})
	p.advance(time.Second)
	p.want(sg{flags: fFA, seq: 1, ack: 1, n: 100})
	p.skip()
	p.send(sg{flags: fA, seq: 1, ack: 101})
	p.wantState(StateFinWait1)
	p.skip()
	p.advance(2 * time.Second)
	p.want(sg{flags: fFA, seq: 101, ack: 1})
	p.skip()
	p.send(sg{flags: fA, seq: 1, ack: 102})
	p.wantState(StateFinWait2)
}

// RFC 9293 section 3.10.7.4, TIME-WAIT: a retransmitted FIN is acknowledged and restarts 2 MSL.
func timeWait(t *testing.T, o wire.Options) *peer {
	t.Helper()
	p := newPeer(t, Config{})
	p.open(o)
	p.do(func(c *Conn) { c.CloseWrite() })
	p.want(sg{flags: fFA, seq: 1, ack: 1})
	p.send(sg{flags: fFA, seq: 1, ack: 2})
	p.want(sg{flags: fA, seq: 2, ack: 2})
	p.wantState(StateTimeWait)
	return p
}

func TestTimeWaitFinAgain(t *testing.T) {
	p := timeWait(t, synOptions())
	p.advance(40 * time.Second)
	p.send(sg{flags: fFA, seq: 1, ack: 2})
	p.want(sg{flags: fA, seq: 2, ack: 2})
	p.advance(40 * time.Second)
	p.wantState(StateTimeWait)
	p.send(sg{flags: fA, seq: 2, ack: 2, n: 9}) // data: nobody is there
	p.advance(21 * time.Second)
	p.wantState(StateClosed)
	p.wantClosed(nil)
	p.skip()
}

// RFC 9293 section 3.6.1 and RFC 6191: a SYN beyond the old connection opens a new one, whose numbers begin
// beyond ours; an old SYN is challenged.
func TestTimeWaitReuse(t *testing.T) {
	p := timeWait(t, synOptions())
	p.host.c.rec.Sent(p.now, 1, 1<<28) // as if it had sent faster than the ISN clock runs
	old := p.irs.Add(1 << 28)
	p.send(sg{flags: fS, seq: -100, opt: synOptions()})
	p.want(sg{flags: fA, seq: 1<<28 + 1, ack: 2})
	p.iss = p.iss.Add(5000)
	p.send(sg{flags: fS, opt: synOptions()})
	p.want(sg{flags: fSA, ack: 1})
	if !old.Less(p.irs) {
		t.Errorf("the new connection begins at %d, the old one reached %d", p.irs, old)
	}
	p.send(sg{flags: fA, seq: 1, ack: 1})
	p.wantState(StateEstablished)
}

// RFC 6191 section 2: with timestamps a newer TSVal is enough, whatever the sequence number.
func TestTimeWaitReuseByTimestamp(t *testing.T) {
	o := synOptions()
	o.HasTS, o.TSVal = true, 1000
	p := newPeer(t, Config{})
	p.tsOf = func() uint32 { return 2000 }
	p.open(o)
	p.do(func(c *Conn) { c.CloseWrite() })
	p.want(sg{flags: fFA, seq: 1, ack: 1})
	p.send(sg{flags: fFA, seq: 1, ack: 2})
	p.want(sg{flags: fA, seq: 2, ack: 2})
	p.wantState(StateTimeWait)
	p.iss = p.iss.Add(-50000)
	o.TSVal = 1999
	p.put(sg{flags: fS, opt: o})
	p.settle()
	p.wantState(StateTimeWait)
	p.skip()
	o.TSVal = 2001
	p.send(sg{flags: fS, opt: o})
	p.want(sg{flags: fSA, ack: 1})
}

// At MaxConns the oldest connection in TIME-WAIT makes room; others do not.
func TestTimeWaitIsBounded(t *testing.T) {
	p := newPeer(t, Config{MaxConns: 3})
	p.listen(ListenConfig{})
	var conns []*Conn
	var irs []wire.Seq
	for range 3 {
		p.flow.RemotePort++
		p.connect(synOptions())
		irs = append(irs, p.irs)
		conns = append(conns, p.host.c)
		p.do(func(c *Conn) { c.CloseWrite() })
		p.want(sg{flags: fFA, seq: 1, ack: 1})
		if len(conns) != 3 {
			p.send(sg{flags: fFA, seq: 1, ack: 2})
			p.want(sg{flags: fA, seq: 2, ack: 2})
		}
	}
	p.flow.RemotePort -= 2
	p.host.c, p.irs = conns[0], irs[0]
	p.send(sg{flags: fFA, seq: 1, ack: 2}) // restarts the first: the second is the oldest now
	p.want(sg{flags: fA, seq: 2, ack: 2})
	p.flow.RemotePort += 10
	p.connect(synOptions())
	if conns[0].State() != StateTimeWait || conns[1].State() != StateClosed || conns[2].State() != StateFinWait1 {
		t.Errorf("states %v %v %v", conns[0].State(), conns[1].State(), conns[2].State())
	}
	p.flow.RemotePort++
	p.connect(synOptions())
	p.flow.RemotePort++
	p.send(sg{flags: fS, opt: synOptions()}) // only living ones are left
	p.wantNone()
	if len(p.s.flows) != 3 || p.s.stats.TimeWaitRecycled != 2 || p.s.waits.head != nil {
		t.Errorf("%d connections, %d recycled", len(p.s.flows), p.s.stats.TimeWaitRecycled)
	}
}

// RFC 9293 section 3.6.1, RFC 2525 section 2.16: data for a closed application is answered by a RST.
func TestDataAfterClose(t *testing.T) {
	p := opened(t)
	p.do(func(c *Conn) { c.Close() })
	p.want(sg{flags: fFA, seq: 1, ack: 1})
	p.send(sg{flags: fA, seq: 1, ack: 2})
	p.wantState(StateFinWait2)
	p.send(sg{flags: fA, seq: 1, ack: 2, n: 10})
	p.want(sg{flags: fRA, seq: 2, ack: 1})
	p.wantClosed(ErrAborted)
}

// RFC 2525 section 2.17: closing with unread bytes resets at once.
func TestCloseWithUnreadData(t *testing.T) {
	p := opened(t)
	p.host.pause = true
	p.send(sg{flags: fA, seq: 1, ack: 1, n: 10})
	p.want(sg{flags: fA, seq: 1, ack: 11})
	p.do(func(c *Conn) { c.Close() })
	p.want(sg{flags: fRA, seq: 1, ack: 11})
	p.wantClosed(ErrAborted)
}

// A peer that never closes its side does not keep an orphan; a half-closed application it may keep.
func TestFinWait2(t *testing.T) {
	for _, orphan := range []bool{true, false} {
		p := opened(t)
		p.do(func(c *Conn) {
			if c.CloseWrite(); orphan {
				c.Close()
			}
		})
		p.want(sg{flags: fFA, seq: 1, ack: 1})
		p.send(sg{flags: fA, seq: 1, ack: 2})
		p.advance(finWait2Len - time.Second)
		p.wantState(StateFinWait2)
		p.advance(2 * time.Second)
		if want := map[bool]State{true: StateClosed, false: StateFinWait2}[orphan]; p.state() != want {
			t.Errorf("orphan %v: %v", orphan, p.state())
		}
	}
}

// Close in FIN-WAIT-2 starts the same clock.
func TestCloseInFinWait2(t *testing.T) {
	p := opened(t)
	p.do(func(c *Conn) { c.CloseWrite() })
	p.want(sg{flags: fFA, seq: 1, ack: 1})
	p.send(sg{flags: fA, seq: 1, ack: 2})
	p.do(func(c *Conn) { c.Close() })
	p.advance(finWait2Len + slack)
	p.wantState(StateClosed)
	p.wantClosed(nil)
}

// RFC 9293 section 3.10.5.
func TestAbort(t *testing.T) {
	released := 0
	p := opened(t)
	p.do(func(c *Conn) { appendOwn(c, newCounted(hostBytes(0, 20000), &released)) })
	for i := range int64(10) {
		p.wantData(1+1460*i, 1460, 1)
	}
	p.do(func(c *Conn) { c.Abort() })
	p.want(sg{flags: fRA, seq: 14601, ack: 1})
	p.wantClosed(ErrAborted)
	if released != 1 {
		t.Errorf("released %d times", released)
	}
	p.send(sg{flags: fA, seq: 1, ack: 1})
	p.want(sg{flags: fR, seq: 1})
}

// An orderly close ends the stream behind its last byte: a slow reader gets all of it before Closed, even
// when the connection itself is long gone.
func TestUnreadBytesOutliveTheConnection(t *testing.T) {
	for _, weFirst := range []bool{true, false} {
		p := opened(t)
		p.host.pause = true
		if weFirst {
			p.do(func(c *Conn) { c.CloseWrite() })
			p.want(sg{flags: fFA, seq: 1, ack: 1})
			p.send(sg{flags: fFA, seq: 1, ack: 2, n: 1000})
			p.want(sg{flags: fA, seq: 2, ack: 1002})
		} else {
			p.send(sg{flags: fFA, seq: 1, ack: 1, n: 1000})
			p.want(sg{flags: fA, seq: 1, ack: 1002})
			p.do(func(c *Conn) { c.CloseWrite() })
			p.want(sg{flags: fFA, seq: 1, ack: 1002})
			p.send(sg{flags: fA, seq: 1002, ack: 2})
			p.wantState(StateClosed)
		}
		p.advance(2 * timeWaitLen)
		p.wantState(StateClosed)
		if p.host.closed != 0 {
			t.Fatal("Closed before everything was read")
		}
		p.do(func(c *Conn) { p.host.drain(c) })
		p.wantGot(1000)
		p.wantClosed(nil)
		if len(p.s.unread) != 0 || p.s.blocks.InUse() != 0 {
			t.Error("still held")
		}
	}
}

// What nobody will read is let go: by Abort, by Close, and when the stack stops, which is no clean end.
func TestUnreadBytesGivenUp(t *testing.T) {
	for want, end := range map[error]func(*peer){
		ErrAborted: func(p *peer) { p.do(func(c *Conn) { c.Close() }) },
		ErrStopped: func(p *peer) { p.s.close() },
	} {
		p := opened(t)
		p.host.pause = true
		p.send(sg{flags: fFA, seq: 1, ack: 1, n: 1000})
		p.want(sg{flags: fA, seq: 1, ack: 1002})
		p.do(func(c *Conn) { c.CloseWrite() })
		p.want(sg{flags: fFA, seq: 1, ack: 1002})
		p.send(sg{flags: fA, seq: 1002, ack: 2})
		end(p)
		p.wantClosed(want)
		if len(p.s.unread) != 0 || p.s.blocks.InUse() != 0 {
			t.Error("still held")
		}
	}
}

// The handler's timer goes on while it has bytes to read: how an origin gives up a request cut short.
type timed struct {
	*host
	fired int
}

func (h *timed) Timer(c *Conn, _ mono.Time) { h.fired++; c.Abort() }

func TestTimerWithUnreadBytes(t *testing.T) {
	p := opened(t)
	p.host.pause = true
	h := &timed{host: p.host}
	p.do(func(c *Conn) { c.SetHandler(h); c.SetTimer(p.now.Add(100 * time.Second)) })
	p.do(func(c *Conn) { c.CloseWrite() })
	p.want(sg{flags: fFA, seq: 1, ack: 1})
	p.send(sg{flags: fFA, seq: 1, ack: 2, n: 1000})
	p.want(sg{flags: fA, seq: 2, ack: 1002})
	p.advance(99 * time.Second)
	if h.fired != 0 || h.closed != 0 {
		t.Fatal("too early")
	}
	p.advance(2 * time.Second)
	p.wantClosed(ErrAborted)
	if h.fired != 1 {
		t.Error("fired", h.fired)
	}
}

// Handlers may do anything to the connection from within an event.
func TestHandlerMisuse(t *testing.T) {
	abort := func(c *Conn) { c.Abort(); c.Abort(); c.Close(); c.CloseWrite() }
	for name, h := range map[string]*host{
		"readable": {onReadable: abort}, "writable": {onWritable: abort},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, Config{})
			p.host = h
			p.open(synOptions())
			p.do(func(c *Conn) {
				c.SetNotsentLowat(10)
				c.Append(stream.Bytes(hostBytes(0, 100)))
				c.Room()
			})
			p.wantData(1, 100, 1)
			if name == "readable" {
				p.send(sg{flags: fFA, seq: 1, ack: 1, n: 10})
				p.want(sg{flags: fRA, seq: 101, ack: 12})
			} else {
				p.want(sg{flags: fRA, seq: 101, ack: 1})
			}
			p.wantClosed(ErrAborted)
		})
	}
	t.Run("accept", func(t *testing.T) {
		p := newPeer(t, Config{})
		p.listen(ListenConfig{Accept: func(c *Conn) Handler { p.host.c = c; c.Abort(); return p.host }})
		p.send(sg{flags: fS, opt: synOptions()})
		p.want(sg{flags: fSA, ack: 1})
		p.send(sg{flags: fA, seq: 1, ack: 1, n: 10})
		p.want(sg{flags: fRA, seq: 1, ack: 1})
		p.wantClosed(ErrAborted)
	})
	t.Run("nil handler", func(t *testing.T) {
		p := newPeer(t, Config{})
		l := p.listen(ListenConfig{Accept: func(c *Conn) Handler { p.host.c = c; return nil }})
		p.send(sg{flags: fS, opt: synOptions()})
		p.want(sg{flags: fSA, ack: 1})
		p.send(sg{flags: fA, seq: 1, ack: 1, n: 10})
		p.want(sg{flags: fRA, seq: 1, ack: 1})
		if l.Open() != 0 || len(p.s.flows) != 0 {
			t.Error("a refused connection is still counted")
		}
	})
	t.Run("closed", func(t *testing.T) {
		p := newPeer(t, Config{})
		again := &host{}
		p.host = &host{onClosed: func(c *Conn) {
			abort(c)
			c.SetTimer(c.Now().Add(time.Second))
			c.SetKeepAlive(KeepAlive{Idle: time.Second})
			c.Append(stream.Bytes([]byte("late")))
			c.SetHandler(again)
		}}
		p.open(synOptions())
		p.send(sg{flags: fR, seq: 1})
		p.wantClosed(ErrReset)
		if again.closed != 1 || again.err != ErrReset {
			t.Error("the late handler was told", again.closed, again.err)
		}
		p.advance(time.Hour)
	})
	t.Run("set handler", func(t *testing.T) {
		p := newPeer(t, Config{})
		second := &host{}
		p.host = &host{pause: true, onReadable: func(c *Conn) { c.SetHandler(second) }}
		p.open(synOptions())
		p.send(sg{flags: fFA, seq: 1, ack: 1, n: 50})
		p.want(sg{flags: fA, seq: 1, ack: 52})
		if len(second.got) != 50 || !second.eof {
			t.Errorf("the second handler has %d bytes, EOF %v", len(second.got), second.eof)
		}
	})
}

// Memory that is let go in the turn in which it was sent does not change what is on the wire.
func TestReleasedWhileInTheBatch(t *testing.T) {
	p := newPeer(t, Config{})
	released := 0
	p.host = &host{onWritable: func(c *Conn) { c.Abort() }}
	p.open(synOptions())
	p.do(func(c *Conn) {
		c.SetNotsentLowat(10)
		appendOwn(c, newCounted(hostBytes(0, 1000), &released))
		c.Room()
	})
	p.wantData(1, 1000, 1)
	p.want(sg{flags: fRA, seq: 1001, ack: 1})
	if released != 1 {
		t.Error("released", released)
	}
}
