package origin_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"ocaserve/cache"
	"ocaserve/ktls"
	"ocaserve/ktls/offload"
	"ocaserve/pacing"
	"ocaserve/sendfile"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/netsim"
	"ocaserve/tcpstack/stream"
)

// This file holds the ledger to its laws over whole stacks on virtual time: cache, sendfile, records in every mode,
// TCP, an adapter, and a path that loses, repeats and reorders, with connections that switch, update keys and abort.

// An adapter is a device that seals, as far as the ledger can see: what it sends is the plaintext, and the client
// looks at no byte. It keeps a context's place as a driver does, and drops frames now and then.
type adapter struct {
	*netsim.Device
	rnd      *rand.Rand
	contexts map[uint64]uint64 // where the stream goes on: record number, and offset in the low bits
	last     uint64
	taken    uint64
	health   offload.Health
	turn     uint64
}

func (a *adapter) Caps() link.Caps {
	c := a.Device.Caps()
	c.TxCopies, c.TLS = false, true
	return c
}

func (a *adapter) Transmit(frames []link.Frame) (int, error) {
	for i := range frames {
		f := frames[i]
		read := f.Len() - len(f.Data)
		payload := read
		if len(f.Seal) > 0 {
			payload = 0
			for _, s := range f.Seal {
				payload += s.Size()
			}
		}
		if !a.known(f.Seal) || payload > 0 && a.rnd.IntN(200) == 0 {
			a.taken++
			f.Book.Add(ledger.LinkDropped, payload)
			continue
		}
		if made := payload - read; made > 0 { // the client looks at no byte
			f.Pieces = append(slices.Clone(f.Pieces), make([]byte, made))
		}
		f.Seal = nil
		if n, err := a.Device.Transmit([]link.Frame{f}); n == 0 {
			return i, err
		}
		a.taken++
		f.Book.Add(ledger.Fetched, read)
		f.Book.Add(ledger.MadeNIC, payload-read)
		a.seal(f.Book, frames[i].Seal)
	}
	return len(frames), nil
}

func (a *adapter) Completed() uint64 { return a.taken }

func (a *adapter) known(runs []stream.Sealing) bool {
	for _, s := range runs {
		if _, ok := a.contexts[s.Context]; !ok {
			return false
		}
	}
	return true
}

func (a *adapter) seal(book *ledger.Book, runs []stream.Sealing) {
	for i, s := range runs {
		id, at := s.Context, s.Number<<16|uint64(s.From)
		last := s.Number + uint64(s.Count-1)
		if i == 0 && a.contexts[id] != at {
			book.Add(ledger.Refetched, s.From)
		}
		book.Add(ledger.SealedNIC, s.Size())
		a.contexts[id] = last<<16 | uint64(s.To)
		if s.To == s.Len {
			a.contexts[id] = (last + 1) << 16
		}
	}
}

func (a *adapter) AddContext(c *offload.Crypto) (uint64, error) {
	if len(a.contexts) > 2 {
		return 0, offload.ErrNoContext
	}
	a.last++
	a.contexts[a.last] = c.Number << 16
	return a.last, nil
}

func (a *adapter) DelContext(id uint64)         { delete(a.contexts, id) }
func (a *adapter) Health(uint64) offload.Health { return a.health }
func (a *adapter) Turn() uint64                 { return a.turn }
func (a *adapter) Prefetch(uint64)              {}

// A sender answers with responses of random parts, in its mode, until it closes or aborts. It is the transfer's
// sink and the framer's queue.
type sender struct {
	*tcpstack.Conn
	w        *lab
	rnd      *rand.Rand
	framer   *ktls.Framer
	xfer     sendfile.Transfer
	left     int // responses
	abortAt  int64
	closing  bool
	err      error
	finished bool
}

func (s *sender) Whole(n int64) int64 { return s.framer.Whole(n) }

func (s *sender) Append(pieces []stream.Piece) error { return s.framer.Append(s.Conn, pieces) }

func (s *sender) Filled() { panic("every page is in memory") }

func (s *sender) Readable(c *tcpstack.Conn) {
	c.Discard(c.Readable())
	s.Writable(c)
}

func (s *sender) Writable(*tcpstack.Conn) {
	for !s.closing {
		if sent := int64(s.Book().Sum(ledger.Sent)); s.abortAt > 0 && sent >= s.abortAt {
			s.closing = true
			s.Abort()
			return
		}
		if s.xfer.Pump(s, s) != nil {
			return
		}
		s.xfer.Close()
		if s.left--; s.left < 0 {
			s.finish()
			return
		}
		s.disturb()
		s.respond()
	}
}

// respond makes a response: a head, extents of the file with literals between them, nothing now and then.
func (s *sender) respond() {
	for range s.rnd.IntN(4) {
		s.xfer.Add(sendfile.Part{Bytes: make([]byte, 1+s.rnd.IntN(600))})
		off := s.rnd.Int64N(s.w.file.Size())
		s.xfer.Add(sendfile.Part{File: s.w.file, Off: off, Len: 1 + s.rnd.Int64N(s.w.file.Size()-off)})
	}
}

