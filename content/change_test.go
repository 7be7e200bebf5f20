package content

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ocaserve/cache"
	"ocaserve/tcpstack/mono"
)

func mustLookup(t testing.TB, c *Catalogue, path string) *Object {
	t.Helper()
	o, err := lookup(c, path)
	if err != nil {
		t.Fatalf("Lookup(%q): %v", path, err)
	}
	return o
}

// An Object is what the cache reads from, and says itself which generation it is.
var _ interface {
	cache.Source
	Key() [5]uint64
	Acquire()
	Release()
} = (*Object)(nil)

func TestRewritingInPlaceIsAChange(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "f", "one")
	c := openCatalogue(t, dir, Options{Revalidate: -1})
	o := mustLookup(t, c, "/f")
	defer o.Release()
	before := o.stamp
	for write(t, dir, "f", "two"); ; write(t, dir, "f", "two") { // until the file system's clock has moved on
		if fi, err := os.Stat(filepath.Join(dir, "f")); err != nil || stampOf(fi) != before {
			break
		}
	}
	if err := o.Changed(); !errors.Is(err, ErrChanged) {
		t.Errorf("Changed = %v", err)
	}
	n := mustLookup(t, c, "/f")
	defer n.Release()
	if n.Key() == o.Key() || n.ETag == o.ETag || contentOf(t, n) != "two" {
		t.Errorf("the new generation: %q %v, the old %v", contentOf(t, n), n.Key(), o.Key())
	}
}

// A file replaced by rename, as packagers do, stays whole for those who are being served the old one.
func TestRenameKeepsTheOldGenerationServable(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "f", "old")
	c := openCatalogue(t, dir, Options{Revalidate: -1})
	o := mustLookup(t, c, "/f")
	defer o.Release()
	write(t, dir, ".new", "new content")
	if err := os.Rename(filepath.Join(dir, ".new"), filepath.Join(dir, "f")); err != nil {
		t.Fatal(err)
	}
	n := mustLookup(t, c, "/f")
	defer n.Release()
	if o.Changed() != nil || contentOf(t, o) != "old" {
		t.Errorf("the old one: %q, %v", contentOf(t, o), o.Changed())
	}
	if n.Changed() != nil || contentOf(t, n) != "new content" || n.ETag == o.ETag {
		t.Errorf("the new one: %q, %v", contentOf(t, n), n.Changed())
	}
}

func TestTruncationIsAChange(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "f", "0123456789")
	o := mustLookup(t, openCatalogue(t, dir, Options{}), "/f")
	defer o.Release()
	if err := os.Truncate(filepath.Join(dir, "f"), 5); err != nil {
		t.Fatal(err)
	}
	if err := o.Changed(); !errors.Is(err, ErrChanged) {
		t.Errorf("Changed = %v", err)
	}
}

// manual is a clock that a test moves. Timers run when it passes them.
type manual struct {
	mu     sync.Mutex
	t      time.Duration
	timers map[time.Duration][]func()
	armed  chan struct{} // a token for each timer set
	base   time.Time
}

func (m *manual) clock() *clock {
	return &clock{
		now:  func() mono.Time { m.mu.Lock(); defer m.mu.Unlock(); return mono.Time(1).Add(m.t) },
		wall: func() time.Time { m.mu.Lock(); defer m.mu.Unlock(); return m.base.Add(m.t) },
		after: func(d time.Duration, f func()) {
			m.mu.Lock()
			m.timers[m.t+d] = append(m.timers[m.t+d], f)
			m.mu.Unlock()
			m.armed <- struct{}{}
		},
	}
}

func (m *manual) advance(d time.Duration) {
	m.mu.Lock()
	m.t += d
	var due []func()
	for at, fs := range m.timers {
		if at <= m.t {
			due = append(due, fs...)
			delete(m.timers, at)
		}
	}
	m.mu.Unlock()
	for _, f := range due {
		f()
	}
}

func newManual(base time.Time) *manual {
	return &manual{timers: map[time.Duration][]func(){}, armed: make(chan struct{}, 100), base: base}
}

func ctimeOf(t testing.TB, path string) time.Time {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(0, stampOf(fi).ctime)
}

