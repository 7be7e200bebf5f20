package nicoffload

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"

	"ocaserve/ktls/offload"
	"ocaserve/pacing"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is a shard's side (dev), the adapter whose thread the test turns by hand, and the far end of the cable.
type rig struct {
	t    testing.TB
	nif  *Interface
	dev  *Device
	far  link.Device
	now  mono.Time
	book ledger.Book
	logs []string
	got  []link.Frame
}

type rigConfig struct {
	Config
	cable memory.Config
}

func newRig(t testing.TB, c rigConfig) *rig {
	t.Helper()
	r := &rig{t: t, now: mono.Time(1e12), got: make([]link.Frame, 64)}
	clock := func() mono.Time { return r.now }
	c.cable.Clock, c.Clock, c.Manual = clock, clock, true
	c.Log = func(s string) { r.logs = append(r.logs, s) }
	if c.Bus == 0 {
		c.Bus = pacing.MaxRate // the clock may stand still
	}
	if c.Contexts == 0 {
		c.Contexts = 16
	}
	near, far := memory.New(c.cable)
	nif, err := New(near, c.Config)
	if err != nil {
		t.Fatal(err)
	}
	r.nif, r.dev, r.far = nif, nif.devices[0], far.Queues()[0]
	t.Cleanup(func() { nif.Close() })
	return r
}

// turn lets the adapter work until it has nothing more to do.
func (r *rig) turn() {
	r.t.Helper()
	for {
		busy, err := r.dev.nic.step(r.now)
		if err != nil {
			r.t.Fatal("adapter: ", err)
		}
		if !busy {
			return
		}
	}
}

// send posts frames, all of which must be taken.
func (r *rig) send(frames ...link.Frame) {
	r.t.Helper()
	if n, err := r.dev.Transmit(frames); n != len(frames) || err != nil {
		r.t.Fatalf("Transmit took %d of %d frames: %v", n, len(frames), err)
	}
}

// arrived returns copies of what has reached the far end.
func (r *rig) arrived() []link.Frame {
	r.t.Helper()
	var all []link.Frame
	for {
		n, err := r.far.Receive(r.got)
		if err != nil {
			r.t.Fatal(err)
		}
		if n == 0 {
			return all
		}
		for _, f := range r.got[:n] {
			f.Data = bytes.Clone(f.Data)
			all = append(all, f)
		}
	}
}

func (r *rig) stat(name string) uint64 {
	r.t.Helper()
	for _, s := range r.nif.Stats() {
		if s.Name == name {
			return s.Value
		}
	}
	r.t.Fatalf("no counter %s", name)
	return 0
}

func (r *rig) wantStat(name string, want uint64) {
	r.t.Helper()
	if got := r.stat(name); got != want {
		r.t.Errorf("%s = %d, want %d", name, got, want)
	}
}

// A session is a TLS connection that sends records over the rig, and knows what must arrive.
type session struct {
	crypto  offload.Crypto
	ctx     uint64
	records []*record
	wire    []byte // sealed by crypto/cipher
	clear   []byte // unsealed image
	alike   bool   // all records are application data
}

// typ is the content type of a record.
func (s *session) typ(number uint64) byte {
	if s.alike {
		return 23
	}
	return byte(23 - number%3)
}

// A record is a stream.Records of one over memory of its own.
type record struct {
	s      *session
	number uint64
	at     int // in the session's bytes
	length int
	typ    uint8
	before int // bytes before the plaintext
	plain  int // bytes of it
}

// Plain gives the plaintext in pieces of odd sizes.
func (r *record) Plain(g *stream.Gather, _ uint64, from, to int) {
	for b := r.part(from, to); len(b) > 0; {
		n := min(len(b), 4099)
		g.Add(b[:n:n])
		b = b[n:]
	}
}

// part is the plaintext among wire bytes [from, to).
func (r *record) part(from, to int) []byte {
	plain := r.s.clear[r.at+r.before:][:r.plain]
	return plain[min(max(from-r.before, 0), r.plain):min(max(to-r.before, 0), r.plain)]
}

// chop cuts b into pieces of n bytes.
func chop(b []byte, n int) [][]byte {
	var out [][]byte
	for len(b) > n {
		out, b = append(out, b[:n:n]), b[n:]
	}
	return append(out, b)
}

// newSession makes a session with records that carry plaintexts of the given lengths.
func newSession(t testing.TB, version uint16, keyLen int, first uint64, seed uint64, lengths ...int) *session {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	s := &session{crypto: offload.Crypto{Version: version, Key: random(rng, keyLen), Number: first}}
	copy(s.crypto.IV[:], random(rng, 12))
	if version == tls12 {
		clear(s.crypto.IV[4:])
	}
	for i, n := range lengths {
		s.append(t, first+uint64(i), random(rng, n))
	}
	return s
}

