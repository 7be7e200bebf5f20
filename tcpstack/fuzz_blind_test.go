package tcpstack

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/wire"
)

// blind is an attacker between two honest stacks that send each other data. It can repeat and delay what it has seen,
// and it can forge what does not need exact numbers; it cannot keep anything from arriving.
type blind struct {
	*pair
	in             []byte
	guarded        bool // both ends agree on connection cookies
	client, server *app
	seen           []flying // of both directions, by turns overwritten
	toServer       []bool
}

// FuzzBlindAttacker: whatever a blind attacker injects (RFC 5961), and however often old segments come again, both streams
// arrive whole and unchanged, and both ends close in good order.
func FuzzBlindAttacker(f *testing.F) {
	r := rand.New(rand.NewPCG(11, 12))
	for n := range 12 {
		b := make([]byte, 60+n*60)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) { newBlind(t, in[:min(len(in), 2000)]).run() })
}

func newBlind(t *testing.T, in []byte) *blind {
	b := &blind{in: in}
	name := congestion.Names()[b.byte()%len(congestion.Names())]
	b.guarded = b.byte()&1 == 0
	b.pair = newPair(t, Config{
		Congestion: name, Functions: []string{FunctionsRack, FunctionsBase}[b.byte()%2], Cookies: b.guarded,
	})
	record := func(w *cable, toServer bool) {
		w.drop = func(f *link.Frame) bool {
			data := append([]byte(nil), f.Data...)
			for _, p := range f.Pieces {
				data = append(data, p...)
			}
			b.see(flying{data: data, gso: f.GSO, csum: f.Csum, cs: [2]uint16{f.CsumStart, f.CsumOffset}}, toServer)
			return false
		}
	}
	record(b.da, true)
	record(b.db, false)
	b.client, b.server = b.connect()
	return b
}

func (b *blind) byte() int {
	if len(b.in) == 0 {
		return 0
	}
	v := b.in[0]
	b.in = b.in[1:]
	return int(v)
}

// see keeps a frame for a replay.
func (b *blind) see(f flying, toServer bool) {
	if len(b.seen) < 64 {
		b.seen, b.toServer = append(b.seen, f), append(b.toServer, toServer)
		return
	}
	i := len(f.data) * 7 % 64
	b.seen[i], b.toServer[i] = f, toServer
}

// put lays a frame on the way to one of the two, to arrive at once: the first in line.
func (b *blind) put(f flying, toServer bool) {
	w := b.da // what waits there is received by a
	if toServer {
		w = b.db
	}
	f.at = b.now
	w.queue = append([]flying{f}, w.queue...)
}

func (b *blind) run() {
	up, down := pattern(200_000, 3), pattern(300_000, 4)
	b.client.send, b.server.send = up, down
	b.client.close, b.server.close = true, true
	b.client.Writable(b.client.c)
	b.server.Writable(b.server.c)
	for len(b.in) > 0 {
		b.pair.run(time.Duration(1+b.byte()%20)*time.Millisecond, nil)
		switch op := b.byte(); {
		case op < 100 && len(b.seen) > 0:
			i := op % len(b.seen)
			b.put(b.seen[i], b.toServer[i])
		default:
			b.forge(op)
		}
	}
	done := func() bool { return b.client.closed && b.server.closed }
	b.pair.run(10*time.Minute, done)
	if !bytes.Equal(b.server.got.Bytes(), up) || !bytes.Equal(b.client.got.Bytes(), down) {
		b.t.Fatalf("the server got %d of %d bytes, the client %d of %d, or other ones", b.server.got.Len(), len(up), b.client.got.Len(), len(down))
	}
	if b.client.err != nil || b.server.err != nil || !done() {
		b.t.Fatalf("closed %v %v, with %v and %v", b.client.closed, b.server.closed, b.client.err, b.server.err)
	}
}

// forge sends one end a segment in the other's name.
func (b *blind) forge(op int) {
	toServer := op&1 == 0
	victim := b.client.c
	if toServer {
		victim = b.server.c
	}
	next := victim.rcv.seqOf(victim.rcvNext())
	s := wire.Segment{
		SrcPort: victim.flow.RemotePort, DstPort: victim.flow.LocalPort, Flags: wire.ACK, Window: uint16(b.byte()) << 8,
		Seq: next.Add((b.byte() - 128) * 600), Ack: victim.snd.seqOf(victim.rec.Next() + 1 + int64(b.byte())*5000),
	}
	s.Options.HasTS, s.Options.TSVal = b.byte() < 200, victim.rcv.tsRecent+uint32(b.byte()-60)
	switch op / 2 % 4 {
	case 0: // a RST that is not exact
		s.Flags |= wire.RST
		if b.guarded { // with connection cookies an exact one does not count either
			s.Seq = next
		} else if s.Seq == next {
			s.Seq = next.Add(1)
		}
	case 1: // any SYN
		s.Flags = wire.SYN
		if b.byte()&1 == 0 {
			s.Flags |= wire.ACK
		}
	case 2: // data with an ACK of what was never sent
		s.Payload = make([]byte, b.byte()*5)
		if b.byte()&7 == 0 {
			s.Flags |= wire.FIN
		}
	case 3: // no ACK at all
		s.Flags, s.Payload = wire.PSH, make([]byte, b.byte())
	}
	h := wire.IPHeader{Src: victim.flow.Remote, Dst: victim.flow.Local, Protocol: wire.ProtoTCP, HopLimit: 64, TOS: uint8(b.byte() % 4)}
	raw := make([]byte, 120+len(s.Payload))
	b.put(flying{data: raw[:wire.PutSegment(raw, &h, &s)]}, toServer)
}
