package cache

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"ocaserve/tcpstack/stream"
)

type nobody struct{}

func (nobody) Filled() {}

// fill pins each page of s once and lets it go.
func (s *fakeSource) pinAll(t testing.TB, c *Cache) (pieces []stream.Piece) {
	t.Helper()
	f := c.Open(s.key(), s)
	defer f.Close()
	b := make(bell, 1)
	for off := int64(0); off < s.size; off += int64(c.pageSize) {
		for {
			p, err := f.Pin(off, b)
			if errors.Is(err, ErrBusy) {
				<-b
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			pieces = append(pieces, p)
			break
		}
	}
	return pieces
}

func releaseAll(pieces []stream.Piece) {
	for _, p := range pieces {
		p.Release()
	}
}

// When all pages are pinned a request waits, and comes to its turn with the first Release. There is no timer
// involved: the clock of the bubble stands still until everybody is stuck.
func TestPinWaitsForARelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Config{Bytes: 2 * 4096, PageSize: 4096})
		held := (&fakeSource{id: 1, size: 2 * 4096}).pinAll(t, c)
		s := &fakeSource{id: 2, size: 4096}
		f := c.Open(s.key(), s)
		defer f.Close()
		var filled atomic.Int32
		w := waiterFunc(func() { filled.Add(1) })
		if _, err := f.Pin(0, w); !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
		synctest.Wait()
		if filled.Load() != 0 {
			t.Fatal("called, though every page is pinned")
		}
		if st := c.Stats(); st.Waiting != 1 || st.Pinned != 2 || st.Starved != 1 {
			t.Errorf("%+v", st)
		}
		held[0].Release()
		synctest.Wait()
		if filled.Load() != 1 {
			t.Fatalf("called %d times after a release, want once", filled.Load())
		}
		p, err := f.Pin(0, w)
		if err != nil {
			t.Fatal(err)
		}
		s.check(t, p.Data, 0)
		p.Release()
		held[1].Release()
	})
}

type waiterFunc func()

func (w waiterFunc) Filled() { w() }

// A waiter that never comes back must not keep the page from the others for ever.
func TestADeadWaiterDelaysOthersButDoesNotStopThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Config{Bytes: 4096, PageSize: 4096}) // one page
		dead := &fakeSource{id: 1, size: 4096}
		f := c.Open(dead.key(), dead)
		if _, err := f.Pin(0, nobody{}); !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
		synctest.Wait() // filled, and reserved for one who does not come; the file stays open
		(&fakeSource{id: 2, size: 3 * 4096}).stream(t, c)
		if st := c.Stats(); st.Lapsed != 1 {
			t.Errorf("%+v, want one lapse", st)
		}
		f.Close()
	})
}

// One whose file is closed is known to be gone: no delay.
func TestAClosedFileReservesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Config{Bytes: 4096, PageSize: 4096})
		gone := &fakeSource{id: 1, size: 4096, gate: make(chan struct{})}
		f := c.Open(gone.key(), gone)
		if _, err := f.Pin(0, nobody{}); !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
		f.Close()
		close(gone.gate)
		(&fakeSource{id: 2, size: 3 * 4096}).stream(t, c)
		if st := c.Stats(); st.Lapsed != 0 {
			t.Errorf("%+v, want no lapse", st)
		}
	})
}

func TestDropThrowsAwayWhatIsNotHeld(t *testing.T) {
	c := newCache(t, Config{Bytes: 1 << 20, PageSize: 4096, ReadAhead: -1})
	s := &fakeSource{id: 1, size: 10 * 4096}
	pieces := s.pinAll(t, c)
	f := c.Open(s.key(), s)
	releaseAll(pieces[:7])
	c.Drop(s.key())
	if st := c.Stats(); st.Pages != 3 || st.Dropped != 7 {
		t.Errorf("after Drop: %+v", st)
	}
	s.check(t, pieces[8].Data, 8*4096) // still there for those who hold it
	if _, err := f.Pin(0, nobody{}); !errors.Is(err, ErrChanged) {
		t.Errorf("Pin of a page that is gone: %v, want ErrChanged", err)
	}
	releaseAll(pieces[7:])
	if st := c.Stats(); st.Pages != 0 || st.Dropped != 10 {
		t.Errorf("after the last release: %+v", st)
	}
	f.Close()
	c.Drop(s.key()) // of what is unknown: nothing
	if len(c.objects) != 0 {
		t.Errorf("%d objects are remembered without a reason", len(c.objects))
	}
	s.stream(t, c) // the key can be used again
}