// A file is not served while its stamp is so young that another write might leave the stamp as it is.
func TestRacilyCleanFileIsNotServedYet(t *testing.T) {
	for _, tt := range []struct {
		name string
		skew time.Duration // of our clock against the stamp, at the beginning
	}{
		{"just written", 0}, {"written 15 ms ago", 15 * time.Millisecond}, {"stamped in the future", -time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "f", "data")
			m := newManual(ctimeOf(t, filepath.Join(dir, "f")).Add(tt.skew))
			c := openCatalogue(t, dir, Options{clock: m.clock()})
			answered := make(chan struct{}, 1)
			w := func() { answered <- struct{}{} }
			if _, err := c.Lookup("/f", w); !errors.Is(err, ErrBusy) {
				t.Fatal(err)
			}
			<-m.armed // it was looked at, and put off
			select {
			case <-answered:
				t.Fatal("answered at once")
			default:
			}
			m.advance(grain)
			<-answered
			o, err := c.Lookup("/f", w)
			if err != nil {
				t.Fatal(err)
			}
			o.Release()
		})
	}
}

func TestAFileThatIsAlwaysBeingWrittenIsUnavailable(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	write(t, dir, "log", "x")
	m := newManual(ctimeOf(t, path).Add(-time.Hour)) // its stamp never looks old
	c := openCatalogue(t, dir, Options{clock: m.clock()})
	var answered atomic.Bool
	if _, err := c.Lookup("/log", func() { answered.Store(true); m.armed <- struct{}{} }); !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		<-m.armed
		if answered.Load() {
			break
		}
		write(t, dir, "log", strings.Repeat("x", n+2)) // another size: another stamp
		m.advance(grain)
	}
	if _, err := c.Lookup("/log", nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
}

func TestAnswersAreGoodForRevalidate(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "f", "data")
	m := newManual(time.Now().Add(time.Hour))
	c := openCatalogue(t, dir, Options{Revalidate: 100 * time.Millisecond, clock: m.clock()})
	mustLookup(t, c, "/f").Release()
	if _, err := lookup(c, "/later"); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(dir, "f"))
	write(t, dir, "later", "data")
	m.advance(99 * time.Millisecond)
	o, err := c.Lookup("/f", nil)
	if err != nil {
		t.Fatalf("still good: %v", err)
	}
	o.Release()
	if _, err := c.Lookup("/later", nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("absence is remembered too: %v", err)
	}
	m.advance(time.Millisecond)
	if _, err := lookup(c, "/f"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no longer good: %v", err)
	}
	mustLookup(t, c, "/later").Release()
}

// With nothing remembered at all, those who waited still get the answer they waited for.
func TestWaitersGetTheirAnswerWhateverRevalidateIs(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "f", "data")
	c := openCatalogue(t, dir, Options{Revalidate: -1})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			o, err := lookup(c, "/f")
			if err != nil {
				t.Error(err)
				return
			}
			o.Release()
		})
	}
	wg.Wait()
}

func TestOpenFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		write(t, dir, fmt.Sprint(i), "data")
	}
	c := openCatalogue(t, dir, Options{MaxOpen: 3, Revalidate: time.Hour})
	for i := range 20 {
		mustLookup(t, c, fmt.Sprintf("/%d", i)).Release()
		if n := c.open.Load(); n > 3 {
			t.Fatalf("%d open, want 3 at most", n)
		}
	}
	// All in use: the next has to wait for a Release, and then gets its turn.
	held := []*Object{mustLookup(t, c, "/1"), mustLookup(t, c, "/2"), mustLookup(t, c, "/3")}
	woken := make(chan struct{}, 1)
	if _, err := c.Lookup("/4", func() { woken <- struct{}{} }); !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	for {
		c.mu.Lock()
		parked := len(c.noFD)
		c.mu.Unlock()
		if parked == 1 {
			break
		}
	}
	held[1].Release()
	<-woken
	o, err := c.Lookup("/4", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []*Object{o, held[0], held[2]} {
		if contentOf(t, o) != "data" {
			t.Error("a held object was closed")
		}
		o.Release()
	}
}

func TestNamesAreBounded(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "f", "data")
	c := openCatalogue(t, dir, Options{MaxNames: 10, Workers: 2})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				if _, err := lookup(c, fmt.Sprintf("/missing-%d-%d", g, i)); !errors.Is(err, ErrNotFound) {
					t.Error(err)
				}
				o, err := lookup(c, "/f")
				if err != nil {
					t.Error(err)
					return
				}
				o.Release()
			}
		})
	}
	wg.Wait()
	if len(c.entries) > 10 {
		t.Errorf("%d names remembered, want 10 at most", len(c.entries))
	}
}

