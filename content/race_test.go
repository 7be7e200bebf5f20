package content

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"ocaserve/cache"
)

type bell chan struct{}

func (b bell) Filled() { b <- struct{}{} }

// rewriter makes versions of one file: every byte says which version it is of.
type rewriter struct {
	path string
	size int
	n    byte
}

func (r *rewriter) next(inPlace bool) error {
	r.n++
	data := bytes.Repeat([]byte{r.n}, r.size)
	if !inPlace {
		return writeFile(r.path, data)
	}
	f, err := os.OpenFile(r.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for at := 0; at < len(data); at += 8192 { // the size never changes: only the stamps tell
		if _, err := f.WriteAt(data[at:min(at+8192, len(data))], int64(at)); err != nil {
			return err
		}
		runtime.Gosched()
	}
	return nil
}

// slow reads in small steps, so that a rewrite can come in between.
type slow struct{ *Object }

func (s slow) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = s.Object.ReadAt(p[n:min(n+256, len(p))], off+int64(n))
		n += m
		runtime.Gosched()
	}
	return n, err
}

// TestNoResponseMixesVersions reads a file through catalogue and cache while it is rewritten, in place and by
// rename, on the real file system with the real clock. A response may end early; it may not mix.
func TestNoResponseMixesVersions(t *testing.T) {
	dir := t.TempDir()
	r := &rewriter{path: filepath.Join(dir, "f"), size: 200_000}
	if err := r.next(false); err != nil {
		t.Fatal(err)
	}
	cat := openCatalogue(t, dir, Options{Revalidate: -1, clock: &systemClock})
	pages, err := cache.New(cache.Config{Bytes: 20 * 4096, PageSize: 4096, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()

	var whole, cut atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				o, err := lookup(cat, "/f")
				if errors.Is(err, ErrUnavailable) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				err = readWhole(pages, o)
				o.Release()
				switch {
				case err == nil:
					whole.Add(1)
				case errors.Is(err, cache.ErrChanged):
					cut.Add(1)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	for i := 0; i < 24 && !t.Failed(); i++ {
		if err := r.next(i%2 == 0); err != nil {
			t.Fatal(err)
		}
		for had := whole.Load(); whole.Load() < had+3 && !t.Failed(); { // until they have seen some of it
			if o, err := lookup(cat, "/f"); err == nil {
				o.Release()
			}
		}
	}
	close(stop)
	wg.Wait()
	t.Logf("%d whole, %d cut short, %+v", whole.Load(), cut.Load(), pages.Stats())
}

var errMixed = errors.New("a response holds bytes of two versions")

// readWhole reads all of an object through the cache, and keeps what it pinned until the end, as a connection does
// until the ACK.
func readWhole(pages *cache.Cache, o *Object) error {
	f := pages.Open(o.Key(), slow{o})
	defer f.Close()
	w := make(bell, 1)
	version := -1
	for off := int64(0); off < o.Size(); {
		p, err := f.Pin(off, w)
		if errors.Is(err, cache.ErrBusy) {
			<-w
			continue
		}
		if err != nil {
			return err
		}
		for _, b := range p.Data {
			if version < 0 {
				version = int(b)
			}
			if int(b) != version {
				p.Release()
				return errMixed
			}
		}
		off += int64(len(p.Data))
		p.Release()
	}
	return nil
}