func TestAFillInFlightIsNotPublishedAfterDrop(t *testing.T) {
	c := newCache(t, Config{Bytes: 1 << 20, PageSize: 4096})
	s := &fakeSource{id: 1, size: 4096, gate: make(chan struct{})}
	f := c.Open(s.key(), s)
	defer f.Close()
	b := make(bell, 1)
	if _, err := f.Pin(0, b); !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	c.Drop(s.key())
	close(s.gate)
	<-b
	if _, err := f.Pin(0, b); !errors.Is(err, ErrChanged) {
		t.Errorf("%v, want ErrChanged", err)
	}
	if st := c.Stats(); st.Pages != 0 || st.Fills != 0 {
		t.Errorf("%+v", st)
	}
}

func TestCloseAnswersWaitersAndKeepsPinnedPages(t *testing.T) {
	c := newCache(t, Config{Bytes: 3 * 4096, PageSize: 4096})
	s := &fakeSource{id: 1, size: 2 * 4096}
	held := s.pinAll(t, c)
	slow := &fakeSource{id: 2, size: 2 * 4096, gate: make(chan struct{})}
	b := make(bell, 2)
	f := c.Open(slow.key(), slow)
	for _, off := range []int64{0, 4096} { // one being filled, one in line
		if _, err := f.Pin(off, b); !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
	}
	close(slow.gate)
	c.Close()
	<-b
	<-b
	for _, off := range []int64{0, 4096} {
		if _, err := f.Pin(off, b); !errors.Is(err, ErrClosed) {
			t.Errorf("%v, want ErrClosed", err)
		}
	}
	f.Close()
	if slow.refs.Load() != 0 {
		t.Errorf("the source is still held %d times", slow.refs.Load())
	}
	for i, p := range held {
		s.check(t, p.Data, int64(i)*4096)
		if c.arena.bytes() == 0 {
			t.Fatal("unmapped while a page is held")
		}
		p.Release()
	}
	if c.arena.bytes() != 0 {
		t.Error("not unmapped after the last release")
	}
	c.Close()
}

func TestReadAheadFollowsASequentialReaderOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Config{Bytes: 1 << 20, PageSize: 4096, ReadAhead: 4})
		s := &fakeSource{id: 1, size: 60 * 4096}
		f := c.Open(s.key(), s)
		defer f.Close()
		b := make(bell, 1)
		resident := func() int64 { synctest.Wait(); return c.Stats().Pages }
		// Windows of 1, 2, 4, 4 pages after the pages 0, 1, 2, 3.
		for i, want := range []int64{2, 4, 7, 8} {
			data, release, err := blockingPin(f, int64(i)*4096, b)
			if err != nil {
				t.Fatal(err)
			}
			s.check(t, data, int64(i)*4096)
			release()
			if got := resident(); got != want {
				t.Errorf("after page %d: %d pages resident, want %d", i, got, want)
			}
		}
		// A jump: the sequence begins anew, with one page of read-ahead.
		_, release, err := blockingPin(f, 40*4096, b)
		if err != nil {
			t.Fatal(err)
		}
		release()
		if got := resident(); got != 10 {
			t.Errorf("after a jump: %d pages resident, want 10", got)
		}
		if st := c.Stats(); st.Hits != 3 {
			t.Errorf("%d hits, want 3: pages 1 to 3", st.Hits)
		}
	})
}

func TestAPageReadInPartsCountsOnce(t *testing.T) {
	c := newCache(t, Config{Bytes: 256 << 10, PageSize: 4096})
	s := &fakeSource{id: 1, size: 4096}
	releaseAll(s.pinAll(t, c))
	f := c.Open(s.key(), s)
	defer f.Close()
	for off := int64(0); off < 4096; off += 100 {
		p, err := f.Pin(off, nobody{})
		if err != nil {
			t.Fatal(err)
		}
		p.Release()
	}
	sh := &c.shards[0]
	p := sh.pages[0]
	sh.policy.Evict(func(uint32) bool { return false }) // an idle page with two or more hits would be promoted
	if sh.policy.Len() != 0 {
		t.Errorf("one reader made page %d look popular", p.index)
	}
}

func TestMisuseOfHoldsPanics(t *testing.T) {
	c := newCache(t, Config{Bytes: 1 << 20, PageSize: 4096, Verify: true})
	s := &fakeSource{id: 1, size: 4096}
	for name, misuse := range map[string]func(){
		"released twice":           func() { p := s.pinAll(t, c)[0]; p.Release(); p.Release() },
		"retained after release":   func() { p := s.pinAll(t, c)[0]; p.Release(); p.Retain() },
		"written to while it held": func() { p := s.pinAll(t, c)[0]; p.Data[7]++; p.Release() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			misuse()
		}()
		c = newCache(t, Config{Bytes: 1 << 20, PageSize: 4096, Verify: true})
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []Config{{PageSize: 1000}, {PageSize: 2048}, {PageSize: 4097}, {Bytes: 100}, {PageSize: 1 << 25}, {Bytes: 1 << 62}} {
		if c, err := New(cfg); err == nil {
			c.Close()
			t.Errorf("%+v was accepted", cfg)
		}
	}
}
