package nicoffload

import (
	"testing"

	"ocaserve/ktls"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/stream"
)

// A hostConn is what the host has of a connection between sendfile and the ring.
type hostConn struct {
	framer *ktls.Framer
	queue  stream.SendQueue
	book   ledger.Book
	off    int // in its page
}

// Append implements ktls.Queue.
func (c *hostConn) Append(s stream.Span) { c.queue.Append(s) }

// A pin is a hold that nobody else counts.
type pin struct{ holds int }

func (p *pin) Retain()  { p.holds++ }
func (p *pin) Release() { p.holds-- }

// hostBurst is the plaintext of 44 segments of 1448 bytes, four records of 11.
const hostBurst = 4 * (11*1448 - 22)

// next returns the next superframe's worth of a file in 64 KiB pages.
func (c *hostConn) next(pieces []stream.Piece, page []byte, ref *pin) []stream.Piece {
	have := len(page) - c.off
	if have >= hostBurst {
		pieces[0] = stream.Piece{Data: page[c.off : c.off+hostBurst], Ref: ref}
		c.off += hostBurst
		return pieces[:1]
	}
	pieces[0] = stream.Piece{Data: page[c.off:], Ref: ref}
	pieces[1] = stream.Piece{Data: page[:hostBurst-have], Ref: ref}
	c.off = hostBurst - have
	return pieces[:2]
}

// A hostPath is many connections over one ring of which everything completes at once.
type hostPath struct {
	dev    *Device
	blocks *stream.BlockPool
	gather stream.Gather
	conns  [64]hostConn
}

func newHostPath(b *testing.B, mode ktls.Mode) *hostPath {
	a, _ := memory.New(memory.Config{TSO: true})
	nif, err := New(a, Config{Manual: true})
	if err != nil {
		b.Fatal(err)
	}
	p := &hostPath{dev: nif.devices[0], blocks: stream.NewBlockPool(stream.PoolConfig{})}
	p.gather.Init(make([]byte, 64<<10), 64)
	pool := ktls.NewPool(0)
	pool.SetNIC(p.dev)
	for i := range p.conns {
		c := &p.conns[i]
		var w *ktls.WriteState
		if mode != ktls.ModeOff {
			if w, err = ktls.NewWriteState13(ktls.AES128GCM, make([]byte, 32), 0); err != nil {
				b.Fatal(err)
			}
		}
		if c.framer, err = ktls.NewFramer(mode, w, pool); err != nil {
			b.Fatal(err)
		}
		c.framer.SetBook(&c.book)
		c.framer.SetPolicy(ktls.RecordPolicy{SmallBytes: -1})
		c.framer.SetSegment(1448, 44*1448)
		c.queue.Init(p.blocks)
	}
	return p
}

// send takes one superframe from Append to the acknowledgment.
func (p *hostPath) send(b *testing.B, c *hostConn, pieces []stream.Piece, head []byte, frames []link.Frame) {
	if err := c.framer.Append(c, pieces); err != nil {
		b.Fatal(err)
	}
	g, from, to := &p.gather, c.queue.Start(), c.queue.End()
	if c.queue.Uniform(from, to) != to {
		b.Fatal("a superframe is of two kinds")
	}
	g.Reset()
	g.Book = &c.book
	c.queue.Gather(g, from, to)
	frames[0] = link.Frame{Data: head, Pieces: g.Pieces(), GSO: 1448, Csum: link.CsumPartial, Seal: g.Sealings(), Book: g.Book}
	p.blocks.FrameBuilt(true)
	if n, err := p.dev.Transmit(frames); n != 1 || err != nil {
		b.Fatal(n, err)
	}
	n := p.dev.nic
	n.head = n.ring.tail.Load()
	n.complete(n.head)
	p.blocks.FramesDone(p.dev.Completed())
	c.queue.Ack(to)
}

// What a superframe costs the host from sendfile to the ring and back, beside TCP and without the adapter's work: in
// mode nic four records more than in mode off.
func BenchmarkHostPath(b *testing.B) {
	for _, mode := range []ktls.Mode{ktls.ModeOff, ktls.ModeNIC} {
		b.Run(mode.String(), func(b *testing.B) {
			p := newHostPath(b, mode)
			page, head, ref := make([]byte, 64<<10), make([]byte, 66), &pin{}
			pieces, frames := make([]stream.Piece, 2), make([]link.Frame, 1)
			b.SetBytes(hostBurst)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c := &p.conns[i%len(p.conns)]
				p.send(b, c, c.next(pieces, page, ref), head, frames)
			}
		})
	}
}
