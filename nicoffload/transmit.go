package nicoffload

import (
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

const (
	// burstBytes is the sealed payload after which a burst goes to the link: it should still be in L2 when the
	// link copies it.
	burstBytes  = 128 << 10
	burstFrames = 64
	// packetMemory is room for a burst, the superframe that exceeds it, and headers.
	packetMemory = burstBytes + 64<<10 + 32<<10
)

// An outbox is the adapter's packet memory: frames on their way to the link.
type outbox struct {
	mem    []byte // len: taken so far
	frames []link.Frame
	ends   []uint64 // for each frame: the position behind its descriptor if it is the last of it, else 0
	pieces [][]byte // what frames point to
	sent   int      // frames that the link took
	done   uint64   // descriptors completed
}

func (o *outbox) init() {
	o.mem = make([]byte, 0, packetMemory)
	o.frames = make([]link.Frame, 0, 2*burstFrames)
	o.ends = make([]uint64, 0, 2*burstFrames)
	o.pieces = make([][]byte, 0, 8*burstFrames)
}

func (o *outbox) empty() bool { return len(o.frames) == 0 }

// full reports whether the burst should go.
func (o *outbox) full() bool { return len(o.frames) >= burstFrames || len(o.mem) >= burstBytes }

// take returns n bytes of packet memory. What does not fit goes into new memory; the old lives until its frames
// are gone.
func (o *outbox) take(n int) []byte {
	if cap(o.mem)-len(o.mem) < n {
		o.mem = make([]byte, 0, max(packetMemory, n))
	}
	at := len(o.mem)
	o.mem = o.mem[:at+n]
	return o.mem[at : at+n : at+n]
}

// add puts a frame behind the others.
func (o *outbox) add(f link.Frame) {
	o.frames = append(o.frames, f)
	o.ends = append(o.ends, 0)
}

// one appends p to pieces and returns it as the pieces of a frame.
func (o *outbox) one(p []byte) [][]byte {
	o.pieces = append(o.pieces, p)
	return o.pieces[len(o.pieces)-1 : len(o.pieces) : len(o.pieces)]
}

// cut takes frames back down to the first n.
func (o *outbox) cut(n int) {
	clear(o.frames[n:])
	o.frames, o.ends = o.frames[:n], o.ends[:n]
}

// forget drops everything.
func (o *outbox) forget() {
	o.cut(0)
	clear(o.pieces)
	o.pieces, o.mem, o.sent = o.pieces[:0], o.mem[:0], 0
}

// transmit works through the ring in bursts, as long as the link takes them.
func (n *nic) transmit(now mono.Time) (busy bool, err error) {
	n.wakeAt = 0
	for {
		before := n.out.sent
		clear, err := n.flush()
		if err != nil {
			return busy, err
		}
		if !clear {
			return busy || n.out.sent != before, nil
		}
		released := n.release(now)
		if !n.burst(now) && !released {
			return busy, nil
		}
		busy = true
	}
}

// burst processes descriptors until the outbox is full or the ring is empty; false: there was nothing, or the
// budgets are used up.
func (n *nic) burst(now mono.Time) bool {
	before := n.head
	for tail := n.ring.tail.Load(); n.head != tail && !n.out.full() && !n.halted(); n.head++ {
		d := n.ring.desc(n.head)
		spread := n.spreads(d, now)
		if n.shape.held = spread && !n.shape.room(); n.shape.held {
			n.count.spreadHeld.Add(1)
			break
		}
		if n.wakeAt = n.charge(now, d); n.wakeAt != 0 {
			break
		}
		n.process(d, now, spread)
	}
	return n.head != before
}

// process carries out one descriptor.
func (n *nic) process(d *desc, now mono.Time, spread bool) {
	first := len(n.out.frames)
	switch d.op {
	case opDump:
		n.rebuild(d)
	case opFrame:
		n.send(d)
		if d.want != nil {
			n.verify(d, first)
		}
		if spread {
			n.hold(d, first, now)
		}
	}
	if last := len(n.out.frames) - 1; last >= first {
		n.out.ends[last] = n.head + 1
	}
}

// flush hands the outbox to the link, and reports whether all of it went.
func (n *nic) flush() (clear bool, err error) {
	o := &n.out
	for o.sent < len(o.frames) {
		k, err := n.inner.Transmit(o.frames[o.sent:])
		if err != nil {
			return false, err
		}
		n.count.linkFrames.Add(uint64(k))
		o.sent += k
		if o.sent < len(o.frames) {
			n.completeTo(o.ends[:o.sent])
			return false, nil
		}
	}
	o.forget()
	n.shape.recycle()
	n.complete(n.head)
	return true, nil
}

// completeTo completes the last descriptor that has ended.
func (n *nic) completeTo(ends []uint64) {
	for i := len(ends) - 1; i >= 0; i-- {
		if ends[i] > 0 {
			n.complete(ends[i])
			return
		}
	}
}

// complete tells the driver that all descriptors before position done are finished with.
func (n *nic) complete(done uint64) {
	if done <= n.out.done {
		return
	}
	for ; n.out.done < done; n.out.done++ {
		n.ring.desc(n.out.done).release()
	}
	if !n.faults.completes(n, done) {
		return
	}
	n.ring.complete(done)
	n.dev.rouse(asleepForRoom)
}

// send reads a frame into packet memory, sealing it if it has to be sealed, and cuts it into packets. What needs
// no sealing goes to the link from where it lies.
func (n *nic) send(d *desc) {
	pieces := d.pieces
	if len(d.runs) > 0 {
		mem := n.out.take(d.payload)
		if !n.seal(mem, d) {
			n.count.sealFailed.Add(1)
			n.epoch.Add(1)
			return
		}
		pieces = n.out.one(mem)
	}
	if d.gso > 0 && !n.linkCuts(d) && n.cut(d, pieces) {
		return
	}
	n.emit(link.Frame{
		Data: d.data, Pieces: pieces,
		GSO: d.gso, Csum: d.csum, CsumStart: d.csumStart, CsumOffset: d.csumOffset,
	})
}

// linkCuts reports whether superframe d can be left to the link.
func (n *nic) linkCuts(d *desc) bool {
	able := n.caps.TSO4
	if len(d.data) > 0 && d.data[0]>>4 == 6 {
		able = n.caps.TSO6
	}
	return able && n.nif.cfg.TSO == TSOLink && n.caps.TxChecksum && len(d.data)+d.payload <= n.caps.MaxGSO &&
		d.rate == 0 && !n.faults.wantCut()
}

// cut is TSO: it emits the packets of superframe d; false: it is none.
func (n *nic) cut(d *desc, pieces [][]byte) bool {
	var s super
	if !s.parse(d.data, n.faults.segment(d.gso)) {
		return false
	}
	in := cursor{pieces: pieces}
	for i, at := 0, 0; at < d.payload; i++ {
		k := min(s.gso, d.payload-at)
		at += k
		head := n.out.take(len(d.data))
		s.put(head, i, k, at == d.payload)
		first := len(n.out.pieces)
		n.out.pieces = in.take(n.out.pieces, k)
		mine := n.out.pieces[first:len(n.out.pieces):len(n.out.pieces)]
		if n.faults.spoilSegment(head, s.ip, i, at == d.payload) {
			continue
		}
		n.emit(link.Frame{
			Data: head, Pieces: mine,
			Csum: link.CsumPartial, CsumStart: uint16(s.ip), CsumOffset: wire.ChecksumOffset,
		})
	}
	return true
}

// emit puts a frame into the outbox; what the link cannot do with its checksum is done here.
func (n *nic) emit(f link.Frame) {
	if f.Csum == link.CsumPartial && (!n.caps.TxChecksum || n.faults.wantChecksum(&f)) {
		head := n.out.take(len(f.Data))
		copy(head, f.Data)
		f.Data = head
		n.faults.fillChecksum(&f)
	}
	n.out.add(f)
}
