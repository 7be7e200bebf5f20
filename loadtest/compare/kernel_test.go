package compare

import (
	"testing"

	"ocaserve/internal/testenv"
	"ocaserve/ktls"
)

// TestTUN: the kernel's clients get the same bytes, over a good wire and over a bad one.
func TestTUN(t *testing.T) {
	ns, err := newNamespace()
	testenv.Need(t, "a network namespace and a TUN", err == nil, reason(err))
	if err := ns.close(); err != nil {
		t.Fatal(err)
	}
	for _, loss := range []float64{0, 0.01} {
		o := small(ktls.ModeOff, ktls.ModeInline, ktls.ModeNIC)
		o.Net, o.Rounds, o.Loss = NetTUN, 1, []float64{loss}
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for i := range r.Cells {
			if c := &r.Cells[i]; c.Rounds[0].Verified == 0 || c.Rounds[0].Responses < 24 {
				t.Errorf("%v: %+v", c.Mode, c.Rounds[0])
			}
		}
	}
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
