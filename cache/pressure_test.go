package cache

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A cache is starved when its line has stood still for a second because everything is pinned, and no longer
// when the line moves. The time is the bubble's.
func TestStarved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Config{Bytes: 4 * 4096, PageSize: 4096, ReadAhead: -1})
		pieces := (&fakeSource{id: 1, size: 4 * 4096}).pinAll(t, c)
		next := &fakeSource{id: 2, size: 4096}
		f := c.Open(next.key(), next)
		defer f.Close()
		b := make(bell, 1)
		if _, err := f.Pin(0, b); !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
		time.Sleep(900 * time.Millisecond)
		if c.Starved() {
			t.Error("starved before its time")
		}
		time.Sleep(200 * time.Millisecond)
		if !c.Starved() {
			t.Error("not starved although nothing has moved for a second")
		}
		releaseAll(pieces)
		<-b
		if c.Starved() {
			t.Error("still starved after the line moved")
		}
	})
}
