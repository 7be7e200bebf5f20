package stream

import "testing"

// An array is at most half as long again as it has to be, and is found again by its length.
func TestArrays(t *testing.T) {
	for n := 1; n <= 1536; n++ {
		var a arrays[queued]
		fit, get := a.fit(n), a.get(n)
		if m := len(fit); m < n || m > max(minArray, 3*n/2) {
			t.Errorf("fit(%d) has %d entries", n, m)
		}
		if m := len(get); m < n || m&(m-1) != 0 || m > max(minArray, 2*n) {
			t.Errorf("get(%d) has %d entries", n, m)
		}
		a.put(fit)
		if again := a.fit(n); &again[0] != &fit[0] {
			t.Errorf("an array of %d entries was put back and is not found", len(fit))
		}
	}
}
