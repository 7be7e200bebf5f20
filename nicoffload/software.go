package nicoffload

import (
	"encoding/binary"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/stream"
)

// software makes records the way a host does: header, plaintext and inner type in a buffer, sealed whole with the
// standard AEAD. It shares nothing with the adapter's framing and cipher.
type software struct {
	plain  []byte // of the record
	sealed []byte
	nonce  [nonceLen]byte
	aad    [13]byte
	gather stream.Gather
	ready  bool
}

// image appends wire bytes [r.from, r.to) of the sealed record to dst.
func (s *software) image(dst []byte, records stream.Records, r *run) ([]byte, bool) {
	if !s.ready {
		s.gather.Init(nil, 16)
		s.ready = true
	}
	s.gather.Reset()
	records.Plain(&s.gather, r.number, 0, int(r.length))
	s.plain = s.plain[:0]
	for _, p := range s.gather.Pieces() {
		s.plain = append(s.plain, p...)
	}
	s.gather.Reset()
	if !s.seal(r.ctx, r.typ, r.number) || len(s.sealed) != int(r.length) {
		return dst, false
	}
	return append(dst, s.sealed[r.from:r.to]...), true
}

// seal makes s.sealed of s.plain.
func (s *software) seal(c *context, typ uint8, number uint64) bool {
	aead, err := newAEAD(c.raw[:c.rawLen])
	if err != nil {
		return false
	}
	header := append(s.sealed[:0], typ, 3, 3, 0, 0)
	if c.version == tls12 {
		header = binary.BigEndian.AppendUint64(header, number)
	} else {
		header[0], s.plain = typeData, append(s.plain, typ)
	}
	n := len(header) + len(s.plain) + tagLen - headerLen
	header[3], header[4] = byte(n>>8), byte(n)
	s.nonce = c.iv
	for i := range 8 { // RFC 8446 section 5.3; with a salt and zeros, RFC 5288 section 3
		s.nonce[4+i] ^= byte(number >> (56 - 8*i))
	}
	aad := append(s.aad[:0], header[:headerLen]...)
	if c.version == tls12 { // RFC 5246 section 6.2.3.3
		aad = binary.BigEndian.AppendUint64(s.aad[:0], number)
		aad = append(aad, header[:3]...)
		aad = binary.BigEndian.AppendUint16(aad, uint16(len(s.plain)))
	}
	s.sealed = aead.Seal(header, s.nonce[:], s.plain, aad)
	return true
}

// An expectation is a frame as software would hand it to an adapter that can do nothing but send and, where the
// descriptor asks for it, cut and sum: headers, and payload sealed by the host.
type expectation struct {
	head    []byte
	payload []byte   // sealed by the host
	pieces  [][]byte // payload; or the frame's own where nothing is sealed
	sealed  bool
	until   uint64 // the ring's tail behind the descriptor that uses it
}

// frame is x as a frame, with the offloads that d asks for.
func (x *expectation) frame(d *desc) link.Frame {
	return link.Frame{
		Data: x.head, Pieces: x.pieces,
		GSO: d.gso, Csum: d.csum, CsumStart: d.csumStart, CsumOffset: d.csumOffset,
	}
}

// expect notes what software would send in place of e, which is f or a segment of it, if e is one of those that are
// verified.
func (d *Device) expect(f *link.Frame, e *desc) {
	if !d.sampled(len(e.runs) > 0) {
		return
	}
	x := d.expectation()
	x.head = append(x.head[:0], e.data...)
	x.pieces, x.payload, x.sealed = append(x.pieces[:0], e.pieces...), x.payload[:0], len(e.runs) > 0
	for i := range e.runs {
		for j := range e.runs[i].count {
			r, ok := e.runs[i].one(j), false
			if x.payload, ok = d.scratch.image(x.payload, f.Seal[r.seal].Records, &r); !ok {
				clear(x.pieces)
				return
			}
		}
	}
	if x.sealed {
		clear(x.pieces)
		x.pieces = append(x.pieces[:0], x.payload)
	}
	e.want = x
	d.count.verified.Add(1)
}

// expectation returns memory for one: that of the oldest if its descriptor is done, so that the few in use stay in
// cache, else new memory.
func (d *Device) expectation() *expectation {
	q := d.wants
	if len(q) > 0 && q[0].until <= d.done {
		x := q[0]
		copy(q, q[1:])
		q[len(q)-1] = x
	} else {
		q = append(q, &expectation{})
	}
	d.wants = q
	x := q[len(q)-1]
	x.until = d.posted
	return x
}

// sampled chooses the frames that are verified: the configured share, and all that an offload seals or finishes
// which was found to be wrong and cannot be done without.
func (d *Device) sampled(sealed bool) bool {
	if sealed && d.nif.suspect.Load() != 0 {
		return true
	}
	share := d.nif.verify.Load()
	return share != 0 && uint64(d.rng.Uint32()) < share
}

// checkReceived verifies what the adapter vouches for, for the share that is verified.
func (d *Device) checkReceived(f *link.Frame) {
	if d.nif.verify.Load() == 0 || f.Csum != link.CsumValid || f.GSO != 0 || !d.sampled(false) || checksumRight(f.Data) {
		return
	}
	f.Csum = link.CsumComplete
	d.count.rxMismatch.Add(1)
	d.nif.distrust(rxCsum, "vouched for a packet whose checksum is wrong")
}
