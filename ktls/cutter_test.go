package ktls

import (
	"testing"

	"ocaserve/tcpstack/stream"
)

// strict is a hold count that may never come back from zero, like that of a cached page.
type strict struct {
	t     *testing.T
	holds int
}

func (s *strict) Retain() {
	if s.holds == 0 {
		s.t.Error("retained after the last hold was released")
	}
	s.holds++
}

func (s *strict) Release() { s.holds-- }

// TestCutterKeepsItsHold: mode user seals a record and lets go of its pieces before the next one is cut.
func TestCutterKeepsItsHold(t *testing.T) {
	for _, cuts := range [][]int{{10}, {4, 6}, {1, 1, 8}, {3}, {}} {
		ref := &strict{t: t, holds: 1}
		empty := &strict{t: t, holds: 1}
		c := cutter{pieces: []stream.Piece{{Ref: empty}, {Data: make([]byte, 10), Ref: ref}}}
		for _, n := range cuts {
			var r record
			c.cut(&r, n)
			r.dropParts()
		}
		c.release()
		if ref.holds != 0 || empty.holds != 0 {
			t.Errorf("cuts %v: %d holds left on the page, %d on the empty piece", cuts, ref.holds, empty.holds)
		}
	}
}