func TestCloseAnswersWaiters(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "f", "data")
	m := newManual(ctimeOf(t, filepath.Join(dir, "f")))
	c := openCatalogue(t, dir, Options{clock: m.clock()})
	answered := make(chan struct{})
	if _, err := c.Lookup("/f", func() { close(answered) }); !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	<-m.armed
	c.Close()
	<-answered
	if _, err := c.Lookup("/f", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	m.advance(time.Minute) // the timer fires after Close: nothing happens
	if n := c.open.Load(); n != 0 {
		t.Errorf("%d files left open", n)
	}
}

func TestList(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.mp4", "a.txt", "c/x", ".hidden", "ü", "d/index.html"} {
		write(t, dir, name, name)
	}
	os.Symlink("/etc", filepath.Join(dir, "etc"))
	os.Symlink("a.txt", filepath.Join(dir, "link"))
	os.Symlink("nowhere", filepath.Join(dir, "dangling"))
	c := openCatalogue(t, dir, Options{})
	l, err := list(c, "/")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range l.Entries {
		got = append(got, fmt.Sprintf("%s %v %d", e.Name, e.Dir, e.Size))
	}
	want := []string{"a.txt false 5", "b.mp4 false 5", "c true 0", "d true 0", "link false 5", "ü false 2"}
	if !slices.Equal(got, want) || l.More || l.Path != "/" {
		t.Errorf("got %q, want %q", got, want)
	}
	for path, want := range map[string]error{
		"/c": ErrMissingSlash, "/a.txt": ErrNotDir, "/x/": ErrNotFound, "/etc/": ErrForbidden, "/../": ErrForbidden,
	} {
		if _, err := list(c, path); !errors.Is(err, want) {
			t.Errorf("List(%q): %v, want %v", path, err, want)
		}
	}
	small := openCatalogue(t, dir, Options{MaxListing: 3})
	if l, err := list(small, "/"); err != nil || len(l.Entries) != 3 || !l.More {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestMediaType(t *testing.T) {
	for name, want := range map[string]string{
		"x.M3U8": "application/vnd.apple.mpegurl", "/a.b/x.mpd": "application/dash+xml", "seg.cmfv": "video/iso.segment",
		"a.cmfa": "audio/mp4", "t.ts": "video/mp2t", "s.vtt": "text/vtt", "noext": "application/octet-stream",
		"dir.mp4/noext": "application/octet-stream", "": "application/octet-stream", "x.": "application/octet-stream", "p.jpg": "image/jpeg",
	} {
		if got := MediaType(name); got != want {
			t.Errorf("MediaType(%q) = %q, want %q", name, got, want)
		}
	}
}

// FuzzLookupStaysInside lets the fuzzer look for a path that reaches what is not below the root.
func FuzzLookupStaysInside(f *testing.F) {
	outer := f.TempDir()
	write(f, outer, "secret", "secret")
	dir := filepath.Join(outer, "root")
	write(f, outer, "root/a/b", "public")
	write(f, outer, "root/.dot", "secret")
	os.Symlink("..", filepath.Join(dir, "up"))
	os.Symlink("a/../../secret", filepath.Join(dir, "a", "s"))
	c := openCatalogue(f, dir, Options{Revalidate: -1})
	for _, s := range []string{"/a/b", "/up/secret", "/a/s", "/../secret", "/a/../../secret", "/.dot", "/up/root/a/b", "/a/b\x00", "//", "/a//b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		o, err := lookup(c, path)
		if err != nil {
			return
		}
		defer o.Release()
		if got := contentOf(t, o); got != "public" {
			t.Fatalf("Lookup(%q) gives %q", path, got)
		}
		if !fs.ValidPath(o.Name[1:]) {
			t.Fatalf("Lookup(%q) has the name %q", path, o.Name)
		}
	})
}

func TestHitAllocatesNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "f", "data")
	c := openCatalogue(t, dir, Options{Revalidate: time.Hour})
	mustLookup(t, c, "/f").Release()
	if n := testing.AllocsPerRun(100, func() {
		o, err := c.Lookup("/f", nil)
		if err != nil || o.Changed() != nil {
			t.Fatal(err)
		}
		o.Release()
	}); n != 0 {
		t.Errorf("%v allocations per lookup", n)
	}
}

func BenchmarkLookupHit(b *testing.B) {
	dir := b.TempDir()
	write(b, dir, "f", "data")
	c := openCatalogue(b, dir, Options{Revalidate: time.Hour})
	mustLookup(b, c, "/f").Release()
	b.ReportAllocs()
	for b.Loop() {
		o, err := c.Lookup("/f", nil)
		if err != nil {
			b.Fatal(err)
		}
		o.Release()
	}
}