// disturb switches, updates keys, and makes the adapter ill or well.
func (s *sender) disturb() {
	switch s.rnd.IntN(6) {
	case 0:
		s.framer.SetMode(ktls.ModeInline) //nolint:errcheck // fails in the other modes
	case 1:
		s.framer.SetMode(ktls.ModeNIC) //nolint:errcheck // likewise
	case 2:
		s.framer.KeyUpdate(s.Conn, s.rnd.IntN(2) == 0) //nolint:errcheck // not in mode off
	case 3:
		s.w.nic.health = offload.Health(s.rnd.IntN(5))
		s.w.nic.turn++
	default:
		s.w.nic.health, s.w.nic.turn = offload.Good, s.w.nic.turn+1
	}
}

// finish closes, and goes on sending, which must not work.
func (s *sender) finish() {
	s.closing = true
	s.framer.CloseNotify(s.Conn)
	s.framer.Append(s.Conn, []stream.Piece{{Data: make([]byte, 100)}}) //nolint:errcheck // it is closed
	s.Book().Add(ledger.OwnedBytes, 100)
	s.CloseWrite()
	s.Conn.Append(stream.Bytes(make([]byte, 10)))
}

func (s *sender) Closed(_ *tcpstack.Conn, err error) {
	s.framer.Close()
	s.xfer.Close()
	s.closing, s.finished, s.err = true, true, err
}

// A reader reads to the end, or aborts before it.
type reader struct {
	*tcpstack.Conn
	abortAt, got int
	over         bool
}

func (r *reader) Readable(c *tcpstack.Conn) {
	r.got += c.Readable()
	c.Discard(c.Readable())
	if r.abortAt > 0 && r.got > r.abortAt {
		c.Abort()
	} else if c.EOF() {
		c.CloseWrite()
	}
}

func (r *reader) Writable(*tcpstack.Conn)      {}
func (r *reader) Closed(*tcpstack.Conn, error) { r.over = true }

// A lab is a server with a warm file behind an adapter, a client, and a bad path between them.
type lab struct {
	t       *testing.T
	rnd     *rand.Rand
	net     *netsim.Network
	nic     *adapter
	server  *tcpstack.Shard
	client  *tcpstack.Shard
	cache   *cache.Cache
	file    *cache.File
	pool    *ktls.Pool
	senders []*sender
}

// memory is a file.
type memory struct{ *bytes.Reader }

func (m memory) Changed() error { return nil }

type fills chan struct{}

func (f fills) Filled() { f <- struct{}{} }

func newLab(t *testing.T, seed uint64, mode ktls.Mode) *lab {
	w := &lab{t: t, rnd: rand.New(rand.NewPCG(seed, uint64(mode))), net: netsim.New(seed), pool: ktls.NewPool(0)}
	bad := func() netsim.WireConfig {
		return netsim.WireConfig{
			Loss: netsim.Bernoulli(0.03 * w.rnd.Float64()), Duplicate: 0.02 * w.rnd.Float64(),
			Reorder: 0.05 * w.rnd.Float64(), ReorderBy: 3 * time.Millisecond,
		}
	}
	bell := netsim.DumbbellConfig{RTT: 10 * time.Millisecond, Rate: pacing.Rate(12_500_000), Forward: bad(), Back: bad()}
	bell.Sender.TSO, bell.Sender.Rate, bell.Sender.Ring = true, 125_000_000, 70_000
	bell.Sender.NoChecksum = mode != ktls.ModeNIC && w.rnd.IntN(4) == 0
	bells := w.net.Dumbbell(bell)
	w.nic = &adapter{Device: bells.Senders[0], rnd: w.rnd, contexts: make(map[uint64]uint64)}
	w.server = w.host(netsim.SenderAddr(0), bells.Senders[0], w.nic)
	w.client = w.host(netsim.ReceiverAddr(0), bells.Receivers[0], bells.Receivers[0])
	w.pool.SetNIC(w.nic)
	w.warm()
	return w
}

func (w *lab) host(addr netip.Addr, sim *netsim.Device, dev link.Device) *tcpstack.Shard {
	st, err := tcpstack.New(tcpstack.Config{Addrs: []netip.Addr{addr}, Clock: w.net.Now}, []link.Device{dev})
	if err != nil {
		w.t.Fatal(err)
	}
	w.net.Attach(st.Shards()[0], sim)
	return st.Shards()[0]
}

