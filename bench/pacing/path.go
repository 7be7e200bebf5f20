package main

import (
	"net/netip"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

const (
	roundTrip  = 20 * time.Millisecond
	delayedAck = 40 * time.Millisecond
	// moderation is how often the adapter interrupts: what has come meanwhile is received at once.
	moderation = mono.Time(50 * time.Microsecond)

	mss         = 1448 // with timestamps, at an MTU of 1500
	perSegment  = 1514 - mss
	windowScale = 10
	firstPort   = 1024
	ringBytes   = 8 << 20
)

// A far is the server's link and everything beyond it, on virtual time: for each connection a bottleneck with a queue, half
// a round trip either way, and a receiver that acknowledges every second segment (RFC 9293 section 3.8.6.3). What the
// server calls does what a driver would, copy a frame into a ring and hand out headers; all else is done in between.
type far struct {
	rate   pacing.Rate // of each bottleneck, headers included; 0: no path, and each frame is acknowledged at once
	window int64       // what each receiver offers, bytes
	flows  []receiver
	opened int

	wheel pacing.Wheel
	now   mono.Time
	ring  []byte // where frames are copied to
	pos   int
	sent  [][]byte // frames not looked at yet
	in    queue    // on its way to the server
	seen  int      // of in, what it has received

	ip     wire.IPHeader
	seg    wire.Segment
	remote wire.Addr
	local  wire.Addr
}

// A queue is packets one behind the other.
type queue struct {
	frames []link.Frame
	heads  []byte
}

// A receiver is one connection's client, with its path.
type receiver struct {
	timer pacing.Timer
	port  uint16
	seq   wire.Seq  // ours
	next  wire.Seq  // what comes next
	free  mono.Time // when the bottleneck will have sent all that waits for it
	echo  uint32    // the newest timestamp of the server
	odd   mono.Time // when a single segment is acknowledged that no second one followed; zero: none
	acks  []ack     // on their way, in order
}

type ack struct {
	at   mono.Time
	seq  wire.Seq
	echo uint32
	asks bool // with one byte, which asks for everything
}

// newFar makes n clients, each behind a bottleneck that carries 2 % more than the rate.
func newFar(n int, rate pacing.Rate) *far {
	f := &far{
		rate: rate * 102 / 100 * (mss + perSegment) / mss, flows: make([]receiver, n), ring: make([]byte, ringBytes),
		window: 256 << 10, local: wire.AddrFrom(client), remote: wire.AddrFrom(server),
	}
	if rate > 0 {
		f.window = max(32<<10, 2*rate.Bytes(roundTrip))
	}
	for i := range f.flows {
		f.flows[i].port = uint16(firstPort + i)
		f.flows[i].timer.User = &f.flows[i]
	}
	return f
}

// Caps implements link.Device.
func (f *far) Caps() link.Caps {
	return link.Caps{MTU: 1500, TxChecksum: true, RxChecksum: true, TSO4: true, TSO6: true, MaxGSO: 65535, TxCopies: true}
}

// Receive implements link.Device.
func (f *far) Receive(frames []link.Frame) (int, error) {
	n := copy(frames, f.in.frames[f.seen:])
	for i := range frames[:n] {
		frames[i].Time = f.now
	}
	f.seen += n
	return n, nil
}

// Transmit implements link.Device.
func (f *far) Transmit(frames []link.Frame) (int, error) {
	for i := range frames {
		if f.pos+frames[i].Len() > len(f.ring) {
			f.pos = 0
		}
		at := f.pos
		f.pos += copy(f.ring[f.pos:], frames[i].Data)
		for _, p := range frames[i].Pieces {
			f.pos += copy(f.ring[f.pos:], p)
		}
		f.sent = append(f.sent, f.ring[at:f.pos])
	}
	return len(frames), nil
}

// Wait implements link.Device; the time is the caller's.
func (f *far) Wait(mono.Time) error { return nil }

// Wake implements link.Device.
func (f *far) Wake() {}

// advance does everything beyond the link until now. It reports whether the server has something to receive.
func (f *far) advance(now mono.Time) bool {
	f.now = now
	if f.seen == len(f.in.frames) { // else what is lent is still to be received
		f.in.frames, f.in.heads, f.seen = f.in.frames[:0], f.in.heads[:0], 0
	}
	for _, frame := range f.sent {
		f.input(frame)
	}
	f.sent = f.sent[:0]
	f.open()
	f.wheel.Advance(now-now%moderation, f.fire)
	return f.seen < len(f.in.frames)
}

// next is when something will come, at the earliest.
func (f *far) next() mono.Time {
	at := f.wheel.Next()
	if at >= mono.Never-moderation {
		return at
	}
	return (at + moderation - 1) / moderation * moderation
}

// open begins a few connections.
func (f *far) open() {
	for range min(4, len(f.flows)-f.opened) {
		r := &f.flows[f.opened]
		f.opened++
		f.send(r, &wire.Segment{Flags: wire.SYN, Options: wire.Options{
			MSS: 1460, HasWScale: true, WScale: windowScale, SACKPermitted: true, HasTS: true,
		}}, 0)
		r.seq++
	}
}

// input takes a frame of the server.
func (f *far) input(frame []byte) {
	payload, drop := wire.ParseIP(frame, &f.ip)
	if drop != wire.DropNone || wire.ParseTCP(&f.ip, payload, false, &f.seg) != wire.DropNone {
		panic("the server sends only what can be read")
	}
	r := &f.flows[f.seg.DstPort-firstPort]
	r.echo = f.seg.Options.TSVal
	if f.seg.Flags.Has(wire.SYN) {
		r.next = f.seg.Seq + 1
		asks := ack{f.now, r.next, r.echo, true}
		if f.rate > 0 {
			asks.at = asks.at.Add(roundTrip)
		}
		r.acks = append(r.acks, asks)
		f.arm(r)
		return
	}
	if f.seg.Seq == r.next {
		f.carry(r, len(f.seg.Payload))
	}
}

// carry takes n bytes through the bottleneck, segment by segment.
func (f *far) carry(r *receiver, n int) {
	if f.rate == 0 && n > 0 {
		r.next = r.next.Add(n)
		f.acknowledge(r, ack{seq: r.next, echo: r.echo})
		return
	}
	for ; n > 0; n -= mss {
		size := min(n, mss)
		r.free = max(r.free, f.now).Add(f.rate.Duration(int64(size + perSegment)))
		r.next = r.next.Add(size)
		if r.odd == 0 {
			r.odd = r.free.Add(roundTrip + delayedAck)
			continue
		}
		r.odd = 0
		r.acks = append(r.acks, ack{r.free.Add(roundTrip), r.next, r.echo, false})
	}
	f.arm(r)
}

func (f *far) arm(r *receiver) {
	switch {
	case len(r.acks) > 0:
		f.wheel.Set(&r.timer, r.acks[0].at)
	case r.odd > 0:
		f.wheel.Set(&r.timer, r.odd)
	}
}

// fire sends the ACKs that have come to the end of the path.
func (f *far) fire(t *pacing.Timer) {
	r := t.User.(*receiver)
	n := 0
	for ; n < len(r.acks) && r.acks[n].at <= f.now; n++ {
		f.acknowledge(r, r.acks[n])
	}
	r.acks = r.acks[:copy(r.acks, r.acks[n:])]
	if len(r.acks) == 0 && r.odd > 0 && r.odd <= f.now {
		r.odd = 0
		f.acknowledge(r, ack{seq: r.next, echo: r.echo})
	}
	f.arm(r)
}

func (f *far) acknowledge(r *receiver, a ack) {
	seg, n := wire.Segment{Flags: wire.ACK, Ack: a.seq, Options: wire.Options{TSEcr: a.echo}}, 0
	if a.asks {
		seg.Flags |= wire.PSH
		n = 1
	}
	f.send(r, &seg, n)
	r.seq = r.seq.Add(n)
}

// send puts a segment with n zero bytes onto the list of what leaves next.
func (f *far) send(r *receiver, seg *wire.Segment, n int) {
	seg.SrcPort, seg.DstPort, seg.Seq, seg.Window = r.port, 80, r.seq, uint16(f.window>>windowScale)
	seg.Options.HasTS, seg.Options.TSVal = true, uint32(f.now/mono.Time(time.Millisecond))
	h := wire.IPHeader{Src: f.local, Dst: f.remote, Protocol: wire.ProtoTCP, HopLimit: 64, DontFragment: true}
	ipLen, tcpLen := wire.HeaderLen(&h), seg.HeaderLen()
	q := &f.in
	if cap(q.heads)-len(q.heads) < 256 { // what points into it stays as it is
		q.heads = make([]byte, 0, 64<<10)
	}
	at := len(q.heads)
	q.heads = q.heads[:at+ipLen+tcpLen+n]
	b := q.heads[at:]
	wire.PutIP(b, &h, tcpLen+n)
	wire.PutTCP(b[ipLen:], &h, seg, n)
	q.frames = append(q.frames, link.Frame{Data: b, Csum: link.CsumValid})
}

var server, client = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
