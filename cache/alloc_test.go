package cache

import "testing"

func TestHitAllocatesNothing(t *testing.T) {
	c := newCache(t, Config{Bytes: 1 << 20, PageSize: 4096})
	s := &fakeSource{id: 1, size: 100 * 4096}
	releaseAll(s.pinAll(t, c))
	f := c.Open(s.key(), s)
	defer f.Close()
	off := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		p, err := f.Pin(off, nobody{})
		if err != nil {
			t.Fatal(err)
		}
		p.Retain()
		p.Release()
		p.Release()
		off = (off + 4096) % s.size
	}); n != 0 {
		t.Errorf("%v allocations per hit", n)
	}
}

// A miss in steady state (evict, fill, publish, wake) allocates nothing either.
func TestMissAllocatesNothing(t *testing.T) {
	c := newCache(t, Config{Bytes: 8 * 4096, PageSize: 4096, Readers: 1})
	s := &fakeSource{id: 1, size: 100 * 4096}
	s.stream(t, c)
	f := c.Open(s.key(), s)
	defer f.Close()
	b := make(bell, 1)
	var w Waiter = b
	off := int64(0)
	if n := testing.AllocsPerRun(500, func() {
		for {
			p, err := f.Pin(off, w)
			if err == nil {
				p.Release()
				break
			}
			<-b
		}
		off = (off + 4096) % s.size
	}); n >= 1 {
		t.Errorf("%v allocations per miss", n)
	}
}

func BenchmarkPinHit(b *testing.B) {
	c := newCache(b, Config{Bytes: 64 << 20})
	s := &fakeSource{id: 1, size: 32 << 20}
	releaseAll(s.pinAll(b, c))
	f := c.Open(s.key(), s)
	defer f.Close()
	b.ReportAllocs()
	off := int64(0)
	for b.Loop() {
		p, err := f.Pin(off, nobody{})
		if err != nil {
			b.Fatal(err)
		}
		p.Release()
		off = (off + 64<<10) & (32<<20 - 1)
	}
}

func BenchmarkPinHitParallel(b *testing.B) {
	c := newCache(b, Config{Bytes: 64 << 20})
	s := &fakeSource{id: 1, size: 32 << 20}
	releaseAll(s.pinAll(b, c))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		f := c.Open(s.key(), s)
		defer f.Close()
		off := int64(0)
		for pb.Next() {
			p, err := f.Pin(off, nobody{})
			if err != nil {
				b.Fatal(err)
			}
			p.Release()
			off = (off + 64<<10) & (32<<20 - 1)
		}
	})
}

// BenchmarkMiss streams an object larger than the cache: the cost of a page in copies, locks and wake-ups.
func BenchmarkMiss(b *testing.B) {
	c := newCache(b, Config{Bytes: 16 << 20})
	s := &zeroSource{size: 1 << 30}
	f := c.Open(Key{1}, s)
	defer f.Close()
	w := make(bell, 1)
	off := int64(0)
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	for b.Loop() {
		_, release, err := blockingPin(f, off, w)
		if err != nil {
			b.Fatal(err)
		}
		release()
		off = (off + 64<<10) % s.size
	}
}

type zeroSource struct{ size int64 }

func (s *zeroSource) Size() int64    { return s.size }
func (s *zeroSource) Changed() error { return nil }
func (s *zeroSource) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}
