package tcpstack

import (
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

const (
	batchFrames  = 32        // frames handed to the link at once
	batchScratch = 256 << 10 // headers and bytes produced at transmit time; stays in L2
	batchPieces  = 2048
	// batchBytes is the payload made for a batch from which on it goes out: what was sealed for it is read again by
	// the link, and should still be in L2. Two superframes measured best. What is sent by reference does not count,
	// unless it was read for the checksum.
	batchBytes = 100 << 10
	// frameScratch is what one frame may take of the scratch: headers, and a superframe's worth of
	// records sealed while they are gathered.
	frameScratch = 72 << 10
	controlHead  = 128 // headers of a frame without payload
	hopLimit     = 64  // RFC 9293 section 3.9.2: the default TTL
	maxSuper     = 65535
)

// A batch is the frames that a shard builds before it calls the link. While the link's ring is full the
// batch is stuck: nothing is added until its frames are gone. What they refer to stays: spans that an ACK
// lets go meanwhile wait in limbo (see stream.BlockPool), and scratch is not used again before the link is
// done with it.
type batch struct {
	frames []link.Frame
	gather stream.Gather
	caps   link.Caps
	pool   *stream.BlockPool // counts the frames
	async  asyncScratch
	taken  uint64 // frames that the link took, since the start
	stuck  bool
	bytes  int           // payload in the frames that was made for them, in scratch, or read for them
	before int           // scratch that was free before that of the frame under way
	ip     wire.IPHeader // scratch
}

func (b *batch) init(caps link.Caps, pool *stream.BlockPool) {
	b.caps, b.pool = caps, pool
	b.frames = make([]link.Frame, 0, batchFrames)
	b.gather.Init(make([]byte, batchScratch), batchPieces)
}

// hasRoom reports whether a frame with payload can be built.
func (b *batch) hasRoom() bool {
	return !b.stuck && len(b.frames) < cap(b.frames) && b.bytes < batchBytes && b.gather.Free() >= frameScratch &&
		b.gather.Count() <= batchPieces
}

// hasControlRoom reports whether a frame without payload can be built.
func (b *batch) hasControlRoom() bool {
	return !b.stuck && len(b.frames) < cap(b.frames) && b.gather.Free() >= controlHead
}

// begin starts a frame for seg with framePayload bytes to be gathered next, and returns its headers.
func (b *batch) begin(flow *wire.Flow, seg *wire.Segment, framePayload int) []byte {
	h := &b.ip
	*h = wire.IPHeader{
		Src: flow.Local, Dst: flow.Remote, Protocol: wire.ProtoTCP,
		HopLimit: hopLimit, DontFragment: true, V6: !flow.Local.Is4(), TOS: seg.ECN,
	}
	tcpLen := seg.HeaderLen()
	head := b.gather.Scratch(wire.HeaderLen(h) + tcpLen)
	n := wire.PutIP(head, h, tcpLen+framePayload)
	wire.PutTCP(head[n:], h, seg, framePayload)
	b.gather.Mark()
	b.gather.Book = nil
	b.before = b.gather.Free()
	return head
}

// commit ends the frame that begin started; gso is the payload of each segment it is to be cut into, or
// 0. Where the device does not fill in the checksum, it is completed here.
func (b *batch) commit(head []byte, gso int) {
	ipLen := wire.HeaderLen(&b.ip)
	f := link.Frame{
		Data: head, Pieces: b.gather.Pieces(), GSO: uint16(gso), Seal: b.gather.Sealings(), Book: b.gather.Book,
	}
	if b.caps.TxChecksum {
		f.Csum, f.CsumStart, f.CsumOffset = link.CsumPartial, uint16(ipLen), wire.ChecksumOffset
	} else {
		wire.CompleteTCP(head[ipLen:], wire.SumPieces(f.Pieces, 0))
		f.Book.Add(ledger.Summed, b.gather.Len())
	}
	if b.caps.TxChecksum {
		b.bytes += b.before - b.gather.Free()
	} else { // all of it was read, whatever was made
		b.bytes += b.gather.Len()
	}
	b.push(f)
}

func (b *batch) push(f link.Frame) {
	b.frames = append(b.frames, f)
	b.pool.FrameBuilt(len(f.Pieces) > 0 || len(f.Seal) > 0)
}

// add puts a finished packet into the batch, copying it.
func (b *batch) add(packet []byte) {
	head := b.gather.Scratch(len(packet))
	copy(head, packet)
	b.push(link.Frame{Data: head})
}

// maxPayload is the most payload of one frame to this peer, in whole segments of mss bytes. A long superframe carries
// a multiple of four: the receiver that acknowledges every second segment has acknowledged all of it (RFC 9293 section
// 3.8.6.3), and records that cover many segments can fill it (44 segments of 1448 bytes are four of 11).
func (b *batch) maxPayload(flow *wire.Flow, mss int) int {
	v4 := flow.Local.Is4()
	if v4 && !b.caps.TSO4 || !v4 && !b.caps.TSO6 {
		return mss
	}
	n := (min(b.caps.MaxGSO, maxSuper) - maxHeaders) / mss
	if n > 8 {
		n -= n % 4
	}
	return max(n, 1) * mss
}

// maxHeaders bounds the IP and TCP headers that the stack writes: 40 + 60.
const maxHeaders = 100

// sent drops the first n frames, which the link took.
func (b *batch) sent(n int) {
	b.taken += uint64(n)
	if b.caps.TxCopies {
		book(b.frames[:n], ledger.LinkCopied)
	}
	rest := b.frames[n:]
	copy(b.frames, rest)
	clear(b.frames[len(rest):])
	b.frames = b.frames[:len(rest)]
	if b.stuck = len(rest) > 0; b.stuck {
		return
	}
	b.bytes = 0
	if b.caps.TxCopies {
		b.gather.Reset()
	} else {
		b.gather.Next()
	}
}

// book books the payload of frames that belongs to a connection.
func book(frames []link.Frame, e ledger.Event) {
	for i := range frames {
		if f := &frames[i]; f.Book != nil {
			f.Book.Add(e, f.Payload())
		}
	}
}

// drop forgets the frames: the link is gone.
func (b *batch) drop() {
	book(b.frames, ledger.LinkDropped)
	clear(b.frames)
	b.frames, b.stuck = b.frames[:0], false
}

// An asyncScratch is the scratch memory that a device which completes later may still be reading.
type asyncScratch struct {
	busy []usedScratch // oldest first
	idle [][]byte
}

type usedScratch struct {
	buf   []byte
	until uint64 // frames done
}

// maxScratches bounds the scratch of a shard, 2 MiB: beyond, output waits for the device.
const maxScratches = 8

// reap takes note that the device is done with the first `done` frames, and takes fresh scratch when this one is
// used up.
func (b *batch) reap(done uint64) {
	b.pool.FramesDone(done)
	a := &b.async
	for len(a.busy) > 0 && a.busy[0].until <= done {
		a.idle = append(a.idle, a.busy[0].buf)
		copy(a.busy, a.busy[1:])
		a.busy = a.busy[:len(a.busy)-1]
	}
	if b.stuck || len(b.frames) > 0 || b.gather.Free() >= frameScratch {
		return
	}
	if done == b.pool.Built() { // nobody reads it: it stays in cache
		b.gather.Reset()
		return
	}
	if len(a.idle) == 0 {
		if len(a.busy)+1 >= maxScratches {
			return
		}
		a.idle = append(a.idle, make([]byte, batchScratch))
	}
	last := len(a.idle) - 1
	old := b.gather.SwapScratch(a.idle[last])
	a.idle = a.idle[:last]
	a.busy = append(a.busy, usedScratch{old, b.pool.Built()})
}

// waits reports whether something will be free when the device is done with more frames.
func (b *batch) waits() bool {
	return !b.caps.TxCopies && (b.pool.Captives() > 0 || len(b.async.busy) > 0)
}
