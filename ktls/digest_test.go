//go:build ocaserve_debug

package ktls

import (
	"testing"

	"ocaserve/tcpstack/stream"
)

// A page that changes under a record is noticed at the next gather, whatever part of the record that wants.
func TestPlaintextMustNotChange(t *testing.T) {
	for _, mode := range []Mode{ModeInline, ModeNIC} {
		s := newSender(t, AES128GCM, mode, RecordPolicy{})
		data := make([]byte, 1000)
		if err := s.f.Append(&s.q, []stream.Piece{{Data: data}}); err != nil {
			t.Fatal(err)
		}
		if s.q.spans[0].(*record).keys.gcm == nil && mode == ModeInline {
			t.Skip("this CPU has no engine")
		}
		s.frame(0, 300)
		s.frame(0, 1000) // the same plaintext is fine
		data[999]++
		wantPanic(t, "invariant broken: the plaintext of record 0 has changed", func() { s.frame(10, 20) })
	}
}
