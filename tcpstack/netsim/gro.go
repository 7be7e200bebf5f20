package netsim

import (
	"bytes"
	"encoding/binary"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/wire"
)

// parsed is a TCP packet taken apart.
type parsed struct {
	ip      wire.IPHeader
	seg     wire.Segment
	options []byte
}

// parse reads a packet that a receiver may merge with others: TCP with a valid checksum and nothing
// but ACK and PSH set.
func (s *parsed) parse(data []byte) bool {
	b, d := wire.ParseIP(data, &s.ip)
	if d != wire.DropNone || s.ip.Protocol != wire.ProtoTCP || s.ip.HeaderLen+len(b) != len(data) {
		return false
	}
	if wire.ParseTCP(&s.ip, b, true, &s.seg) != wire.DropNone {
		return false
	}
	s.options = b[20 : len(b)-len(s.seg.Payload)]
	return s.seg.Flags&^wire.PSH == wire.ACK && len(s.seg.Payload) > 0
}

// follows reports whether b may be put behind a, whose payload so far ends at offset n: everything that
// the merged header can say only once must be equal, as in Linux's tcp_gro_receive.
func (b *parsed) follows(a *parsed, n int) bool {
	ip := b.ip
	ip.ID = a.ip.ID
	return ip == a.ip && a.seg.SrcPort == b.seg.SrcPort && a.seg.DstPort == b.seg.DstPort &&
		a.seg.Ack == b.seg.Ack && a.seg.Window == b.seg.Window && bytes.Equal(a.options, b.options) &&
		b.seg.Seq == a.seg.Seq.Add(n) && len(b.seg.Payload) <= len(a.seg.Payload)
}

// merge appends to p the payload of the packets that continue it, fills f, and returns how many there were.
func (d *Device) merge(f *link.Frame, p *Packet, more []*Packet) int {
	var a, b parsed
	if !a.parse(p.Data) {
		return 0
	}
	size, n, last := len(a.seg.Payload), len(a.seg.Payload), a.seg.Flags
	count := 0
	for _, q := range more {
		// A shorter segment, or one with PSH, ends the superframe.
		if n%size != 0 || last&wire.PSH != 0 || !b.parse(q.Data) || !b.follows(&a, n) ||
			len(p.Data)+len(b.seg.Payload) > maxSuper {
			break
		}
		p.Data = append(p.Data, b.seg.Payload...)
		n += len(b.seg.Payload)
		last = b.seg.Flags
		count++
	}
	if count > 0 {
		lengthen(p.Data, &a.ip, last)
		f.GSO, f.Csum = uint16(size), link.CsumValid
	}
	return count
}

// lengthen makes the headers of b fit its length. The TCP checksum is left wrong: the device vouches.
func lengthen(b []byte, ip *wire.IPHeader, flags wire.Flags) {
	if ip.V6 {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	} else {
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		sum4(b)
	}
	b[ip.HeaderLen+13] = byte(flags)
}

// sum4 fills in an IPv4 header's checksum.
func sum4(b []byte) {
	n := int(b[0]&15) * 4
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], ^wire.Checksum(b[:n], 0).Fold())
}
