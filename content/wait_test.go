package content

import (
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// A lookup does not wait for ever while all files that may be open are being served, and one that got its turn in
// time is not given up.
func TestWaitForDescriptorEnds(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		write(t, dir, name, "data")
	}
	m := newManual(ctimeOf(t, filepath.Join(dir, "c")).Add(time.Hour))
	c := openCatalogue(t, dir, Options{MaxOpen: 1, Revalidate: time.Nanosecond, clock: m.clock()})
	a := mustLookup(t, c, "/a")
	ask := func(name string) chan struct{} {
		t.Helper()
		woken := make(chan struct{}, 1)
		if _, err := c.Lookup(name, func() { woken <- struct{}{} }); !errors.Is(err, ErrBusy) {
			t.Fatalf("%s: %v", name, err)
		}
		<-m.armed
		return woken
	}
	b := ask("/b")
	m.advance(maxWaitFD - 1)
	select {
	case <-b:
		t.Fatal("given up too early")
	default:
	}
	m.advance(1)
	<-b
	if _, err := c.Lookup("/b", func() {}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("/b: %v, want %v", err, ErrUnavailable)
	}
	got := ask("/c")
	a.Release()
	<-got
	o, err := c.Lookup("/c", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Release()
	m.advance(time.Minute) // its timer fires for nothing
	if contentOf(t, o) != "data" || len(c.noFD) != 0 {
		t.Error("the time-out hit an object that is open")
	}
}