func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// append frames and seals one record, after RFC 8446 section 5.2 and RFC 5288 section 3, by the standard library.
func (s *session) append(t testing.TB, number uint64, plain []byte) {
	t.Helper()
	block, err := aes.NewCipher(s.crypto.Key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := bytes.Clone(s.crypto.IV[:])
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^number)
	n, typ := len(plain), s.typ(number)
	head := []byte{23, 3, 3, 0, 0}
	var aad []byte
	if s.crypto.Version == tls13 {
		plain = append(bytes.Clone(plain), typ)
		binary.BigEndian.PutUint16(head[3:], uint16(len(plain)+16))
		aad = head
	} else {
		aad = binary.BigEndian.AppendUint64(nil, number)
		aad = append(aad, typ, 3, 3)
		aad = binary.BigEndian.AppendUint16(aad, uint16(len(plain)))
		head[0] = typ
		binary.BigEndian.PutUint16(head[3:], uint16(len(plain)+8+16))
		head = binary.BigEndian.AppendUint64(head, number)
	}
	at := len(s.wire)
	s.wire = append(s.wire, head...)
	s.wire = gcm.Seal(s.wire, nonce, plain, aad)
	s.clear = append(append(s.clear, head...), plain...)
	s.clear = append(s.clear, "where the tag is"...)
	s.records = append(s.records, &record{
		s: s, number: number, at: at, length: len(s.wire) - at, typ: typ, before: len(head), plain: n,
	})
}

// open gives the session a context.
func (r *rig) open(s *session) *session {
	r.t.Helper()
	id, err := r.dev.AddContext(&s.crypto)
	if err != nil || id == 0 {
		r.t.Fatalf("AddContext: %d, %v", id, err)
	}
	s.ctx = id
	return s
}

const firstSeq = 0xfffff000 // wraps soon

// frame is bytes [from, to) of the session's stream as the stack would hand them to the adapter.
func (r *rig) frame(s *session, from, to, gso, pieceLen int) link.Frame {
	f := r.plainFrame(s.clear[from:to], from, gso, pieceLen)
	f.Pieces = nil
	for _, rec := range s.records {
		a, b := max(from, rec.at), min(to, rec.at+rec.length)
		if a >= b {
			continue
		}
		f.Seal = append(f.Seal, stream.Sealing{
			Records: rec, Context: s.ctx, Number: rec.number, Count: 1, Len: rec.length, From: a - rec.at, To: b - rec.at,
			Type: rec.typ,
		})
		if p := rec.part(a-rec.at, b-rec.at); len(p) > 0 {
			f.Pieces = append(f.Pieces, chop(p, pieceLen)...)
		}
	}
	return f
}

// plainFrame is a frame of bytes that need no sealing, at offset at of a stream.
func (r *rig) plainFrame(payload []byte, at, gso, pieceLen int) link.Frame {
	h := wire.IPHeader{Protocol: wire.ProtoTCP, HopLimit: 64, DontFragment: true, ID: 7}
	h.Src, h.Dst = v4(10, 0, 0, 1), v4(10, 0, 0, 2)
	seg := wire.Segment{
		SrcPort: 443, DstPort: 50000, Seq: wire.Seq(firstSeq).Add(at), Ack: 99, Flags: wire.ACK | wire.PSH, Window: 500,
	}
	n := seg.HeaderLen()
	data := make([]byte, wire.HeaderLen(&h)+n)
	ip := wire.PutIP(data, &h, n+len(payload))
	wire.PutTCP(data[ip:], &h, &seg, len(payload))
	f := link.Frame{
		Data: data, Pieces: chop(payload, pieceLen), GSO: uint16(gso), Book: &r.book,
		Csum: link.CsumPartial, CsumStart: uint16(ip), CsumOffset: wire.ChecksumOffset,
	}
	if len(payload) <= gso {
		f.GSO = 0
	}
	return f
}

func v4(a, b, c, d byte) wire.Addr {
	return wire.Addr{10: 0xff, 11: 0xff, 12: a, 13: b, 14: c, 15: d}
}

// A receiver puts segments back into a stream. Every byte it is given is compared with what software would send.
type receiver struct {
	t    testing.TB
	want []byte
	seen []bool
	bad  int // packets with a wrong byte, sequence number or checksum
}

func newReceiver(t testing.TB, want []byte) *receiver {
	return &receiver{t: t, want: want, seen: make([]bool, len(want))}
}

// take reads frames as the peer's host would.
func (v *receiver) take(frames []link.Frame) {
	v.t.Helper()
	for i := range frames {
		f := &frames[i]
		var h wire.IPHeader
		var s wire.Segment
		payload, drop := wire.ParseIP(f.Data, &h)
		if drop == wire.DropNone {
			drop = wire.ParseTCP(&h, payload, f.Csum == link.CsumComplete, &s)
		}
		if drop != wire.DropNone {
			v.bad++
			continue
		}
		at := s.Seq.Sub(firstSeq)
		if at < 0 || at+len(s.Payload) > len(v.want) || !bytes.Equal(s.Payload, v.want[at:at+len(s.Payload)]) {
			v.bad++
			continue
		}
		for j := range s.Payload {
			v.seen[at+j] = true
		}
	}
}

// complete checks that bytes [from, to) have arrived and nothing wrong has.
func (v *receiver) complete(from, to int) {
	v.t.Helper()
	if v.bad > 0 {
		v.t.Errorf("%d bad packets", v.bad)
	}
	for i := from; i < to; i++ {
		if !v.seen[i] {
			v.t.Fatalf("byte %d of [%d, %d) never arrived", i, from, to)
		}
	}
}
