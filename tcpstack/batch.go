package tcpstack

import (
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

const (
	batchFrames  = 32        // frames handed to the link at once
	batchScratch = 256 << 10 // headers and bytes produced at transmit time; stays in L2
	batchPieces  = 2048
	// batchBytes is the payload from which on the batch goes out: what was sealed for it is read again by
	// the link, and should still be in L2. Two superframes measured best.
	batchBytes = 100 << 10
	// frameScratch is what one frame may take of the scratch: headers, and a superframe's worth of
	// records sealed while they are gathered.
	frameScratch = 72 << 10
	controlHead  = 128 // headers of a frame without payload
	hopLimit     = 64  // RFC 9293 section 3.9.2: the default TTL
	maxSuper     = 65535
)

// A batch is the frames that a shard builds before it calls the link. While the link's ring is full the
// batch is stuck: its frames own all their bytes and nothing is added until they are gone.
type batch struct {
	frames []link.Frame
	gather stream.Gather
	caps   link.Caps
	stuck  bool
	bytes  int           // payload in the frames
	ip     wire.IPHeader // scratch
}

func (b *batch) init(caps link.Caps) {
	b.caps = caps
	b.frames = make([]link.Frame, 0, batchFrames)
	b.gather.Init(make([]byte, batchScratch), batchPieces)
}

// hasRoom reports whether a frame with payload can be built.
func (b *batch) hasRoom() bool {
	return !b.stuck && len(b.frames) < cap(b.frames) && b.bytes < batchBytes && b.gather.Free() >= frameScratch
}

// hasControlRoom reports whether a frame without payload can be built.
func (b *batch) hasControlRoom() bool {
	return !b.stuck && len(b.frames) < cap(b.frames) && b.gather.Free() >= controlHead
}

// begin starts a frame for seg with payloadLen bytes to be gathered next, and returns its headers.
func (b *batch) begin(flow *wire.Flow, seg *wire.Segment, payloadLen int) []byte {
	h := &b.ip
	*h = wire.IPHeader{
		Src: flow.Local, Dst: flow.Remote, Protocol: wire.ProtoTCP,
		HopLimit: hopLimit, DontFragment: true, V6: !flow.Local.Is4(), TOS: seg.ECN,
	}
	tcpLen := seg.HeaderLen()
	head := b.gather.Scratch(wire.HeaderLen(h) + tcpLen)
	n := wire.PutIP(head, h, tcpLen+payloadLen)
	wire.PutTCP(head[n:], h, seg, payloadLen)
	b.gather.Mark()
	return head
}

// commit ends the frame that begin started; gso is the payload of each segment it is to be cut into, or
// 0. Where the device does not fill in the checksum, it is completed here.
func (b *batch) commit(head []byte, gso int) {
	ipLen := wire.HeaderLen(&b.ip)
	f := link.Frame{Data: head, Pieces: b.gather.Pieces(), GSO: uint16(gso)}
	if b.caps.TxChecksum {
		f.Csum, f.CsumStart, f.CsumOffset = link.CsumPartial, uint16(ipLen), wire.ChecksumOffset
	} else {
		wire.CompleteTCP(head[ipLen:], wire.SumPieces(f.Pieces, 0))
	}
	b.bytes += b.gather.Len()
	b.frames = append(b.frames, f)
}

// add puts a finished packet into the batch, copying it.
func (b *batch) add(packet []byte) {
	head := b.gather.Scratch(len(packet))
	copy(head, packet)
	b.frames = append(b.frames, link.Frame{Data: head})
}

// maxPayload is the most payload of one frame to this peer, in whole segments of mss bytes.
func (b *batch) maxPayload(flow *wire.Flow, mss int) int {
	v4 := flow.Local.Is4()
	if v4 && !b.caps.TSO4 || !v4 && !b.caps.TSO6 {
		return mss
	}
	limit := min(b.caps.MaxGSO, maxSuper) - maxHeaders
	return max(mss, limit-limit%mss)
}

// maxHeaders bounds the IP and TCP headers that the stack writes: 40 + 60.
const maxHeaders = 100

// sent drops the first n frames, which the link took. The rest become the batch's own: until they go,
// ACKs may release the memory that they point to.
func (b *batch) sent(n int) {
	if n == len(b.frames) {
		clear(b.frames)
		b.frames = b.frames[:0]
		b.gather.Reset()
		b.bytes, b.stuck = 0, false
		return
	}
	rest := b.frames[n:]
	if !b.stuck {
		for i := range rest {
			own(&rest[i])
		}
		b.gather.Reset()
		b.stuck = true
	}
	copy(b.frames, rest)
	clear(b.frames[len(rest):])
	b.frames = b.frames[:len(rest)]
}

// own copies everything the frame points to. The ring is full, so the copy costs nobody any time.
func own(f *link.Frame) {
	buf := make([]byte, 0, f.Len())
	buf = append(buf, f.Data...)
	for _, p := range f.Pieces {
		buf = append(buf, p...)
	}
	head := len(f.Data)
	f.Data = buf[:head:head]
	if len(buf) > head {
		f.Pieces = [][]byte{buf[head:]}
	} else {
		f.Pieces = nil
	}
}
