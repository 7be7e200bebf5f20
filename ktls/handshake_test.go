package ktls

import (
	"io"
	"testing"

	"ocaserve/tcpstack/stream"
)

// A first word in each direction after the hand-over, for every suite and mode.
func TestHandOver(t *testing.T) {
	ca := newTestCA(t)
	for _, suite := range append(append([]Suite(nil), suites13...), ecSuites12...) {
		for _, mode := range []Mode{ModeUser, ModeInline} {
			t.Run(suite.String()+"/"+mode.String(), func(t *testing.T) {
				if suite.version() == TLS13 {
					useSuite13(t, suite)
				}
				s, sc, client := shake(t, ca, ca.clientFor(suite))
				if s.Suite != suite || s.Version != suite.version() || s.ServerName != "video.test" || s.ALPN != "http/1.1" {
					t.Fatalf("session %+v", s)
				}
				f, o, err := s.Start(mode, NewPool(0))
				if err != nil {
					t.Fatal(err)
				}
				var q queue
				if err := f.Append(&q, []stream.Piece{{Data: []byte("hello")}}); err != nil {
					t.Fatal(err)
				}
				if err := q.flush(sc); err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 5)
				if _, err := io.ReadFull(client, b); err != nil || string(b) != "hello" {
					t.Fatalf("client read %q, %v", b, err)
				}
				if _, err := client.Write([]byte("world")); err != nil {
					t.Fatal(err)
				}
				got, ev := readRecord(t, sc, o)
				if string(got) != "world" || ev != EventNone {
					t.Fatalf("server read %q, %v", got, ev)
				}
			})
		}
	}
}

// readRecord reads and opens one record.
func readRecord(t testing.TB, r io.Reader, o *Opener) ([]byte, Event) {
	t.Helper()
	rec := make([]byte, headerLen)
	if _, err := io.ReadFull(r, rec); err != nil {
		t.Fatal(err)
	}
	need, err := RecordLen(rec)
	if err != nil {
		t.Fatal(err)
	}
	rec = append(rec, make([]byte, need-headerLen)...)
	if _, err := io.ReadFull(r, rec[headerLen:]); err != nil {
		t.Fatal(err)
	}
	n, plain, ev, err := o.Open(rec)
	if err != nil || n != len(rec) {
		t.Fatalf("Open: n=%d of %d, %v", n, len(rec), err)
	}
	return plain, ev
}
