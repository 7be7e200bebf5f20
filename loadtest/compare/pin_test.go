package compare

import (
	"testing"

	"golang.org/x/sys/unix"

	"ocaserve/internal/testenv"
	"ocaserve/ktls"
	"ocaserve/tcpstack"
)

// TestPinning: during a measurement the server's thread has a processor that no other thread of the process uses, and
// afterwards all may run everywhere again.
func TestPinning(t *testing.T) {
	o := small(ktls.ModeNIC)
	s := staged(t, &o)
	testenv.Need(t, "two processors", s.pin.on(), "there is one")
	w, err := s.newWorld(t.Context(), o.keys()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	s.pin.apply(w.server)
	server, err := on(t.Context(), w.server, func(*tcpstack.Shard) int { return unix.Gettid() })
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range threads() {
		want := s.pin.others
		if id == server {
			want = s.pin.server
		}
		wantProcessors(t, id, want)
	}
	if s.pin.server.Count() != 1 || s.pin.others.Count() != s.pin.all.Count()-1 {
		t.Errorf("%d processors for the server, %d of %d for others", s.pin.server.Count(), s.pin.others.Count(), s.pin.all.Count())
	}
	s.pin.undo()
	for _, id := range threads() {
		wantProcessors(t, id, s.pin.all)
	}
}

func wantProcessors(t *testing.T, id int, want unix.CPUSet) {
	t.Helper()
	var got unix.CPUSet
	if unix.SchedGetaffinity(id, &got) != nil {
		return // it has ended
	}
	if got != want {
		t.Errorf("thread %d may run on %x, want %x", id, got, want)
	}
}
