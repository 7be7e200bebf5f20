package nicoffload

import (
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// An inbox is what the link has lent and what is not yet in the receive ring.
type inbox struct {
	frames [64]link.Frame
	at, n  int
}

func (b *inbox) left() int { return b.n - b.at }

// receive moves what has arrived into the shard's memory; what finds no room waits there.
func (n *nic) receive(now mono.Time) (busy bool, err error) {
	b := &n.in
	if b.left() == 0 {
		if err := n.fetch(); err != nil {
			return false, err
		}
	}
	first := b.at
	for b.left() > 0 && n.place(&b.frames[b.at]) {
		n.charged(now, len(b.frames[b.at].Data))
		b.at++
	}
	n.closeMerge()
	if b.at == first {
		return false, nil
	}
	return true, nil
}

// fetch takes what the link has.
func (n *nic) fetch() (err error) {
	b := &n.in
	b.at, b.n = 0, 0
	k, err := n.inner.Receive(b.frames[:])
	if err != nil {
		return err
	}
	for b.n < k {
		n.vouch(&b.frames[b.n])
		b.n++
	}
	return nil
}

// canPlace reports whether the frame that waits first would find room now.
func (n *nic) canPlace() bool {
	mem, _ := n.rx.reserve(len(n.in.frames[n.in.at].Data), int(n.nif.rxDepth.Load()))
	return mem != nil
}

// place copies a received frame into the receive ring, or adds it to the one before; false: there is no room.
func (n *nic) place(f *link.Frame) bool {
	if n.merge(f) {
		return true
	}
	n.closeMerge()
	mem, start := n.reserve(f)
	if mem == nil {
		n.count.rxNoRoom.Add(1)
		return false
	}
	copy(mem, f.Data)
	n.count.rxPackets.Add(1)
	n.count.rxBytes.Add(uint64(len(f.Data)))
	s := rxSlot{
		start: start, length: len(f.Data), time: f.Time,
		gso: f.GSO, csum: f.Csum, csumStart: f.CsumStart, csumOffset: f.CsumOffset,
	}
	if !n.openMerge(&s, f, mem) {
		n.rx.push(&s)
	}
	return true
}

// reserve finds memory for f, with room to grow if it may.
func (n *nic) reserve(f *link.Frame) ([]byte, uint64) {
	depth := int(n.nif.rxDepth.Load())
	if mem, start := n.rx.reserve(n.mergeRoom(f), depth); mem != nil {
		return mem, start
	}
	return n.rx.reserve(len(f.Data), depth)
}

// vouch verifies the checksum of a received frame. One that is wrong is passed on for the stack to find out, as
// adapters do. While rx-checksum is off nothing is vouched for, and what crossed the link unfinished is finished.
func (n *nic) vouch(f *link.Frame) {
	if !n.nif.features.has(rxCsum) {
		n.unvouch(f)
		return
	}
	switch {
	case f.Csum != link.CsumComplete:
		n.count.rxCsumUnnecessary.Add(1)
	case n.faults.vouches() || checksumRight(f.Data):
		f.Csum = link.CsumValid
		n.count.rxCsumUnnecessary.Add(1)
	default:
		n.count.rxCsumBad.Add(1)
	}
}

// unvouch makes a frame one with a complete checksum that nobody has verified.
func (n *nic) unvouch(f *link.Frame) {
	n.count.rxCsumNone.Add(1)
	if f.Csum == link.CsumPartial {
		wire.FillChecksum(f.Data, nil, int(f.CsumStart), int(f.CsumOffset))
	}
	f.Csum, f.CsumStart, f.CsumOffset = link.CsumComplete, 0, 0
}

// checksumRight verifies a TCP packet. Of all else no sum is vouched for.
func checksumRight(packet []byte) bool {
	var h wire.IPHeader
	payload, drop := wire.ParseIP(packet, &h)
	if drop != wire.DropNone || h.Protocol != wire.ProtoTCP {
		return false
	}
	return wire.Checksum(payload, wire.PseudoHeader(&h, len(payload))).Valid()
}
