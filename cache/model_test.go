package cache

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"ocaserve/tcpstack/stream"
)

// FuzzAgainstModel plays pins, releases, drops and changes against the plainest model there is: bytes that follow
// from the key, and a list of what is held.
func FuzzAgainstModel(f *testing.F) {
	f.Add(byte(3), []byte{0, 1, 2, 0, 5, 1, 3, 0, 0, 9, 4, 2, 0, 1, 1, 0})
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 20 {
		p := make([]byte, 400)
		for i := range p {
			p[i] = byte(r.IntN(256))
		}
		f.Add(byte(n), p)
	}
	f.Fuzz(func(t *testing.T, pages byte, program []byte) { runModel(t, int64(pages%40)+2, program) })
}

func runModel(t *testing.T, pages int64, program []byte) {
	c, err := New(Config{Bytes: pages * 4096, PageSize: 4096, Readers: 2, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	type hold struct {
		piece stream.Piece
		src   *fakeSource
		off   int64
	}
	var held []hold
	sources := make([]*fakeSource, 8)
	for i := range sources {
		sources[i] = &fakeSource{id: byte(i), size: int64(i)*3000 + 1}
	}
	b := make(bell, 1)
	for len(program) >= 2 {
		op, arg := program[0]%8, int(program[1])
		program = program[2:]
		s := sources[arg%len(sources)]
		switch {
		case op < 5 && int64(len(held)) < pages-1: // pin; one page stays free, so this cannot hang
			fl := c.Open(s.key(), s)
			off := int64(arg) * 131 % s.size
			for {
				p, err := fl.Pin(off, b)
				if errors.Is(err, ErrBusy) {
					<-b
					continue
				}
				if err != nil {
					t.Fatalf("Pin: %v", err)
				}
				if want := min(4096-off%4096, s.size-off); int64(len(p.Data)) != want {
					t.Fatalf("%d bytes at %d, want %d", len(p.Data), off, want)
				}
				held = append(held, hold{p, s, off})
				break
			}
			fl.Close()
		case op == 5 && len(held) > 0:
			h := held[arg%len(held)]
			h.piece.Retain()
			h.piece.Release()
		case op == 6:
			c.Drop(s.key())
		case len(held) > 0:
			i := arg % len(held)
			held[i].src.check(t, held[i].piece.Data, held[i].off)
			held[i].piece.Release()
			held = slices.Delete(held, i, i+1)
		}
		for _, h := range held {
			h.src.check(t, h.piece.Data[:1], h.off)
		}
	}
	for _, h := range held {
		h.src.check(t, h.piece.Data, h.off)
		h.piece.Release()
	}
	if st := c.Stats(); st.Pinned != 0 || st.Pages > pages || st.Waiting != 0 {
		t.Fatalf("%+v", st)
	}
}

// versions is an object that is rewritten while it is read: bytes of a read may be of either version, but then
// Changed says so.
type versions struct {
	mu      sync.Mutex
	version uint64
	size    int64
}

type versionSource struct {
	of  *versions
	key uint64
}

func (v *versions) rewrite() { v.mu.Lock(); v.version++; v.mu.Unlock() }

func (v *versions) open() (Key, *versionSource) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return Key{v.version}, &versionSource{v, v.version}
}

func (s *versionSource) Size() int64 { return s.of.size }

func (s *versionSource) Changed() error {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.of.version != s.key {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (s *versionSource) ReadAt(p []byte, off int64) (int, error) {
	for i := range p { // slowly, so that a rewrite comes in between
		if i%512 == 0 {
			s.of.mu.Lock()
		}
		p[i] = byte(s.of.version*31) + byte((off+int64(i))>>9)
		if i%512 == 511 || i == len(p)-1 {
			s.of.mu.Unlock()
		}
	}
	return len(p), nil
}

func TestNoPageHoldsTwoVersions(t *testing.T) {
	c := newCache(t, Config{Bytes: 6 * 4096, PageSize: 4096, Readers: 4, Verify: true})
	v := &versions{size: 16 * 4096}
	var wg sync.WaitGroup
	var read, changed atomic.Int64
	stop := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			b := make(bell, 1)
			for {
				select {
				case <-stop:
					return
				default:
				}
				key, src := v.open()
				f := c.Open(key, src)
				for off := int64(0); off < v.size; {
					data, release, err := blockingPin(f, off, b)
					if errors.Is(err, ErrChanged) {
						changed.Add(1)
						break
					}
					if err != nil {
						t.Error(err)
						break
					}
					for i, got := range data {
						if want := byte(src.key*31) + byte((off+int64(i))>>9); got != want {
							t.Errorf("version %d offset %d: %#x, want %#x", src.key, off+int64(i), got, want)
							break
						}
					}
					read.Add(1)
					off += int64(len(data))
					release()
				}
				f.Close()
			}
		})
	}
	for read.Load() < 20000 || changed.Load() < 20 {
		if t.Failed() {
			break
		}
		before := read.Load()
		v.rewrite()
		for read.Load() < before+50 && !t.Failed() { // let them get somewhere
			(&fakeSource{id: 9, size: 4096}).stream(t, c)
		}
	}
	close(stop)
	wg.Wait()
	t.Logf("%d pages read, %d times changed, %+v", read.Load(), changed.Load(), c.Stats())
}