// warm fills the cache: fills run on goroutines, which have no place in virtual time.
func (w *lab) warm() {
	const page, size = 64 << 10, 300_000
	c, err := cache.New(cache.Config{Bytes: 16 * page, PageSize: page, ReadAhead: -1})
	if err != nil {
		w.t.Fatal(err)
	}
	w.cache, w.file = c, c.Open(cache.Key{1}, memory{bytes.NewReader(make([]byte, size))})
	w.t.Cleanup(func() { w.file.Close(); c.Close() })
	filled := make(fills, 1)
	for off := int64(0); off < size-page; off += page { // the last page stays fresh: somebody's fill
		if _, err := w.file.Pin(off, filled); err == cache.ErrBusy {
			<-filled
		}
	}
	if _, err := w.file.Pin(size-1, filled); err == cache.ErrBusy {
		<-filled
	}
	for off := int64(0); off < size-page; off += page {
		p, err := w.file.Pin(off, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		p.Release()
	}
}

func (w *lab) serve(mode ktls.Mode, suite ktls.Suite) {
	st := w.server.Stack()
	_, err := st.Listen(netip.AddrPortFrom(netsim.SenderAddr(0), 443), tcpstack.ListenConfig{
		Accept: func(c *tcpstack.Conn) tcpstack.Handler {
			s := &sender{Conn: c, w: w, rnd: w.rnd, left: 1 + w.rnd.IntN(12), framer: w.framer(mode, suite)}
			if w.rnd.IntN(4) == 0 {
				s.abortAt = 1 + w.rnd.Int64N(500_000)
			}
			s.framer.SetBook(c.Book())
			if w.rnd.IntN(2) == 0 {
				s.framer.SetSegment(c.MSS(), c.MaxBurst())
			}
			w.senders = append(w.senders, s)
			c.Append(stream.Bytes(make([]byte, 900))) // the handshake
			return s
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *lab) framer(mode ktls.Mode, suite ktls.Suite) *ktls.Framer {
	var state *ktls.WriteState
	var err error
	if mode != ktls.ModeOff {
		secret := make([]byte, 32)
		binary.BigEndian.PutUint64(secret, uint64(len(w.senders)))
		if state, err = ktls.NewWriteState13(suite, secret, 1); err != nil {
			w.t.Fatal(err)
		}
	}
	f, err := ktls.NewFramer(mode, state, w.pool)
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

func (w *lab) dial(port uint16) *reader {
	r := &reader{}
	if w.rnd.IntN(5) == 0 {
		r.abortAt = 1 + w.rnd.IntN(500_000)
	}
	c, err := w.client.Dial(netip.AddrPortFrom(netsim.ReceiverAddr(0), port), netip.AddrPortFrom(netsim.SenderAddr(0), 443), r)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Conn = c
	c.Append(stream.Bytes(make([]byte, 300)))
	return r
}

// check holds every book to the laws, as things stand.
func (w *lab) check(when string) {
	w.t.Helper()
	for i, s := range w.senders {
		if err := s.Book().Check(s.Live()); err != nil {
			w.t.Fatalf("%s, connection %d (%v, %v): %v", when, i, s.framer.ModeNow(), s.err, err)
		}
	}
	for _, s := range []*tcpstack.Shard{w.server, w.client} {
		if err := s.Book().Check(s.Live()); err != nil {
			w.t.Fatalf("%s, shard: %v", when, err)
		}
	}
}

func (w *lab) total(e ledger.Event) (n uint64) {
	for _, s := range w.senders {
		n += s.Book().Sum(e)
	}
	return n
}

// TestLaws: all laws hold for each connection and for the sums, at any time and at the end.
func TestLaws(t *testing.T) {
	var seen ledger.Book
	for seed := range uint64(36) {
		mode := ktls.Mode(seed % 4)
		suite := []ktls.Suite{ktls.AES128GCM, ktls.AES128GCM, ktls.ChaCha20Poly1305}[seed/4%3]
		t.Run(fmt.Sprintf("%d %v", seed, mode), func(t *testing.T) {
			w := newLab(t, seed, mode)
			w.serve(mode, suite)
			var readers []*reader
			for i := range 4 {
				readers = append(readers, w.dial(uint16(5000+i)))
			}
			over := func() bool {
				for _, r := range readers {
					if !r.over {
						return false
					}
				}
				return true
			}
			for at := 7 * time.Millisecond; at < time.Minute; at *= 2 {
				w.net.After(at, func(mono.Time) { w.check(at.String()) })
			}
			if ok, err := w.net.RunFor(time.Hour, over); !ok || err != nil {
				t.Fatalf("ended %v, %v", ok, err)
			}
			if _, err := w.net.RunFor(time.Hour, nil); err != nil { // TIME-WAIT
				t.Fatal(err)
			}
			w.check("at the end")
			for e := range ledger.NumEvents {
				if sum := w.total(e); sum != w.server.Book().Sum(e) {
					t.Errorf("%v: %d in the connections' books, %d in the shard's", e, sum, w.server.Book().Sum(e))
				}
				seen.Add(e, int(w.total(e)))
			}
			if l := w.server.Live(); l != (ledger.Live{}) || w.cache.Stats().Pinned != 0 {
				t.Errorf("left at the end: %+v, %d pages pinned", l, w.cache.Stats().Pinned)
			}
		})
	}
	for e := range ledger.NumEvents {
		if e != ledger.LinkCopied && e != ledger.CopiedShort && seen.Sum(e) == 0 {
			t.Errorf("%v was never booked: the test does not get there", e)
		}
	}
}
