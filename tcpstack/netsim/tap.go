package netsim

import (
	"encoding/binary"
	"fmt"
	"io"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// A Tap shows every packet that passes to a function, which must not keep or change it.
type Tap struct {
	base
	see func(now mono.Time, p *Packet)
}

// NewTap makes a tap.
func (n *Network) NewTap(see func(now mono.Time, p *Packet)) *Tap {
	return &Tap{base: base{net: n, label: n.name("", "tap")}, see: see}
}

// Put shows p and hands it on.
func (t *Tap) Put(now mono.Time, p *Packet) {
	t.enter(p)
	t.see(now, p)
	t.leave(now, p)
}

// A Capture writes packets to a file that Wireshark and tcpdump read: the classic pcap format with
// nanoseconds. Its See is for taps; one capture may have several. Time is virtual, from 1970 on.
//
// The link of package pcap cannot serve here: it writes from a goroutine of its own, and leaves out what
// the disk is too slow for.
type Capture struct {
	w   io.Writer
	buf []byte
	err error
}

// NewCapture writes the file's header.
func NewCapture(w io.Writer) *Capture {
	c := &Capture{w: w}
	le := binary.LittleEndian
	c.buf = le.AppendUint32(c.buf, 0xa1b23c4d) // the magic number of nanosecond files
	c.buf = le.AppendUint16(c.buf, 2)          // version 2.4
	c.buf = le.AppendUint16(c.buf, 4)
	c.buf = le.AppendUint64(c.buf, 0)     // time zone, accuracy: always 0
	c.buf = le.AppendUint32(c.buf, 1<<16) // snap length
	c.buf = le.AppendUint32(c.buf, 101)   // LINKTYPE_RAW: packets begin with their IP header
	c.write()
	return c
}

// See writes a packet.
func (c *Capture) See(now mono.Time, p *Packet) {
	le := binary.LittleEndian
	ns := uint64(now.Sub(Epoch))
	c.buf = le.AppendUint32(c.buf, uint32(ns/1e9))
	c.buf = le.AppendUint32(c.buf, uint32(ns%1e9))
	c.buf = le.AppendUint32(c.buf, uint32(len(p.Data)))
	c.buf = le.AppendUint32(c.buf, uint32(len(p.Data)))
	c.buf = append(c.buf, p.Data...)
	c.write()
}

func (c *Capture) write() {
	if c.err == nil {
		_, c.err = c.w.Write(c.buf)
	}
	c.buf = c.buf[:0]
}

// Err returns the first error of writing.
func (c *Capture) Err() error { return c.err }

// A SeqKind says what a SeqEvent is.
type SeqKind uint8

const (
	SeqData       SeqKind = iota // bytes [From,To) sent for the first time
	SeqRetransmit                // bytes [From,To) of which some were sent before
	SeqAck                       // From: acknowledged up to; To: the window's right edge
	SeqSACK                      // [From,To) is one block of a SACK option
)

var seqNames = [...]string{"data", "retransmit", "ack", "sack"}

func (k SeqKind) String() string { return seqNames[k] }

// A SeqEvent is a dot or a line of a time-sequence graph. Offsets are those of the stream: 0 is the byte
// behind the SYN.
type SeqEvent struct {
	At       mono.Time
	Kind     SeqKind
	From, To int64
}

// A Sequence records the time-sequence graph of one direction of one connection: the taps Data, on the path
// of what is sent, and Acks, on the way back, fill it. Where the taps are decides what is seen: in front
// of the bottleneck what the sender does, behind the wire what the receiver gets.
type Sequence struct {
	Port   uint16 // the sender's port, if there are several connections; 0: the first SYN's
	Events []SeqEvent

	isn     wire.Seq
	scale   uint8 // of the receiver's window
	started bool
	sent    int64 // highest offset
}

// Data sees packets with the stream's bytes.
func (q *Sequence) Data(now mono.Time, p *Packet) {
	seg, ok := segment(p.Data)
	if !ok || q.Port != 0 && seg.SrcPort != q.Port {
		return
	}
	if seg.Flags&wire.SYN != 0 && !q.started {
		q.started, q.isn, q.Port = true, seg.Seq, seg.SrcPort
	}
	if !q.started || seg.SrcPort != q.Port || len(seg.Payload) == 0 {
		return
	}
	from := q.offset(seg.Seq)
	to := from + int64(len(seg.Payload))
	kind := SeqData
	if from < q.sent {
		kind = SeqRetransmit
	}
	q.sent = max(q.sent, to)
	q.add(now, kind, from, to)
}

// Acks sees packets of the other direction.
func (q *Sequence) Acks(now mono.Time, p *Packet) {
	seg, ok := segment(p.Data)
	if !ok || q.Port != 0 && seg.DstPort != q.Port {
		return
	}
	scale := q.scale
	if seg.Flags&wire.SYN != 0 { // the window of a SYN is not scaled (RFC 7323 section 2.2)
		q.scale, scale = seg.Options.WScale, 0
	}
	if !q.started || seg.Flags&wire.ACK == 0 {
		return
	}
	ack := q.offset(seg.Ack)
	q.add(now, SeqAck, ack, ack+int64(seg.Window)<<scale)
	for _, b := range seg.Options.SACK[:seg.Options.NSACK] {
		q.add(now, SeqSACK, q.offset(b.Left), q.offset(b.Right))
	}
}

func (q *Sequence) add(now mono.Time, k SeqKind, from, to int64) {
	q.Events = append(q.Events, SeqEvent{now, k, from, to})
}

// offset unwraps s, which is within 2 GiB of the highest offset sent.
func (q *Sequence) offset(s wire.Seq) int64 {
	near := q.isn.Add(int(uint32(q.sent)) + 1)
	return q.sent + int64(s.Sub(near))
}

// segment parses a whole TCP packet.
func segment(b []byte) (seg wire.Segment, ok bool) {
	var ip wire.IPHeader
	rest, d := wire.ParseIP(b, &ip)
	if d != wire.DropNone || ip.Protocol != wire.ProtoTCP {
		return seg, false
	}
	return seg, wire.ParseTCP(&ip, rest, false, &seg) == wire.DropNone
}

// WriteTo writes the events as tab-separated lines: seconds since Epoch, kind, from, to.
func (q *Sequence) WriteTo(w io.Writer) (n int64, err error) {
	for _, e := range q.Events {
		k, err := fmt.Fprintf(w, "%.9f\t%v\t%d\t%d\n", e.At.Sub(Epoch).Seconds(), e.Kind, e.From, e.To)
		n += int64(k)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
