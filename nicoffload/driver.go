package nicoffload

import (
	"sync/atomic"

	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// post writes the descriptors of one frame; false: there is no room for them. It is the transmit path of mlx5's
// en_accel/ktls_tx.c: check the frame against the context's place, post what rebuilds the cipher's state if it is
// out of sequence, post the frame.
func (d *Device) post(f *link.Frame, now mono.Time) bool {
	d.runs = d.runs[:0]
	fetch := size(f.Pieces)
	payload := fetch
	if len(f.Seal) > 0 {
		why := (*atomic.Uint64)(nil)
		if payload, why = d.resolve(f, fetch, now); why != nil {
			return d.dropped(f, why)
		}
	}
	segments := d.hostSegments(f, payload)
	if segments > len(d.ring.descs) {
		return d.dropped(f, &d.count.dropped)
	}
	need := segments
	if len(f.Seal) > 0 {
		need++ // a dump
	}
	if !d.room(need) {
		d.want = need
		return false
	}
	resync := false
	if len(f.Seal) > 0 {
		var ok bool
		if resync, ok = d.synchronise(&f.Seal[0]); !ok {
			return d.dropped(f, &d.count.dropNoSyncData)
		}
		d.countSealed(f, payload, payload-fetch, resync)
	}
	f.Book.Add(ledger.Fetched, fetch)
	if segments > 1 {
		d.cutOnHost(f, payload)
	} else {
		d.fillWhole(f, payload, fetch)
	}
	d.finish()
	return true
}

// dropped takes a frame that is not sent: it completes in its turn. TCP sends its payload again, and by then the
// record layer has learnt from Health to seal it itself.
func (d *Device) dropped(f *link.Frame, why *atomic.Uint64) bool {
	if !d.room(1) {
		d.want = 1
		return false
	}
	why.Add(1)
	f.Book.Add(ledger.LinkDropped, f.Payload())
	d.next().op = opNop
	d.finish()
	return true
}

// finish ends the frame whose last descriptor was just written.
func (d *Device) finish() {
	d.taken++
	d.ring.desc(d.posted - 1).frames = d.taken
}

// resolve finds the contexts of f's runs, puts the runs into d.runs and returns their wire bytes. Their plaintext must be
// the fetch bytes of f's pieces. If f must not be sent it returns the counter of the reason.
func (d *Device) resolve(f *link.Frame, fetch int, now mono.Time) (wire int, why *atomic.Uint64) {
	c, at, ends := (*row)(nil), int32(0), true
	for i := range f.Seal {
		s := &f.Seal[i]
		if c == nil || c.id != s.Context { // the records of a frame are of one connection, and all but always of one key
			if at, why = d.sealer(s.Context, now); why != nil {
				return 0, why
			}
			c = &d.table.rows[at]
		}
		// Runs are neighbours in the stream: all but the first begin a record, and all but the last end one.
		if !c.fits(s) || i > 0 && (!ends || s.From != 0) {
			return 0, d.cannot(c)
		}
		ends = s.To == s.Len
		d.runs = append(d.runs, run{})
		r := &d.runs[i]
		r.ctx, r.row, r.number, r.count, r.length = &d.table.contexts[at], at, s.Number, uint16(s.Count), uint16(s.Len)
		r.from, r.to, r.seal, r.typ = uint16(s.From), uint16(s.To), uint16(i), s.Type
		wire += s.Size()
		fetch -= c.plainOf(s.Count, s.Len, s.From, s.To)
	}
	if fetch != 0 || wire > maxGSO {
		return 0, d.cannot(c)
	}
	return wire, nil
}

// sealer is the context that a handle names, for records now; if it seals none, the counter of the reason.
func (d *Device) sealer(id uint64, now mono.Time) (int32, *atomic.Uint64) {
	i := d.table.find(id)
	if i < 0 || d.table.rows[i].dying {
		return 0, &d.count.dropBypassReq
	}
	c := &d.table.rows[i]
	if d.nif.cfg.Evict == EvictLRU {
		c.used = now
		d.table.touch(i)
	}
	if c.lost || !d.set(c) {
		return 0, d.cannot(c)
	}
	return i, nil
}

// cannot is why a frame of c's records is not sent that cannot be sealed. Unless c is only not set up yet, it is lost.
func (d *Device) cannot(c *row) *atomic.Uint64 {
	if c.ready == 0 {
		d.lose(c)
	}
	return &d.count.dropNoSyncData
}

// synchronise compares the frame's place with that of the context of its first run. Where they differ, it posts
// what lies in the record before the frame, for the adapter to read and to rebuild its state from; a frame that
// begins with a record needs no more than the record's number. It reports whether the frame was out of sequence.
func (d *Device) synchronise(s *stream.Sealing) (resync, ok bool) {
	r := &d.runs[0]
	if c := &d.table.rows[r.row]; c.number != r.number || c.off != int32(r.from) {
		resync = true
		d.count.ooo.Add(1)
		switch {
		case r.from == 0:
			d.count.skipNoSyncData.Add(1)
		case !d.dump(s, r):
			d.lose(c)
			return true, false
		}
	}
	for i := range d.runs {
		r := &d.runs[i]
		d.table.rows[r.row].proceed(r)
	}
	return resync, true
}

// proceed moves the driver's idea of the place behind the run.
func (c *row) proceed(r *run) {
	if c.number, c.off = r.number+uint64(r.count), 0; r.to < r.length {
		c.number, c.off = c.number-1, int32(r.to)
	}
}

// dump posts the plaintext of the record before byte r.from.
func (d *Device) dump(s *stream.Sealing, r *run) bool {
	e, g := d.ring.desc(d.posted), &d.dumped
	s.Records.Plain(g, r.number, 0, int(r.from))
	defer g.Reset()
	before := run{ctx: r.ctx, row: r.row, number: r.number, count: 1, length: r.length, to: r.from, typ: r.typ}
	n := d.table.rows[r.row].plainOf(1, int(r.length), 0, int(r.from))
	if size(g.Pieces()) != n {
		return false
	}
	d.posted++
	e.op, e.payload, e.fetch, e.frames = opDump, 0, n, d.taken
	e.pieces = append(e.pieces[:0], g.Pieces()...)
	e.runs = append(e.runs[:0], before)
	d.count.dumpPackets.Add(1)
	d.count.dumpBytes.Add(uint64(n))
	return true
}

// countSealed books a frame that the adapter is to seal, of which it makes some bytes itself.
func (d *Device) countSealed(f *link.Frame, payload, made int, resync bool) {
	d.tally.encryptedPackets += uint64(packets(f.GSO, payload))
	d.tally.encryptedBytes += uint64(payload)
	f.Book.Add(ledger.SealedNIC, payload)
	f.Book.Add(ledger.MadeNIC, made)
	if !resync {
		return
	}
	d.count.resyncBytes.Add(uint64(payload))
	r := &d.runs[0]
	f.Book.Add(ledger.Refetched, d.table.rows[r.row].plainOf(1, int(r.length), 0, int(r.from)))
}

// fillWhole writes the descriptor of f, which goes to the adapter as it is. The runs are not copied: d.runs and the
// descriptor's change places.
func (d *Device) fillWhole(f *link.Frame, payload, fetch int) {
	e := d.next()
	e.runs, d.runs = d.runs, e.runs[:0]
	d.fill(e, f, payload, fetch)
}

// fill writes all of e but its runs: f, of which fetch are the bytes of its pieces.
func (d *Device) fill(e *desc, f *link.Frame, payload, fetch int) {
	e.op, e.payload, e.fetch, e.frames = opFrame, payload, fetch, d.taken
	e.gso, e.csum, e.csumStart, e.csumOffset = f.GSO, f.Csum, f.CsumStart, f.CsumOffset
	e.flow, e.rate = f.Flow, 0
	if d.nif.features.has(rateLimit) {
		e.rate = f.Rate
	}
	if len(f.Data) <= maxInline {
		e.data = append(e.inline[:0], f.Data...)
	} else {
		e.data = f.Data
	}
	e.pieces = append(e.pieces[:0], f.Pieces...)
	for i := range e.runs {
		d.table.rows[e.runs[i].row].last = d.posted
	}
	d.countOffloads(f, e)
	d.expect(f, e)
}

// countOffloads counts what the adapter is asked to do with a frame, and does itself what is switched off.
func (d *Device) countOffloads(f *link.Frame, e *desc) {
	t, payload := &d.tally, e.payload
	t.packets += uint64(packets(e.gso, payload))
	t.bytes += uint64(len(e.data) + payload)
	if e.gso > 0 {
		t.tsoPackets++
		t.tsoBytes += uint64(payload)
	}
	if e.csum != link.CsumPartial {
		t.csumNone++
		return
	}
	if d.nif.features.has(txCsum) || len(e.runs) > 0 {
		t.csumPartial++ // of what the adapter seals only the adapter can make the sum
		return
	}
	t.csumNone++
	d.fillChecksum(f, e)
}

// size is the number of bytes in pieces.
func size(pieces [][]byte) int {
	n := 0
	for _, p := range pieces {
		n += len(p)
	}
	return n
}

// packets is how many packets a frame is on the wire.
func packets(gso uint16, payload int) int {
	if gso == 0 || payload == 0 {
		return 1
	}
	return int((uint32(payload) + uint32(gso) - 1) / uint32(gso)) // divisions of 32 bits take half as long
}
