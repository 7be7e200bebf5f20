package tcpstack

import (
	"testing"

	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

// wantBook checks the laws of the host's connection as things stand, and what was booked for some events.
func (p *peer) wantBook(want map[ledger.Event]uint64) {
	p.t.Helper()
	c := p.host.c
	if err := c.Book().Check(c.Live()); err != nil {
		p.t.Error(err)
	}
	for e, n := range want {
		if got := c.Book().Sum(e); got != n {
			p.t.Errorf("%v: %d booked, want %d", e, got, n)
		}
	}
	if err := p.s.Book().Check(p.s.Live()); err != nil {
		p.t.Error("the shard's:", err)
	}
}

// Data in a SYN is sent then, and sent again if the peer takes only some of it, though to recovery it was never in
// flight.
func TestBookOfDataInSYN(t *testing.T) {
	for _, taken := range []int64{0, 40, 100} {
		p := newPeer(t, Config{})
		p.flow.LocalPort, p.flow.RemotePort = 40000, 81
		p.s.opens.fastHosts.put(p.flow.Remote, fastHost{cookie: wire.NewFastOpen([]byte("cookies!")), mss: 1460})
		p.s.Post(MessageFunc(func(s *Shard) {
			p.host.c, _ = s.DialFast(p.flow.LocalAddrPort(), p.flow.RemoteAddrPort(), p.host, stream.Bytes(hostBytes(0, 100)))
		}))
		p.settle()
		p.want(sg{flags: fS, n: 100})
		p.wantBook(map[ledger.Event]uint64{ledger.Sent: 100, ledger.PlainQueued: 100})
		p.send(sg{flags: fSA, ack: 1 + taken, opt: synOptions()})
		p.skip()
		p.wantBook(map[ledger.Event]uint64{ledger.Sent: 100, ledger.Retransmitted: uint64(100 - taken), ledger.Acked: uint64(taken)})
		p.send(sg{flags: fA, seq: 1, ack: 101})
		p.skip()
		p.wantBook(map[ledger.Event]uint64{ledger.Sent: 100, ledger.Acked: 100, ledger.NeverSent: 0})
	}
}

// What a link has not taken when the stack stops is dropped, and what was never sent is known.
func TestBookOfStoppedStack(t *testing.T) {
	p := opened(t)
	p.write(1000)
	p.skip()
	p.dev.room = 0
	p.write(2000)
	p.write(50_000)
	p.wantBook(map[ledger.Event]uint64{ledger.LinkCopied: 1000, ledger.LinkDropped: 0})
	waiting := uint64(p.s.Live().Waiting)
	if waiting == 0 {
		t.Fatal("no frame waits for the link")
	}
	p.s.close()
	p.wantBook(map[ledger.Event]uint64{
		ledger.LinkDropped: waiting, ledger.Abandoned: 53_000, ledger.NeverSent: 52_000 - waiting, ledger.Acked: 0,
	})
}

// What is appended when nothing can be sent any more is booked as that.
func TestBookOfLateBytes(t *testing.T) {
	p := opened(t)
	p.do(func(c *Conn) {
		c.CloseWrite()
		c.Append(stream.Bytes(make([]byte, 7)))
	})
	p.wantBook(map[ledger.Event]uint64{ledger.Unqueued: 7, ledger.OwnedBytes: 7, ledger.Sent: 0})
	p.skip()
}
