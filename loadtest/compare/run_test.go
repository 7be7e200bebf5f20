package compare

import (
	"testing"

	"ocaserve/ktls"
)

// TestRun compares two modes with a handful of responses: what is checked is that bytes are, not how fast.
func TestRun(t *testing.T) {
	r, err := Run(t.Context(), Options{
		Modes: []ktls.Mode{ktls.ModeOff, ktls.ModeInline}, Loss: []float64{0}, Conns: []int{2}, Size: 256 << 10,
		Rounds: 1, Responses: 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Cells {
		c := &r.Cells[i]
		if got := c.Rounds[0]; got.Verified == 0 || got.Responses < 20 {
			t.Errorf("%v: %d bytes compared, %d responses", c.Mode, got.Verified, got.Responses)
		}
	}
}
