package tcpstack

import (
	"math/rand/v2"
	"testing"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

// hostile is a peer that says anything at any time, and what it may be told in return.
type hostile struct {
	*peer
	in       []byte
	variants map[int64]uint8 // per stream offset, which versions of the byte were sent before it was acknowledged
	acked    int64           // relative: the highest ACK of the stack
	edge     int64           // the highest right edge announced
	top      int64           // relative: the end of the highest sequence number sent
	fins     map[int64]bool  // relative sequence numbers of the FINs sent
	released int
	spans    int
	conns    uint64 // handshakes that were completed as they must be
	others   map[uint16]wire.Seq
	kept     *Conn
	read     int64 // stream bytes the application has read and look has checked
}

// FuzzHostilePeer sends a live connection any segment with a valid checksum, between any actions of its application,
// with each congestion control and stack of functions and switches between them.
// There is no panic; memory stays bounded; what the application reads was sent by the peer at that place,
// before it was acknowledged; what the stack sends never changes; nothing is acknowledged that was not sent;
// the window does not retreat; no connection comes without a handshake; and everything is released once.
// Between any two segments checkInvariants holds.
func FuzzHostilePeer(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 24 {
		b := make([]byte, 40+n*40)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) { newHostile(t, in[:min(len(in), 4000)]).run() })
}

