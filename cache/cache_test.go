package cache

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
)

// fakeSource is an object whose bytes follow from its number, with faults on demand.
type fakeSource struct {
	id    byte
	size  int64
	reads atomic.Int64
	gate  chan struct{} // if not nil, a read waits for it
	fail  atomic.Pointer[error]
	stale atomic.Bool // Changed reports a change
	short atomic.Bool // reads end early
	refs  atomic.Int64
}

func (s *fakeSource) byteAt(off int64) byte {
	return byte(off) ^ byte(off>>8)*3 ^ byte(off>>16)*5 ^ s.id
}

func (s *fakeSource) Size() int64 { return s.size }
func (s *fakeSource) Acquire()    { s.refs.Add(1) }
func (s *fakeSource) Release()    { s.refs.Add(-1) }

func (s *fakeSource) Changed() error {
	if s.stale.Load() {
		return ErrChanged
	}
	return nil
}

func (s *fakeSource) ReadAt(p []byte, off int64) (int, error) {
	s.reads.Add(1)
	if s.gate != nil {
		<-s.gate
	}
	if e := s.fail.Load(); e != nil {
		return 0, *e
	}
	n := int(min(int64(len(p)), s.size-off))
	if s.short.Load() {
		n /= 2
	}
	for i := range p[:n] {
		p[i] = s.byteAt(off + int64(i))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s *fakeSource) key() Key { return Key{1 << 60, uint64(s.id)} }

// bell is a waiter that a test waits for.
type bell chan struct{}

func (b bell) Filled() { b <- struct{}{} }

// blockingPin pins, waiting as often as it takes.
func blockingPin(f *File, off int64, b bell) (data []byte, release func(), err error) {
	for {
		p, err := f.Pin(off, b)
		if errors.Is(err, ErrBusy) {
			<-b
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		return p.Data, p.Release, nil
	}
}

func newCache(t testing.TB, cfg Config) *Cache {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (s *fakeSource) check(t testing.TB, data []byte, off int64) {
	t.Helper()
	for i, b := range data {
		if b != s.byteAt(off+int64(i)) {
			t.Fatalf("source %d offset %d: got %#x, want %#x", s.id, off+int64(i), b, s.byteAt(off+int64(i)))
		}
	}
}

// stream reads the whole file and checks every byte.
func (s *fakeSource) stream(t testing.TB, c *Cache) {
	f := c.Open(s.key(), s)
	defer f.Close()
	b := make(bell, 1)
	for off := int64(0); off < s.size; {
		data, release, err := blockingPin(f, off, b)
		if err != nil {
			t.Error(err)
			return
		}
		s.check(t, data, off)
		off += int64(len(data))
		release()
	}
}

func TestPinReturnsTheBytesOfThePage(t *testing.T) {
	c := newCache(t, Config{Bytes: 1 << 20, PageSize: 4096, Verify: true})
	s := &fakeSource{id: 7, size: 3*4096 + 100}
	f := c.Open(s.key(), s)
	defer f.Close()
	b := make(bell, 1)
	for _, tt := range []struct{ off, want int64 }{{0, 4096}, {1, 4095}, {4095, 1}, {4096, 4096}, {3 * 4096, 100}, {3*4096 + 99, 1}} {
		data, release, err := blockingPin(f, tt.off, b)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(data)) != tt.want || cap(data) != len(data) {
			t.Errorf("Pin(%d): %d bytes (cap %d), want %d", tt.off, len(data), cap(data), tt.want)
		}
		s.check(t, data, tt.off)
		release()
	}
	for _, off := range []int64{-1, s.size, s.size + 1, 1 << 62} {
		if _, err := f.Pin(off, b); err != io.EOF {
			t.Errorf("Pin(%d): %v, want EOF", off, err)
		}
	}
}

func TestFillIsSingleFlight(t *testing.T) {
	c := newCache(t, Config{Bytes: 1 << 20, PageSize: 4096})
	s := &fakeSource{id: 1, size: 4096, gate: make(chan struct{})}
	const n = 50
	b := make(bell, n)
	var files []*File
	for range n {
		f := c.Open(s.key(), s)
		if _, err := f.Pin(0, b); !errors.Is(err, ErrBusy) {
			t.Fatalf("Pin of a page in flight: %v", err)
		}
		files = append(files, f)
	}
	close(s.gate)
	for range n {
		<-b
	}
	for _, f := range files {
		p, err := f.Pin(0, b)
		if err != nil {
			t.Fatal(err)
		}
		p.Release()
		f.Close()
	}
	if got := s.reads.Load(); got != 1 {
		t.Errorf("%d reads, want 1", got)
	}
	if got := c.Stats(); got.Misses != 1 || got.Joined != n-1 || got.Hits != 0 {
		t.Errorf("stats %+v", got)
	}
}

func TestErrorsEndTheFileAndAreNotCached(t *testing.T) {
	disk := errors.New("disk on fire")
	for _, tt := range []struct {
		name string
		set  func(*fakeSource, bool)
		want error
	}{
		{"read error", func(s *fakeSource, on bool) {
			if s.fail.Store(nil); on {
				s.fail.Store(&disk)
			}
		}, disk},
		{"truncated", func(s *fakeSource, on bool) { s.short.Store(on) }, ErrChanged},
		{"changed", func(s *fakeSource, on bool) { s.stale.Store(on) }, ErrChanged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCache(t, Config{Bytes: 1 << 20, PageSize: 4096})
			s := &fakeSource{id: 1, size: 8192}
			tt.set(s, true)
			b := make(bell, 1)
			f := c.Open(s.key(), s)
			for range 2 { // final: asking again does not read again
				if _, _, err := blockingPin(f, 0, b); !errors.Is(err, tt.want) {
					t.Fatalf("got %v, want %v", err, tt.want)
				}
			}
			if s.reads.Load() > 1 {
				t.Errorf("%d reads", s.reads.Load())
			}
			f.Close()
			tt.set(s, false)
			s.stream(t, c)
			if got := c.Stats(); got.Failed != 1 || got.Pinned != 0 || got.Filling != 0 {
				t.Errorf("stats %+v", got)
			}
		})
	}
}

func TestTinyCacheManyTransfers(t *testing.T) {
	for _, pages := range []int64{1, 2, 3, 4} {
		c := newCache(t, Config{Bytes: pages * 4096, PageSize: 4096, Readers: 3, Verify: true})
		var wg sync.WaitGroup
		sources := make([]*fakeSource, 100)
		for i := range sources {
			sources[i] = &fakeSource{id: byte(i), size: 20*4096 + int64(i)} // larger than the cache
			wg.Go(func() { sources[i].stream(t, c) })
		}
		wg.Wait()
		st := c.Stats()
		if st.Pages > pages || st.Pinned != 0 || st.Waiting != 0 || st.Filling != 0 {
			t.Errorf("%d pages: %+v", pages, st)
		}
		// Each page is read once per transfer: a page is not taken away before the one it was read for comes.
		if ideal := int64(100*20 + 99); st.Fills < ideal || st.Fills > ideal*5/4 {
			t.Errorf("%d pages: %d fills, ideal would be %d", pages, st.Fills, ideal)
		}
		for _, s := range sources {
			if s.refs.Load() != 0 {
				t.Errorf("source %d still held %d times", s.id, s.refs.Load())
			}
		}
		t.Logf("%d pages: %+v", pages, st)
	}
}

func TestPinnedPageSurvivesEviction(t *testing.T) {
	c := newCache(t, Config{Bytes: 4 * 4096, PageSize: 4096})
	held := &fakeSource{id: 1, size: 4096}
	b := make(bell, 1)
	f := c.Open(held.key(), held)
	data, release, err := blockingPin(f, 0, b)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	before := bytes.Clone(data)
	for i := byte(2); i < 20; i++ {
		(&fakeSource{id: i, size: 10 * 4096}).stream(t, c)
	}
	if !bytes.Equal(data, before) {
		t.Fatal("a pinned page was overwritten")
	}
	release()
}
