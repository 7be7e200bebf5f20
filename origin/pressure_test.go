package origin

import (
	"strings"
	"testing"
	"time"
)

// Clients that hardly read hold every page of the cache. They are cut for one that gets none, and neither a
// client that reads nor one that has only begun is.
func TestStarvationCutsTheSlow(t *testing.T) {
	const each = 256 << 10
	files := map[string]string{"fast": strings.Repeat("f", 4<<20), "new": strings.Repeat("n", each), "one": "1", "two": "2", "miss": "m", "missed": "m"}
	for _, n := range "abcdefgh" {
		files[string(n)] = strings.Repeat(string(n), each)
	}
	r := newRig(t, files)
	starved := false
	r.srv.starved = func() bool { return starved }
	var slow []*pipe
	for n := range files {
		if len(n) == 1 {
			p := r.dial()
			p.limit = 0
			p.send(get("/" + n))
			slow = append(slow, p)
		}
	}
	fast := r.dial()
	fast.limit = 0
	fast.send(get("/fast"))
	for range 10 {
		fast.limit = 64 << 10
		r.settle()
		r.advance(time.Second)
	}
	lingering, gone := r.dial(), r.dial()
	lingering.limit = 0
	lingering.send(get("/one", "Connection: close"))
	gone.roundTrip(get("/one")) // everything taken, and idle for a long time

	if r.dial().roundTrip(get("/two")); len(r.posts) != 0 {
		t.Fatal("looked for slow clients, though the cache is not starved")
	}
	r.advance(3 * time.Second)
	begun := r.dial()
	begun.limit = 0
	begun.send(get("/new"))
	r.advance(3 * time.Second)
	fast.limit = 96 << 10
	r.settle()

	starved = true
	p := r.dial()
	p.send(get("/miss"))
	r.dial().roundTrip(get("/missed")) // the same second: one round is enough
	if len(r.posts) != 1 {
		t.Fatalf("%d rounds", len(r.posts))
	}
	(<-r.posts)(r.now)
	for i, s := range slow {
		if !s.abort {
			t.Errorf("slow client %d still holds its pages", i)
		}
	}
	if !lingering.abort {
		t.Error("a client that does not take its last response still holds its pages")
	}
	for name, p := range map[string]*pipe{"fast": fast, "begun": begun, "gone": gone, "waiting": p} {
		if p.abort {
			t.Errorf("%s was cut too", name)
		}
	}
	if st := r.srv.Stats(); st.Slow != uint64(len(slow)+1) {
		t.Errorf("Slow = %d, want %d", st.Slow, len(slow)+1)
	}
	if got := p.take(); !strings.HasSuffix(got, "m") {
		t.Errorf("got %q", got)
	}
}
