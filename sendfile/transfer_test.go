package sendfile

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"ocaserve/cache"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/stream"
)

const page = 4096

// source is a file in memory whose reads can be held up, cut short or refused.
type source struct {
	data    []byte
	mu      sync.Mutex
	gate    chan struct{} // nil: reads pass; else each read takes one token
	changed error
	short   bool
}

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	if s.short && off >= page {
		return 0, io.EOF
	}
	return bytes.NewReader(s.data).ReadAt(p, off)
}

func (s *source) Size() int64 { return int64(len(s.data)) }

func (s *source) Changed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// waiter turns Filled into a channel the test blocks on.
type waiter chan struct{}

func (w waiter) Filled() { w <- struct{}{} }

// sink records what arrives, call by call, and keeps the holds to drop them at the end.
type sink struct {
	room   int64
	record int64 // 0: none
	calls  [][]byte
	held   []stream.Piece
	err    error
	book   ledger.Book
}

func (s *sink) Room() int64 { return s.room }

func (s *sink) Whole(n int64) int64 {
	if s.record == 0 {
		return n
	}
	return n - n%s.record
}

func (s *sink) Book() *ledger.Book { return &s.book }

func (s *sink) Append(pieces []stream.Piece) error {
	var all []byte
	for _, p := range pieces {
		all = append(all, p.Data...)
		s.held = append(s.held, p)
	}
	s.room -= int64(len(all))
	s.calls = append(s.calls, all)
	return s.err
}

func (s *sink) release() {
	for _, p := range s.held {
		p.Release()
	}
	s.held = nil
}

// hold counts the holds on a literal.
type hold struct{ n int }

func (h *hold) Retain()  { h.n++ }
func (h *hold) Release() { h.n-- }

