package tcpstack

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// lazy is a device that reads the memory of frames some time after it took them, as hardware does.
type lazy struct {
	*cable
	rnd  *rand.Rand
	most int // frames in the ring
	ring []late
	done uint64
}

type late struct {
	link.Frame
	at mono.Time
}

func (d *lazy) Caps() link.Caps {
	c := d.cable.Caps()
	c.TxCopies, c.TLS = false, true
	return c
}

func (d *lazy) Transmit(frames []link.Frame) (int, error) {
	n := min(len(frames), d.most-len(d.ring))
	for _, f := range frames[:n] {
		f.Book.Add(ledger.Fetched, f.Len()-len(f.Data))
		for _, s := range f.Seal {
			f.Book.Add(ledger.SealedNIC, s.Size())
		}
		f.Pieces = append([][]byte(nil), f.Pieces...)
		f.Seal = append([]stream.Sealing(nil), f.Seal...)
		at := d.p.now.Add(time.Duration(d.rnd.IntN(3000)) * time.Microsecond)
		if len(d.ring) > 0 {
			at = max(at, d.ring[len(d.ring)-1].at)
		}
		d.ring = append(d.ring, late{f, at})
	}
	return n, nil
}

func (d *lazy) Receive(frames []link.Frame) (int, error) {
	for len(d.ring) > 0 && d.ring[0].at <= d.p.now {
		f := d.ring[0].Frame
		d.ring = d.ring[1:]
		if len(f.Seal) > 0 { // then it covers everything
			for i, b := range f.Pieces {
				f.Pieces[i] = inverted(b)
			}
		}
		d.cable.Transmit([]link.Frame{f})
		d.done++
	}
	return d.cable.Receive(frames)
}

func (d *lazy) Completed() uint64 { return d.done }

func (d *lazy) next() mono.Time {
	if len(d.ring) == 0 {
		return mono.Never
	}
	return d.ring[0].at
}

func inverted(b []byte) []byte {
	c := make([]byte, len(b))
	for i := range b {
		c[i] = ^b[i]
	}
	return c
}

// A scratchSpan makes its bytes in scratch when it is gathered, as sealed records do; a pageSpan's are garbage
// after its release; a heldBack one leaves them inverted, for the device to invert.
type scratchSpan struct{ *counted }

func (s scratchSpan) Gather(g *stream.Gather, from, to int) {
	copy(g.Reserve(to-from), s.b[from:to])
	g.Book.Add(ledger.GatheredPlain, to-from)
}

type heldBack struct{ *counted }

func (s heldBack) Gather(g *stream.Gather, from, to int) {
	u := g.Unsealed(to - from)
	u.Count, u.From, u.To = 1, from, to
	g.Add(s.b[from:to])
}

func (s heldBack) Offload() bool { return true }

// A device that completes late reads what was to be sent, whatever was acknowledged, released and written over
// meanwhile; segments never mix what it seals with what it does not.
func TestLateReader(t *testing.T) {
	for seed := range uint64(20) {
		p := newPair(t, Config{})
		rnd := rand.New(rand.NewPCG(seed, 1))
		d := &lazy{cable: p.db, rnd: rnd, most: 1 + rnd.IntN(20)}
		p.db.next = d.next
		p.b.dev, p.b.completer = d, d
		p.b.batch.init(d.Caps(), &p.b.blocks)
		p.db.drop = func(*link.Frame) bool { return rnd.IntN(10) == 0 }
		client, server := p.connect()
		data := pattern(1_000_000, seed)
		released, spans := 0, 0
		for at := 0; at < len(data); spans++ {
			n := min(1+rnd.IntN(40_000), len(data)-at)
			s := newCounted(append([]byte(nil), data[at:at+n]...), &released)
			switch at += n; rnd.IntN(3) {
			case 0:
				appendOwn(server.c, s)
			case 1:
				appendOwn(server.c, scratchSpan{s})
			case 2:
				s.b = inverted(s.b)
				appendOwn(server.c, heldBack{s})
			}
		}
		book := server.c.Book()
		server.c.CloseWrite()
		p.run(10*time.Minute, func() bool { return client.got.Len() == len(data) && released == spans })
		if !bytes.Equal(client.got.Bytes(), data) {
			t.Fatalf("seed %d: wrong bytes", seed)
		}
		if released != spans || p.b.blocks.Captives() != 0 || p.b.blocks.Queued() != 0 {
			t.Fatalf("seed %d: %d of %d spans released, %d held, %d bytes charged", seed, released, spans,
				p.b.blocks.Captives(), p.b.blocks.Queued())
		}
		if sent, again := book.Sum(ledger.Sent), book.Sum(ledger.Retransmitted); sent != uint64(len(data)) ||
			book.Sum(ledger.Acked) != sent || again > p.b.stats.BytesRetransmitted || again == 0 { // those count FINs
			t.Fatalf("seed %d: %d sent, %d acknowledged, %d again (%d)", seed, sent, book.Sum(ledger.Acked), again,
				p.b.stats.BytesRetransmitted)
		}
	}
}
