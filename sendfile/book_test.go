package sendfile

import (
	"testing"

	"ocaserve/tcpstack/ledger"
)

// A page counts as filled for its first user, and as a hit from then on, also if it is read again in parts;
// literals are the connection's own. What a sink refuses has been found all the same.
func TestBook(t *testing.T) {
	c := newCache(t)
	data := pattern(2*page + 100)
	f := open(t, c, 1, &source{data: data})
	want := func(s *sink, fill, hit, owned uint64) {
		t.Helper()
		got := [3]uint64{s.book.Sum(ledger.CacheFill), s.book.Sum(ledger.CacheHit), s.book.Sum(ledger.OwnedBytes)}
		if got != [3]uint64{fill, hit, owned} {
			t.Errorf("fill, hit, owned = %v, want %v", got, [3]uint64{fill, hit, owned})
		}
	}
	head := []byte("head")
	first := &sink{}
	run(t, New(Part{Bytes: head}, Part{File: f, Off: 10, Len: page}, Part{Bytes: head}), first, 1<<20)
	want(first, page, 0, 8)
	first.release()

	again := &sink{}
	run(t, New(Part{Bytes: head}, Part{File: f, Len: int64(len(data))}), again, 100)
	want(again, 100, 2*page, 4) // the last page is new
	again.release()
}