func pattern(n int) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func newCache(t testing.TB) *cache.Cache {
	c, err := cache.New(cache.Config{Bytes: 256 * page, PageSize: page, Readers: 2, ReadAhead: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func open(t testing.TB, c *cache.Cache, id uint64, s cache.Source) *cache.File {
	f := c.Open(testKey(id), s)
	t.Cleanup(f.Close)
	return f
}

// run pumps until the transfer is done, giving room for n bytes whenever it asks.
func run(t testing.TB, tr *Transfer, s *sink, n int64) {
	w := make(waiter, 1)
	for {
		switch err := tr.Pump(s, w); err {
		case nil:
			return
		case ErrAgain:
			s.room += n
		case cache.ErrBusy:
			<-w
		default:
			t.Fatalf("Pump: %v", err)
		}
	}
}

func TestPartsInOrder(t *testing.T) {
	c := newCache(t)
	data := pattern(5*page + 100)
	f := open(t, c, 1, &source{data: data})
	for _, room := range []int64{1, 100, page, 3 * page, 1 << 20} {
		h := &hold{2}
		tr := New(
			Part{Bytes: []byte("head"), Ref: h},
			Part{File: f, Off: 10, Len: 2*page + 5},
			Part{},
			Part{Bytes: []byte("sep")},
			Part{File: f, Off: 5 * page, Len: 100},
			Part{Bytes: []byte("tail"), Ref: h},
		)
		want := "head" + string(data[10:10+2*page+5]) + "sep" + string(data[5*page:]) + "tail"
		if tr.Len() != int64(len(want)) {
			t.Fatalf("Len = %d, want %d", tr.Len(), len(want))
		}
		s := &sink{room: room}
		run(t, tr, s, room)
		if got := string(bytes.Join(s.calls, nil)); got != want {
			t.Errorf("room %d: wrong bytes", room)
		}
		if !tr.Done() || tr.Sent() != tr.Len() {
			t.Errorf("room %d: Sent = %d of %d", room, tr.Sent(), tr.Len())
		}
		tr.Close()
		if h.n != 2 {
			t.Errorf("room %d: %d holds on the literals are the sink's, want 2", room, h.n)
		}
		s.release()
		if h.n != 0 {
			t.Errorf("room %d: %d holds left over", room, h.n)
		}
	}
}

// The header waits for its page, and both travel in one call; so do a separator and the page behind it.
// A batch ends where a record does, unless the transfer does: whatever is behind it goes with the next one.
func TestBatchesEndWithARecord(t *testing.T) {
	c := newCache(t)
	data := pattern(6*page + 100)
	f := open(t, c, 1, &source{data: data})
	const record = page/2 - 7
	for _, room := range []int64{1, page, 3 * page, 1 << 20} {
		s := &sink{room: room, record: record}
		tr := New(Part{File: f, Len: f.Size()}, Part{Bytes: []byte("tail")})
		run(t, tr, s, room)
		if got := string(bytes.Join(s.calls, nil)); got != string(data)+"tail" {
			t.Errorf("room %d: wrong bytes", room)
		}
		for i, call := range s.calls[:len(s.calls)-1] {
			if len(call)%record != 0 {
				t.Errorf("room %d: call %d of %d has %d bytes", room, i, len(s.calls), len(call))
			}
		}
		tr.Close()
		s.release()
	}
	if n := pinned(c); n != 0 {
		t.Errorf("%d pages pinned", n)
	}
}

func TestLiteralsTravelWithTheirPage(t *testing.T) {
	c := newCache(t)
	src := &source{data: pattern(3 * page), gate: make(chan struct{}, 8)}
	f := open(t, c, 2, src)
	tr := New(
		Part{Bytes: []byte("head")}, Part{File: f, Len: page},
		Part{Bytes: []byte("sep")}, Part{File: f, Off: 2 * page, Len: page},
		Part{Bytes: []byte("tail")},
	)
	defer tr.Close()
	s := &sink{room: 1 << 20}
	defer s.release()
	w := make(waiter, 1)

	if err := tr.Pump(s, w); err != cache.ErrBusy || len(s.calls) != 0 || tr.Sent() != 0 {
		t.Fatalf("cold: %v after %d calls, want ErrBusy and nothing sent", err, len(s.calls))
	}
	src.gate <- struct{}{}
	<-w
	if err := tr.Pump(s, w); err != cache.ErrBusy || len(s.calls) != 1 {
		t.Fatalf("first page: %v after %d calls", err, len(s.calls))
	}
	if got := len(s.calls[0]); got != 4+page {
		t.Fatalf("first call of %d bytes, want head and page without the separator: %d", got, 4+page)
	}
	src.gate <- struct{}{}
	<-w
	if err := tr.Pump(s, w); err != nil || len(s.calls) != 2 {
		t.Fatalf("second page: %v after %d calls", err, len(s.calls))
	}
	if got := len(s.calls[1]); got != 3+page+4 {
		t.Fatalf("second call of %d bytes, want separator, page and tail: %d", got, 3+page+4)
	}
}

func TestSourceFails(t *testing.T) {
	gone := errors.New("gone")
	for _, tc := range []struct {
		name string
		src  *source
		part Part
		want error // nil: any
	}{
		{"shorter than the extent", &source{data: pattern(page)}, Part{Len: 2 * page}, ErrShort},
		{"beyond the end", &source{data: pattern(page)}, Part{Off: 3 * page, Len: 1}, ErrShort},
		{"truncated behind our back", &source{data: pattern(2 * page), short: true}, Part{Len: 2 * page}, nil},
		{"changed", &source{data: pattern(page), changed: gone}, Part{Len: page}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCache(t)
			tc.part.File = open(t, c, 3, tc.src)
			h := &hold{1}
			tr := New(Part{Bytes: []byte("head"), Ref: h}, tc.part)
			s, w := &sink{room: 1 << 20}, make(waiter, 1)
			err := tr.Pump(s, w)
			for err == cache.ErrBusy {
				<-w
				err = tr.Pump(s, w)
			}
			if err == nil || err == ErrAgain || (tc.want != nil && err != tc.want) {
				t.Errorf("Pump = %v, want %v", err, tc.want)
			}
			if tr.Done() {
				t.Error("Done after a failure")
			}
			tr.Close()
			tr.Close()
			s.release()
			if h.n != 0 {
				t.Errorf("%d holds on the head left", h.n)
			}
		})
	}
}

// Whatever has been handed over when the connection dies, no hold remains: pages can be evicted again.
func TestCloseDropsEveryHold(t *testing.T) {
	for stop := int64(1); stop < 6*page; stop += page / 2 {
		c := newCache(t)
		f := open(t, c, 4, &source{data: pattern(4 * page)})
		h := &hold{2}
		tr := New(Part{Bytes: []byte("head"), Ref: h}, Part{File: f, Len: 4 * page}, Part{Bytes: []byte("tail"), Ref: h})
		s, w := &sink{room: stop, record: page - 100}, make(waiter, 1)
		err := tr.Pump(s, w)
		for err == cache.ErrBusy {
			<-w
			err = tr.Pump(s, w)
		}
		tr.Close()
		s.release()
		if h.n != 0 {
			t.Errorf("stopped after %d bytes: %d holds on literals", stop, h.n)
		}
		if n := pinned(c); n != 0 {
			t.Errorf("stopped after %d bytes: %d pages pinned", stop, n)
		}
	}
}

func TestSinkError(t *testing.T) {
	c := newCache(t)
	f := open(t, c, 5, &source{data: pattern(page)})
	tr := New(Part{Bytes: []byte("head")}, Part{File: f, Len: page})
	s, w := &sink{room: 1 << 20, err: errors.New("closed")}, make(waiter, 1)
	err := tr.Pump(s, w)
	for err == cache.ErrBusy {
		<-w
		err = tr.Pump(s, w)
	}
	if err != s.err {
		t.Errorf("Pump = %v, want the sink's error", err)
	}
	tr.Close()
	s.release()
	if n := pinned(c); n != 0 {
		t.Errorf("%d pages pinned", n)
	}
}

// discard is a sink that drops everything at once.
type discard struct{ n int64 }

func (d *discard) Room() int64         { return 512 << 10 }
func (d *discard) Whole(n int64) int64 { return n }
func (d *discard) Book() *ledger.Book  { return nil }
func (d *discard) Append(pieces []stream.Piece) error {
	for _, p := range pieces {
		d.n += int64(len(p.Data))
		p.Release()
	}
	return nil
}

func warm(t testing.TB, f *cache.File) {
	s := &sink{}
	run(t, New(Part{File: f, Len: f.Size()}), s, 1<<20)
	s.release()
}

func TestPumpAllocatesNothing(t *testing.T) {
	c := newCache(t)
	f := open(t, c, 6, &source{data: pattern(64 * page)})
	warm(t, f)
	tr, d, head := new(Transfer), new(discard), []byte("head")
	send := func() {
		tr.Add(Part{Bytes: head})
		tr.Add(Part{File: f, Len: f.Size()})
		if err := tr.Pump(d, nil); err != nil {
			t.Fatal(err)
		}
		tr.Close()
	}
	send()
	if n := testing.AllocsPerRun(100, send); n != 0 {
		t.Errorf("%v allocations per response of 64 pages, want 0", n)
	}
}

func BenchmarkPump(b *testing.B) {
	c, err := cache.New(cache.Config{Bytes: 64 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	f := c.Open(testKey(7), &source{data: make([]byte, 4<<20)})
	defer f.Close()
	warm(b, f)
	tr, d := new(Transfer), new(discard)
	b.SetBytes(f.Size())
	b.ReportAllocs()
	for b.Loop() {
		tr.Add(Part{File: f, Len: f.Size()})
		if err := tr.Pump(d, nil); err != nil {
			b.Fatal(err)
		}
		tr.Close()
	}
}

func testKey(id uint64) cache.Key { return cache.Key{id} }

func pinned(c *cache.Cache) int64 { return c.Stats().Pinned }

// FuzzTransfer holds random parts, rooms and cache sizes against the plain concatenation of the parts.
func FuzzTransfer(f *testing.F) {
	f.Add(uint64(1), uint16(100))
	f.Add(uint64(2), uint16(page))
	f.Add(uint64(3), uint16(1))
	f.Fuzz(func(t *testing.T, seed uint64, room uint16) {
		rng := rand.New(rand.NewPCG(seed, 2))
		// Sometimes the file does not fit the cache, and streams through it.
		c, err := cache.New(cache.Config{Bytes: int64(1+rng.IntN(16)) * page, PageSize: page, Readers: 2, ReadAhead: rng.IntN(4) - 1})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		data := pattern(1 + rng.IntN(12*page))
		file := c.Open(testKey(1), &source{data: data})
		defer file.Close()
		tr, h, want := new(Transfer), new(hold), []byte(nil)
		for range rng.IntN(12) {
			if rng.IntN(2) == 0 {
				b := pattern(rng.IntN(200))
				h.Retain()
				tr.Add(Part{Bytes: b, Ref: h})
				want = append(want, b...)
				continue
			}
			off := rng.IntN(len(data))
			n := rng.IntN(len(data) - off + 1)
			tr.Add(Part{File: file, Off: int64(off), Len: int64(n)})
			want = append(want, data[off:off+n]...)
		}
		s := new(freeing)
		w := make(waiter, 1)
		for err := tr.Pump(s, w); err != nil; err = tr.Pump(s, w) {
			switch err {
			case ErrAgain:
				s.room = int64(room) + 1
			case cache.ErrBusy:
				<-w
			default:
				t.Fatal(err)
			}
		}
		if !bytes.Equal(s.got, want) {
			t.Fatalf("%d bytes, want %d", len(s.got), len(want))
		}
		if tr.Close(); h.n != 0 || pinned(c) != 0 {
			t.Fatalf("%d holds, %d pages pinned", h.n, pinned(c))
		}
	})
}

// freeing is a sink that copies and lets go, so that a small cache can go on.
type freeing struct {
	room int64
	got  []byte
}

func (s *freeing) Room() int64 { return s.room }

func (s *freeing) Whole(n int64) int64 { return n }

func (s *freeing) Book() *ledger.Book { return nil }

func (s *freeing) Append(pieces []stream.Piece) error {
	for _, p := range pieces {
		s.got = append(s.got, p.Data...)
		s.room -= int64(len(p.Data))
		p.Release()
	}
	return nil
}
