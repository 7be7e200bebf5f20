package main

import (
	"context"
	"net/netip"
	"runtime"
	"syscall"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

const (
	roundTrip  = 20 * time.Millisecond
	delayedAck = 40 * time.Millisecond
	// moderation is the least time between two looks at the cable: what an adapter that moderates its interrupts makes
	// of ACKs that come from thousands of paths.
	moderation = 50 * time.Microsecond

	mss         = 1448 // with timestamps, at an MTU of 1500
	perSegment  = 1514 - mss
	windowScale = 10
	firstPort   = 1024
)

// A far is everything beyond the cable, on a thread of its own: for each connection a bottleneck with a queue, half a
// round trip either way, and a receiver that acknowledges every second segment (RFC 9293 section 3.8.6.3) and never reads
// what it got. It costs a fraction of a real client, so that thousands fit beside the server on two cores.
type far struct {
	dev    link.Device
	rate   pacing.Rate // of each bottleneck, headers included
	window int64       // what each receiver offers, bytes
	flows  []receiver
	opened int
	ready  int // flows that have asked for data
	done   chan struct{}

	wheel  pacing.Wheel
	now    mono.Time
	in     [256]link.Frame
	out    []link.Frame
	heads  []byte // of out
	ip     wire.IPHeader
	seg    wire.Segment
	remote wire.Addr
	local  wire.Addr
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
}

// newFar makes n clients, each behind a bottleneck that carries 2 % more than the rate.
func newFar(dev link.Device, n int, rate pacing.Rate) *far {
	f := &far{
		dev: dev, rate: rate * 102 / 100 * (mss + perSegment) / mss, flows: make([]receiver, n), done: make(chan struct{}),
		window: max(32<<10, 2*rate.Bytes(roundTrip)), local: wire.AddrFrom(client), remote: wire.AddrFrom(server),
	}
	for i := range f.flows {
		f.flows[i].port = uint16(firstPort + i)
		f.flows[i].timer.User = &f.flows[i]
	}
	return f
}

// run is the loop, until ctx ends. It closes done when every client has asked for its data.
func (f *far) run(ctx context.Context) error {
	runtime.LockOSThread()
	for ctx.Err() == nil {
		n, err := f.dev.Receive(f.in[:])
		if err != nil {
			return err
		}
		f.now = mono.Now()
		for i := range f.in[:n] {
			f.input(&f.in[i])
		}
		f.open()
		f.wheel.Advance(f.now, f.fire)
		if err := f.flush(); err != nil {
			return err
		}
		if n < len(f.in) {
			ts := syscall.NsecToTimespec(int64(moderation))
			syscall.Nanosleep(&ts, nil) //nolint:errcheck // a signal ends it early
		}
	}
	return nil
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

// input takes a frame from the server.
func (f *far) input(frame *link.Frame) {
	payload, drop := wire.ParseIP(frame.Data, &f.ip)
	if drop != wire.DropNone || wire.ParseTCP(&f.ip, payload, false, &f.seg) != wire.DropNone {
		return
	}
	r := &f.flows[f.seg.DstPort-firstPort]
	r.echo = f.seg.Options.TSVal
	if f.seg.Flags.Has(wire.SYN) {
		r.next = f.seg.Seq + 1
		f.send(r, &wire.Segment{Flags: wire.ACK | wire.PSH, Ack: r.next}, 1) // one byte asks for everything
		r.seq++
		if f.ready++; f.ready == len(f.flows) {
			close(f.done)
		}
		return
	}
	if f.seg.Seq == r.next {
		f.carry(r, len(f.seg.Payload))
	}
}

// carry takes n bytes through the bottleneck, segment by segment.
func (f *far) carry(r *receiver, n int) {
	for ; n > 0; n -= mss {
		size := min(n, mss)
		r.free = max(r.free, f.now).Add(f.rate.Duration(int64(size + perSegment)))
		r.next = r.next.Add(size)
		if r.odd == 0 {
			r.odd = r.free.Add(roundTrip + delayedAck)
			continue
		}
		r.odd = 0
		r.acks = append(r.acks, ack{r.free.Add(roundTrip), r.next, r.echo})
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
		f.acknowledge(r, r.acks[n].seq, r.acks[n].echo)
	}
	r.acks = r.acks[:copy(r.acks, r.acks[n:])]
	if len(r.acks) == 0 && r.odd > 0 && r.odd <= f.now {
		r.odd = 0
		f.acknowledge(r, r.next, r.echo)
	}
	f.arm(r)
}

func (f *far) acknowledge(r *receiver, seq wire.Seq, echo uint32) {
	f.send(r, &wire.Segment{Flags: wire.ACK, Ack: seq, Options: wire.Options{TSEcr: echo}}, 0)
}

// send puts a segment with n zero bytes onto the list of what leaves next.
func (f *far) send(r *receiver, seg *wire.Segment, n int) {
	seg.SrcPort, seg.DstPort, seg.Seq, seg.Window = r.port, 80, r.seq, uint16(f.window>>windowScale)
	seg.Options.HasTS, seg.Options.TSVal = true, uint32(f.now/mono.Time(time.Millisecond))
	h := wire.IPHeader{Src: f.local, Dst: f.remote, Protocol: wire.ProtoTCP, HopLimit: 64, DontFragment: true}
	ipLen, tcpLen := wire.HeaderLen(&h), seg.HeaderLen()
	at := len(f.heads)
	f.heads = append(f.heads, make([]byte, ipLen+tcpLen+n)...)
	b := f.heads[at:]
	wire.PutIP(b, &h, tcpLen+n)
	wire.PutTCP(b[ipLen:], &h, seg, n)
	f.out = append(f.out, link.Frame{Data: b, Csum: link.CsumPartial, CsumStart: uint16(ipLen), CsumOffset: wire.ChecksumOffset})
}

// flush hands everything to the cable. Its ring is larger than what is in flight.
func (f *far) flush() error {
	for sent := 0; sent < len(f.out); {
		n, err := f.dev.Transmit(f.out[sent:])
		if err != nil {
			return err
		}
		if sent += n; n == 0 {
			runtime.Gosched()
		}
	}
	f.out, f.heads = f.out[:0], f.heads[:0]
	return nil
}

var server, client = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