// TestHostilePeer runs the fuzzer's body over random input: longer stories than the seeds.
func TestHostilePeer(t *testing.T) {
	for seed := range uint64(50) {
		b := make([]byte, 2000)
		r := rand.New(rand.NewPCG(seed, 7))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		newHostile(t, b).run()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func newHostile(t *testing.T, in []byte) *hostile {
	h := &hostile{
		in: in, acked: 1, top: 1,
		variants: map[int64]uint8{}, fins: map[int64]bool{}, others: map[uint16]wire.Seq{},
	}
	h.peer = newPeer(t, Config{
		MaxReassembly: 1 << 20, MaxHalfOpen: 8, MaxConns: 16, Congestion: h.congestion(), Functions: h.functions(),
		MemoryBudget: 4 << 20 >> (h.byte() % 4), MTUProbing: MTUProbing(h.byte() % 3),
	})
	h.quiet = true
	o := synOptions()
	o.WScale = h.byte() % 8
	o.SACKPermitted = h.byte()&1 == 0
	o.HasWScale = h.byte()&1 == 0
	if h.byte()&1 == 0 {
		o.HasTS, o.TSVal = true, h.tsOf()
	}
	h.listen(ListenConfig{FastOpen: 4})
	flags, answer := fS, fSA
	if h.byte()&1 == 0 && h.s.stack.cfg.ECN != ECNOff {
		flags, answer = flags|wire.ECE|wire.CWR, answer|wire.ECE
	}
	h.send(sg{flags: flags, opt: o})
	h.want(sg{flags: answer, ack: 1})
	h.advance(10 * time.Millisecond)
	h.ts = o.HasTS
	h.send(sg{flags: fA, seq: 1, ack: 1})
	h.wantState(StateEstablished)
	h.conns = 1
	h.edge = 65536
	return h
}

func (h *hostile) byte() uint8 {
	if len(h.in) == 0 {
		return 0
	}
	b := h.in[0]
	h.in = h.in[1:]
	return b
}

// num is a number that is mostly small, and sometimes anything.
func (h *hostile) num() int64 {
	switch k := h.byte(); k % 8 {
	case 0, 1, 2, 3:
		return 0
	case 4:
		return int64(int8(h.byte()))
	case 5:
		return int64(int16(uint16(h.byte())<<8 | uint16(h.byte())))
	case 6:
		return int64(k) * 1460 / 8
	}
	return int64(int32(uint32(h.byte())<<24 | uint32(h.byte())<<16))
}

func (h *hostile) congestion() string { return pick(h, congestion.Names()) }

func (h *hostile) functions() string { return pick(h, []string{FunctionsRack, FunctionsBase}) }

func pick(h *hostile, names []string) string { return names[int(h.byte())%len(names)] }

func (h *hostile) run() {
	for len(h.in) > 0 && !h.t.Failed() {
		switch k := h.byte(); {
		case k < 150:
			h.segment()
		case k < 180:
			h.pass([]time.Duration{1, 40, 300, 3000, 70000, 400000}[h.byte()%6] * time.Millisecond)
		case k < 235:
			h.application()
		case k < 240:
			h.dev.room = int(h.byte()%8) - 1
		case k < 245:
			h.tooBig()
		default:
			h.stranger()
		}
		h.look()
	}
	h.end()
}

func (h *hostile) pass(d time.Duration) {
	end := h.now.Add(d)
	for h.now < end {
		h.now = min(max(h.s.Deadline(), h.now+1), end)
		h.settle()
	}
}

// segment sends one with fields around the connection's own.
func (h *hostile) segment() {
	c := h.host.c
	g := wire.Segment{SrcPort: h.flow.RemotePort, DstPort: h.flow.LocalPort, Flags: wire.ACK, Window: 65535}
	if k := h.byte(); k < 60 {
		g.Flags = wire.Flags(h.byte())
	} else if k < 80 {
		g.Flags |= wire.FIN
	}
	rel := 1 + c.rcvNext() + h.num()
	if h.byte() > 250 {
		g.Flags |= wire.RST
	}
	g.Seq = h.iss.Add(int(rel))
	g.Ack = c.snd.seqOf(c.rec.Next() + h.num())
	if h.byte() < 60 {
		g.Ack = c.snd.seqOf(c.rec.Una() + int64(h.byte())*700)
	}
	if h.byte() < 100 {
		g.Window = uint16(h.byte()) * uint16(h.byte())
	}
	n, version := int(h.byte())*int(h.byte()%16), h.byte()%4
	g.Payload = make([]byte, n)
	for i := range g.Payload {
		off := rel - 1 + int64(i)
		if g.Flags&wire.SYN != 0 {
			off++
		}
		g.Payload[i] = byte(off*31) + version*17
		if off+1 >= h.acked {
			h.variants[off] |= 1 << version
		}
	}
	end := rel + int64(g.Len())
	h.top = max(h.top, end)
	if g.Flags&wire.FIN != 0 {
		h.fins[end-1] = true
	}
	h.options(&g, c)
	g.ECN = h.byte() % 4 // not ECN-capable, ECT(1), ECT(0), CE
	h.dev.in = append(h.dev.in, h.packet(&g))
	if h.byte() < 200 {
		h.settle()
	}
}

func (h *hostile) options(g *wire.Segment, c *Conn) {
	if h.ts && h.byte() > 20 {
		g.Options.HasTS, g.Options.TSVal = true, h.tsOf()+uint32(h.num())
		g.Options.TSEcr = c.tsNow(h.now) - uint32(h.byte())
	}
	if h.byte() < 100 {
		for range h.byte() % 4 {
			l := c.rec.Una() + int64(h.byte())*730
			g.Options.SACK[g.Options.NSACK] = wire.SACKBlock{
				Left: c.snd.seqOf(l), Right: c.snd.seqOf(l + 1460*int64(h.byte()%4) + h.num()),
			}
			g.Options.NSACK++
		}
	}
}

// application lets the stack's side do something.
func (h *hostile) application() {
	k, n := h.byte()%20, h.num()
	h.s.Post(MessageFunc(func(*Shard) {
		c := h.host.c
		switch k {
		case 0, 1, 2, 3, 4:
			size := int(min(max(n, 1), 20000))
			h.spans++
			at := c.queue.End()
			appendOwn(c, newCounted(hostBytes(at, size), &h.released))
			c.Room()
		case 5:
			h.host.pause = !h.host.pause
			if !h.host.pause {
				h.host.drain(c)
			}
		case 6:
			c.Append(stream.Bytes(nil))
			c.SetNoDelay(n == 0)
		case 7:
			c.SetNotsentLowat(n)
		case 8:
			c.SetKeepAlive(KeepAlive{Idle: time.Duration(n&0xff) * time.Second})
		case 9:
			c.SetTimer(h.now.Add(time.Second))
		case 10:
			if n > 0 {
				c.CloseWrite()
			}
		case 11:
			if n > 1000 {
				c.Close()
			}
		case 12:
			if n > 20000 {
				c.Abort()
			}
		case 13:
			c.SetCongestion(h.congestion()) //nolint:errcheck // a connection that is over refuses
		case 14:
			c.SetFunctions(h.functions()) //nolint:errcheck // the same
		case 15:
			c.SetMaxPacingRate(pacing.Rate(n * 100))
		case 16:
			c.PaceRange(pacing.Range{To: n, Rate: pacing.Rate(n * 7), Deadline: h.now.Add(time.Duration(n) * time.Millisecond), CatchUp: n&1 == 0})
		case 17:
			c.EndPace()
		default:
			h.host.drain(c)
		}
	}))
	h.settle()
}

// tooBig is an ICMP error with a sequence number that may be in flight.
func (h *hostile) tooBig() {
	h.look()
	h.icmp(3, 4, uint32(h.byte())*8, h.quote(1+h.host.c.rec.Una()+h.num(), 1460))
}

// stranger opens other connections, or guesses that it has.
func (h *hostile) stranger() {
	s := wire.Segment{SrcPort: 1000 + uint16(h.byte()%32), DstPort: 80, Flags: wire.SYN, Seq: 5, Window: 1000}
	if iss, ok := h.others[s.SrcPort]; ok && h.byte() < 128 {
		s.Flags, s.Seq = wire.ACK, 6
		if guess := h.num(); guess == 0 {
			s.Ack = iss.Add(1)
			h.conns++
			delete(h.others, s.SrcPort)
		} else {
			s.Ack = iss.Add(1 + int(guess))
		}
	}
	h.settle()
	h.host.c, h.kept = nil, h.host.c
	h.dev.in = append(h.dev.in, h.packet(&s))
	h.settle()
	if h.host.c != nil {
		h.host.c.Abort()
	}
	h.host.c = h.kept
	h.settle()
}

// look checks all that the stack has sent.
func (h *hostile) look() {
	for i := range h.dev.out {
		o := &h.dev.out[i]
		if o.raw != nil {
			continue
		}
		if o.seg.DstPort != h.flow.RemotePort {
			if o.seg.Flags == wire.SYN|wire.ACK {
				h.others[o.seg.DstPort] = o.seg.Seq
			}
			continue
		}
		if !h.host.c.gone { // afterwards the flow may belong to a new handshake
			h.lookAt(&o.seg)
		}
	}
	h.dev.out = nil
	c := h.host.c
	if err := checkInvariants(c); err != nil && !c.gone && h.dev.room < 0 {
		h.t.Fatal(err)
	}
	if n := h.s.blocks.InUse(); n > 1<<20 {
		h.t.Errorf("%d bytes of receive memory", n)
	}
	if h.s.stats.Accepted > h.conns {
		h.t.Errorf("%d connections accepted with %d handshakes", h.s.stats.Accepted, h.conns)
	}
	for i, b := range h.host.got {
		off := h.read + int64(i)
		if v := b - byte(off*31); v%17 != 0 || h.variants[off]&(1<<(v/17)) == 0 {
			h.t.Fatalf("byte %d of the stream is none that was sent in time (version %d, sent %b; %v)", off, v/17, h.variants[off], c.State())
		}
		delete(h.variants, off)
	}
	h.read += int64(len(h.host.got))
	h.host.got = h.host.got[:0]
}

func (h *hostile) lookAt(s *wire.Segment) {
	if s.Flags&wire.RST != 0 || s.Flags&wire.SYN != 0 {
		return
	}
	off := int64(s.Seq.Sub(h.irs)) - 1
	if len(s.Payload) > 0 && string(s.Payload) != string(hostBytes(off, len(s.Payload))) {
		h.t.Fatalf("other bytes at %d", off)
	}
	ack := int64(s.Ack.Sub(h.iss))
	if ack > h.top {
		h.t.Fatalf("acknowledged %d, sent %d", ack, h.top)
	}
	if ack < h.acked {
		if len(s.Payload) == 0 {
			h.t.Fatalf("the ACK went back from %d to %d: %v (%v)", h.acked, ack, h.relative(s), h.host.c.State())
		}
		return
	}
	h.acked = max(h.acked, ack)
	edge := ack + int64(s.Window)<<h.host.c.rcv.scale
	if edge < h.edge-127 && h.host.c.State().canReceive() {
		h.t.Fatalf("the window's edge went back from %d to %d", h.edge, edge)
	}
	h.edge = max(h.edge, edge)
}

// end lets the connection go and looks for what it has left.
func (h *hostile) end() {
	h.dev.room = -1
	h.settle()
	h.s.Post(MessageFunc(func(*Shard) { h.host.c.Abort() }))
	h.settle()
	h.look()
	h.pass(3 * time.Minute)
	h.dev.out = nil
	if h.released != h.spans {
		h.t.Errorf("%d of %d spans released", h.released, h.spans)
	}
	if n := h.s.blocks.InUse(); n != 0 || len(h.s.flows) != 0 || len(h.s.unread) != 0 {
		h.t.Errorf("left: %d bytes, %d connections, %d unread", n, len(h.s.flows), len(h.s.unread))
	}
	if h.host.closed != 1 && h.s.stats.Accepted == 1 {
		h.t.Errorf("Closed %d times", h.host.closed)
	}
	if len(h.s.batch.frames) != 0 || !h.s.pend.empty() || h.s.wheel.Len() != 0 {
		h.t.Errorf("left: %d frames, %d timers", len(h.s.batch.frames), h.s.wheel.Len())
	}
}
