package ktls

import (
	"errors"
	"unsafe"

	"ocaserve/internal/prefetch"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

const (
	// gcmLimit is the number of full records that one AES-GCM key may seal: 2^24.5 (RFC 8446, 5.5).
	gcmLimit = 23_726_566
	// keyLimit is the number of records for keys without such a limit (ChaCha20-Poly1305: "the record
	// sequence number would wrap before the safety limit is reached") and for TLS 1.2, which has no
	// KeyUpdate: there ending a stream after 388 GB would surprise more than the thinner margin is worth.
	keyLimit = 1 << 32
)

const messageKeyUpdate = 24

// A Queue takes spans in stream order; *tcpstack.Conn is one.
type Queue interface {
	Append(s stream.Span)
}

// A Framer cuts what one connection sends into records. It belongs to the connection's shard.
//
// What each Append reads stands together.
type Framer struct {
	keys   *sealKeys    // the current ones of w; nil in ModeOff
	seq    uint64       // number of the next record under keys
	book   *ledger.Book // nil: nobody asks
	limit  uint64       // records per key
	data   uint64       // application data records framed, over all keys
	wire   uint64       // bytes of records framed
	before uint64       // the book's sum of bytes sent, less those of records
	over   uint8        // what a record adds to its plaintext, bytes
	mode   Mode         // what was asked for
	now    Mode         // who seals what is framed now
	closed bool         // close_notify or a fatal alert is queued
	engine bool         // keys can seal what is gathered, piece by piece
	ramp   ramp
	helm   helm
	pool   *Pool
	w      *WriteState // nil in ModeOff
	old    *sealKeys   // before the last KeyUpdate, if records under them were left to the interface
}

// NewFramer makes the sending side of a connection. The framer takes over w, which is nil exactly in
// ModeOff; pool belongs to the shard that will own the connection.
func NewFramer(mode Mode, w *WriteState, pool *Pool) (*Framer, error) {
	f := &Framer{w: w, pool: pool, mode: mode, now: mode, limit: keyLimit, ramp: ramp{policy: DefaultPolicy}, helm: newHelm()}
	switch mode {
	case ModeOff:
		if w != nil {
			return nil, errors.New("ktls: mode off cannot carry a TLS session")
		}
		return f, nil
	case ModeUser, ModeInline:
	case ModeNIC:
		if pool.nic == nil {
			return nil, ErrNoNIC
		}
		f.now = ModeInline
	default:
		return nil, errors.New("ktls: unknown mode " + mode.String())
	}
	if err := f.take(); err != nil {
		return nil, err
	}
	if mode == ModeNIC {
		f.begun()
	}
	return f, nil
}

// take makes the framer the only user of its write state.
func (f *Framer) take() error {
	if f.w == nil {
		return errors.New("ktls: mode " + f.mode.String() + " needs the write state of a session")
	}
	if f.w.taken {
		return errors.New("ktls: the write state already has a framer")
	}
	f.w.taken = true
	f.hold()
	if f.w.version == TLS13 && f.w.info.kind == kindGCM {
		f.limit = gcmLimit
	}
	return nil
}

// hold makes the keys of the write state the current ones.
func (f *Framer) hold() {
	f.keys, f.seq = f.w.keys, f.w.seq
	f.keys.pool, f.over, f.engine = f.pool, uint8(f.keys.wireLen(0)), f.keys.gcm != nil
}

// Mode is the mode the framer was made with, or was last set to.
func (f *Framer) Mode() Mode { return f.mode }

// Closed reports whether close_notify or a fatal alert has been queued.
func (f *Framer) Closed() bool { return f.closed }

// SetPolicy replaces the record size policy; zero fields take their defaults.
func (f *Framer) SetPolicy(p RecordPolicy) { f.ramp.policy = p.withDefaults() }

// SetSegment tells the framer how TCP cuts the stream: mss bytes of payload in a segment, and at most burst bytes
// in a superframe. It may change; a framer that was never told makes records by the policy alone.
func (f *Framer) SetSegment(mss, burst int) {
	if f.keys != nil && mss > 0 && !f.closed {
		f.ramp.setSegment(mss, burst, int(f.over))
	}
}

// align looks whether TCP has sent all that was framed. Then its last segment ended with it, however short, and
// the next record begins another one.
func (f *Framer) align() {
	if sent := f.book.Sum(ledger.Sent); f.book != nil && sent-f.before >= f.wire {
		f.before, f.ramp.state.grid = sent-f.wire, 0
	}
}

// Touch tells the framer the time, at each event of the connection: after a silence longer than the policy's
// Idle, records are small again. A framer that is never told starts small once.
func (f *Framer) Touch(now mono.Time) {
	if f.keys != nil { // what is framed next needs them, and the helm
		prefetch.Pair(unsafe.Pointer(f.keys))
		prefetch.Pair(unsafe.Pointer(&f.helm))
	}
	f.ramp.touch(now)
}

// Append queues the bytes of pieces as records (in ModeOff: as they are). Records do not wait for more: the
// last one ends with the last piece, so what belongs in one record travels in one call. Append takes over
// one hold on each piece, also when it fails: ErrClosed, or ErrKeyWorn. The slice itself stays the caller's.
func (f *Framer) Append(q Queue, pieces []stream.Piece) error {
	left := 0
	for i := range pieces {
		left += len(pieces[i].Data)
	}
	if f.closed {
		f.book.Add(ledger.Unframed, left)
		releaseAll(pieces)
		return ErrClosed
	}
	if f.mode == ModeOff {
		f.appendPages(q, pieces)
		return nil
	}
	c := cutter{pieces: pieces}
	for left > 0 {
		if err := f.renew(q); err != nil {
			f.book.Add(ledger.Unframed, left)
			c.release()
			return err
		}
		f.steer()
		f.align()
		n := f.couple(q, &c, left)
		if n == 0 {
			n = f.single(q, &c, left)
		}
		left -= n
	}
	c.release()
	return nil
}

// Whole is how many of the next n plaintext bytes, which others will follow, to append so that the last record is not
// cut short: up to where a record ends; 0 if not even one does.
func (f *Framer) Whole(n int64) int64 {
	if f.keys == nil || f.closed {
		return n
	}
	f.align()
	over, total := int(f.over), 0
	if size := f.ramp.steady(over); size > 0 {
		return n - n%int64(size)
	}
	ramp := f.ramp
	for {
		size := ramp.next(int(n)+maxPlaintext+1, over) // of more than there are: no record is the last
		if total+size > int(n) {
			return int64(total)
		}
		ramp.framed(size + over)
		total += size
	}
}

// single queues the next record and returns how many plaintext bytes it took of the `left` that wait in c.
func (f *Framer) single(q Queue, c *cutter, left int) int {
	n := f.ramp.next(left, int(f.over))
	r := f.begin(typeData, n)
	c.cut(r, n)
	f.data++
	f.book.Add(ledger.PlainFramed, n)
	f.end(q, r)
	return n
}

func (f *Framer) appendPages(q Queue, pieces []stream.Piece) {
	for _, p := range pieces {
		if len(p.Data) == 0 {
			p.Release()
			continue
		}
		f.pool.stats.Plain += uint64(len(p.Data))
		f.book.Add(ledger.PlainQueued, len(p.Data))
		q.Append(f.pool.page(p))
	}
}

// begin takes the next record number for a record of n plaintext bytes.
func (f *Framer) begin(typ contentType, n int) *record {
	r := f.pool.record()
	r.init(f.keys, f.seq, typ, n)
	f.seq++
	return r
}

func (f *Framer) end(q Queue, r *record) {
	f.ramp.framed(r.Len())
	if f.now == ModeUser {
		r.store(f.book)
	}
	f.queue(q, r, 1)
}

// queue books and queues a span of so many records.
func (f *Framer) queue(q Queue, s stream.Span, records int) {
	n := s.Len()
	f.wire += uint64(n)
	f.book.Add(ledger.Records, records)
	f.book.Add(ledger.RecordsBytes, n)
	q.Append(s)
}

// control frames a record of one alert or handshake message, which stays as it is for good.
func (f *Framer) control(q Queue, typ contentType, msg []byte) {
	f.align()
	r := f.begin(typ, len(msg))
	r.add(stream.Piece{Data: msg})
	f.book.Add(ledger.OwnedBytes, len(msg))
	f.book.Add(ledger.PlainFramed, len(msg))
	f.end(q, r)
}

// renew replaces the key before a data record would exceed its limit. The last number under a key is
// kept for the KeyUpdate itself.
func (f *Framer) renew(q Queue) error {
	if f.seq+1 < f.limit {
		return nil
	}
	if f.w.version != TLS13 {
		return ErrKeyWorn
	}
	return f.update(q, false)
}

// KeyUpdate tells the peer that the following records use the next key, and with requestPeer asks it to
// update too (RFC 8446, 4.6.3). An update of a key that has sealed nothing is left out unless it carries a
// request: "respond with a single update" covers any number of requests that arrive while we are silent.
func (f *Framer) KeyUpdate(q Queue, requestPeer bool) error {
	if f.closed {
		return ErrClosed
	}
	if f.w == nil || f.w.version != TLS13 {
		return ErrNoKeyUpdate
	}
	if !requestPeer && f.seq == 0 {
		return nil
	}
	return f.update(q, requestPeer)
}

// keyUpdates are the two KeyUpdate messages: update_not_requested, update_requested (RFC 8446, 4.6.3).
var keyUpdates = [2][]byte{{messageKeyUpdate, 0, 0, 1, 0}, {messageKeyUpdate, 0, 0, 1, 1}}

func (f *Framer) update(q Queue, requestPeer bool) error {
	msg := keyUpdates[0]
	if requestPeer {
		msg = keyUpdates[1]
	}
	f.control(q, typeHandshake, msg)
	f.pool.stats.KeyUpdates++
	old := f.keys
	if err := f.w.update(); err != nil {
		return err
	}
	f.hold()
	if f.old = nil; f.now == ModeNIC {
		f.old = old
	}
	old.retire()
	f.rekeyed()
	return nil
}

// CloseNotify says that nothing follows (RFC 8446, 6.1). A second call does nothing. In ModeOff it
// queues nothing; the caller closes its side of the connection after it in every mode.
func (f *Framer) CloseNotify(q Queue) { f.Alert(q, AlertCloseNotify) }

// Alert sends an alert. close_notify and fatal alerts end the sending side: whatever is framed after them
// fails with ErrClosed, and another alert is dropped.
func (f *Framer) Alert(q Queue, a Alert) {
	if f.closed {
		return
	}
	f.closed = a == AlertCloseNotify || a.level() == levelFatal
	if f.mode != ModeOff {
		f.control(q, typeAlert, []byte{a.level(), byte(a)})
	}
}

// Answer does what an Event of the Opener asks for. After EventClose the caller may go on sending: TLS 1.3
// closes one direction at a time (RFC 8446, 6.1).
func (f *Framer) Answer(q Queue, ev Event) error {
	switch ev {
	case EventKeyUpdateRequested:
		if err := f.KeyUpdate(q, false); err != nil && err != ErrClosed {
			return err
		}
	case EventRenegotiate:
		f.Alert(q, AlertNoRenegotiation)
	}
	return nil
}

// Close ends the use of f: nothing can be framed any more, and the keys are wiped once the send queue has
// released the last record. The owner calls it when the connection is over.
func (f *Framer) Close() {
	f.closed = true
	if f.w != nil {
		clear(f.w.secret[:])
		f.keys.retire()
	}
}

func releaseAll(pieces []stream.Piece) {
	for _, p := range pieces {
		p.Release()
	}
}
