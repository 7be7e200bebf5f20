package content

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// write makes a file below dir whose stamp is old enough to be trusted at once... unless the test's clock says
// otherwise: stamps of change cannot be set, so tests that must not wait run with a wall clock that is ahead.
func write(t testing.TB, dir, name, data string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ahead is a clock for which every stamp is an hour old.
func ahead() *clock {
	c := systemClock
	c.wall = func() time.Time { return time.Now().Add(time.Hour) }
	return &c
}

func openCatalogue(t testing.TB, dir string, opts Options) *Catalogue {
	t.Helper()
	if opts.clock == nil {
		opts.clock = ahead()
	}
	c, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// lookup waits for the answer.
func lookup(c *Catalogue, path string) (*Object, error) {
	for {
		woken := make(chan struct{})
		o, err := c.Lookup(path, sync.OnceFunc(func() { close(woken) }))
		if !errors.Is(err, ErrBusy) {
			return o, err
		}
		<-woken
	}
}

func list(c *Catalogue, path string) (*Listing, error) {
	for {
		woken := make(chan struct{})
		l, err := c.List(path, func() { close(woken) })
		if !errors.Is(err, ErrBusy) {
			return l, err
		}
		<-woken
	}
}

func contentOf(t testing.TB, o *Object) string {
	t.Helper()
	b := make([]byte, o.Size())
	if _, err := o.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLookup(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, "secret", "secret")
	dir := t.TempDir()
	write(t, dir, "a.m3u8", "#EXTM3U")
	write(t, dir, "sub/seg 1.m4s", "segment")
	write(t, dir, "site/index.html", "<html>")
	write(t, dir, `back\slash.txt`, "x")
	write(t, dir, "ü/日本.mp4", "x")
	write(t, dir, ".hidden", "x")
	write(t, dir, "..almost", "x")
	write(t, dir, "sub/.git/config", "x")
	write(t, dir, "dirindex/index.html/x", "a directory of that name")
	for name, target := range map[string]string{
		"inner": "sub/seg 1.m4s", "outer": filepath.Join(outside, "secret"), "up": "../" + filepath.Base(outside) + "/secret",
		"outdir": outside, "loop": "loop", "dangling": "nowhere", "dot": "./sub/../a.m3u8", "etc": "/etc",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0); err == nil {
		defer syscall.Close(fd)
		_ = syscall.Bind(fd, &syscall.SockaddrUnix{Name: filepath.Join(dir, "sock")})
	}

	c := openCatalogue(t, dir, Options{})
	for _, tt := range []struct {
		path, name, media string
		err               error
	}{
		{"/a.m3u8", "/a.m3u8", "application/vnd.apple.mpegurl", nil},
		{"/sub/seg 1.m4s", "/sub/seg 1.m4s", "video/iso.segment", nil},
		{"/site/", "/site/index.html", "text/html; charset=utf-8", nil},
		{"/site/index.html", "/site/index.html", "text/html; charset=utf-8", nil},
		{`/back\slash.txt`, `/back\slash.txt`, "text/plain; charset=utf-8", nil},
		{"/ü/日本.mp4", "/ü/日本.mp4", "video/mp4", nil},
		{"/inner", "/inner", "application/octet-stream", nil},
		{"/dot", "/dot", "application/octet-stream", nil},

		{"/", "", "", ErrIsDir},
		{"/sub/", "", "", ErrIsDir},
		{"/dirindex/", "", "", ErrIsDir},
		{"/sub", "", "", ErrMissingSlash},
		{"/a.m3u8/", "", "", ErrNotFound},
		{"/a.m3u8/x", "", "", ErrNotFound},
		{"", "", "", ErrNotFound},
		{"a.m3u8", "", "", ErrNotFound},
		{"*", "", "", ErrNotFound},
		{"/nothing", "", "", ErrNotFound},
		{"//a.m3u8", "", "", ErrNotFound},
		{"/sub//seg 1.m4s", "", "", ErrNotFound},
		{"/" + strings.Repeat("x", 300), "", "", ErrNotFound},
		{"/" + strings.Repeat("x/", 3000), "", "", ErrNotFound},
		{"/loop", "", "", ErrNotFound},
		{"/dangling", "", "", ErrNotFound},
		{"/.hidden", "", "", ErrNotFound},
		{"/..almost", "", "", ErrNotFound},
		{"/sub/.git/config", "", "", ErrNotFound},

		{"/../secret", "", "", ErrForbidden},
		{"/..", "", "", ErrForbidden},
		{"/.", "", "", ErrForbidden},
		{"/sub/../a.m3u8", "", "", ErrForbidden},
		{"/sub/./seg 1.m4s", "", "", ErrForbidden},
		{"/sub/..", "", "", ErrForbidden},
		{"/a.m3u8\x00.txt", "", "", ErrForbidden},
		{"/outer", "", "", ErrForbidden},
		{"/up", "", "", ErrForbidden},
		{"/outdir/secret", "", "", ErrForbidden},
		{"/outdir/", "", "", ErrForbidden},
		{"/etc/passwd", "", "", ErrForbidden},
		{"/fifo", "", "", ErrForbidden},
		{"/sock", "", "", ErrForbidden},
	} {
		o, err := lookup(c, tt.path)
		if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
			t.Errorf("Lookup(%.40q): %v, want %v", tt.path, err, tt.err)
		}
		if err == nil {
			if o.Name != tt.name || o.MediaType != tt.media || contentOf(t, o) == "" || o.Changed() != nil {
				t.Errorf("Lookup(%q) = %q %q changed %v", tt.path, o.Name, o.MediaType, o.Changed())
			}
			o.Release()
		}
	}
}

func TestHiddenNamesCanBeServed(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, ".well-known/x", "x")
	o, err := lookup(openCatalogue(t, dir, Options{Hidden: true}), "/.well-known/x")
	if err != nil {
		t.Fatal(err)
	}
	o.Release()
}
