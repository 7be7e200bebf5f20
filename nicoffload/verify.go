package nicoffload

import (
	"bytes"
	"fmt"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/gso"
	"ocaserve/tcpstack/wire"
)

// A packetList is packets as they would be on a wire, one behind the other.
type packetList struct {
	cut  gso.Segmenter
	buf  []byte
	ends []int
}

func (l *packetList) reset() { l.buf, l.ends = l.buf[:0], l.ends[:0] }

// add appends the packets that f stands for; false: f is malformed.
func (l *packetList) add(f *link.Frame) bool {
	return l.cut.Segment(f, func(p []byte) {
		l.buf = append(l.buf, p...)
		l.ends = append(l.ends, len(l.buf))
	})
}

func (l *packetList) len() int { return len(l.ends) }

func (l *packetList) packet(i int) []byte {
	from := 0
	if i > 0 {
		from = l.ends[i-1]
	}
	return l.buf[from:l.ends[i]]
}

// A checker compares what is about to leave with what software would send.
type checker struct{ want, got packetList }

// verify holds the frames that d became, outbox frames from first on, against d.want. If they differ they are
// replaced before the link sees them, and the offload that got them wrong is not used again.
func (n *nic) verify(d *desc, first int) {
	k := &n.check
	soft := d.want.frame(d)
	k.want.reset()
	k.got.reset()
	if !k.want.add(&soft) {
		return // the stack's mistake, not the adapter's
	}
	for i := range n.out.frames[first:] {
		k.got.add(&n.out.frames[first+i])
	}
	if len(k.want.ends) == len(k.got.ends) && bytes.Equal(k.want.buf, k.got.buf) {
		return
	}
	what, how := k.difference(d.want.sealed, d.gso > 0)
	n.countMismatch(what)
	n.nif.distrust(what, how)
	n.out.cut(first)
	for i := range k.want.len() {
		p := n.out.take(len(k.want.packet(i)))
		copy(p, k.want.packet(i))
		n.out.add(link.Frame{Data: p})
	}
}

// difference says which offload is to blame, and for what.
func (k *checker) difference(sealed, super bool) (feature, string) {
	if k.want.len() != k.got.len() {
		if k.got.len() == 0 && sealed {
			return tlsTx, "sealed nothing"
		}
		return tso4 | tso6, fmt.Sprintf("cut a superframe into %d packets, not %d", k.got.len(), k.want.len())
	}
	csum := -1
	for i := range k.want.len() {
		want, got := k.want.packet(i), k.got.packet(i)
		if bytes.Equal(want, got) {
			continue
		}
		head := headLen(want)
		switch {
		case len(want) != len(got) || super && !sameHeaders(want, got, head):
			return tso4 | tso6, fmt.Sprintf("packet %d of a superframe has wrong headers", i)
		case !bytes.Equal(want[head:], got[head:]) && sealed:
			return tlsTx, fmt.Sprintf("packet %d has wrong payload at byte %d", i, mismatch(want[head:], got[head:]))
		default:
			csum = i
		}
	}
	return txCsum, fmt.Sprintf("packet %d has a wrong checksum", csum)
}

// headLen is the length of IP and TCP headers of a packet, or of all of it if it is no TCP.
func headLen(p []byte) int {
	var h wire.IPHeader
	var s wire.Segment
	payload, drop := wire.ParseIP(p, &h)
	if drop != wire.DropNone || h.Protocol != wire.ProtoTCP || wire.ParseTCP(&h, payload, false, &s) != wire.DropNone {
		return len(p)
	}
	return len(p) - len(s.Payload)
}

// sameHeaders compares all but the TCP checksum.
func sameHeaders(a, b []byte, head int) bool {
	ip := ipv6Header
	if a[0]>>4 == 4 {
		ip = int(a[0]&15) * 4
	}
	at := min(ip+wire.ChecksumOffset, head)
	return bytes.Equal(a[:at], b[:at]) && bytes.Equal(a[min(at+2, head):head], b[min(at+2, head):head])
}

// mismatch is where a and b begin to differ.
func mismatch(a, b []byte) int {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	return i
}

func (n *nic) countMismatch(what feature) {
	switch {
	case what&tlsTx != 0:
		n.count.mismatchTLS.Add(1)
	case what&txCsum != 0:
		n.count.mismatchCsum.Add(1)
	default:
		n.count.mismatchTSO.Add(1)
	}
}

// distrust switches an offload off that was found to be wrong. What cannot be done without it, records that are
// already queued for a context, is verified from now on, frame by frame.
func (i *Interface) distrust(what feature, how string) {
	if i.suspect.Or(uint32(what))&uint32(what) == uint32(what) {
		return
	}
	i.features.set(what, false)
	if i.cfg.Log != nil {
		i.cfg.Log(fmt.Sprintf("%s: %s is switched off: the adapter %s", i.name, nameOf(what), how))
	}
}

// SetVerify sets the share of frames that are verified, from 0 to 1. It may be called from any goroutine.
func (i *Interface) SetVerify(share float64) {
	i.verify.Store(uint64(min(max(share, 0), 1) * (1 << 32)))
}

// Verify is the share of frames that are verified.
func (i *Interface) Verify() float64 { return float64(i.verify.Load()) / (1 << 32) }
