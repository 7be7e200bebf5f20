package compare

import (
	"testing"
	"time"

	"ocaserve/ktls"
)

// TestEstimate: cells that were measured take as long again, the others what is guessed, in proportion.
func TestEstimate(t *testing.T) {
	o := Options{Loss: []float64{0, 0.03}, Conns: []int{64}, Modes: []ktls.Mode{ktls.ModeOff, ktls.ModeNIC}, Rounds: 3}
	if err := o.setDefaults(); err != nil {
		t.Fatal(err)
	}
	keys, e := o.keys(), newEstimate(&o)
	want := func(round, from int, want time.Duration) {
		t.Helper()
		if got := e.left(keys, round, from); (got - want).Abs() > time.Microsecond {
			t.Errorf("round %d, cell %d: %v left, want %v", round, from, got, want)
		}
	}
	good, sealed := e.guess(keys[0]), e.guess(keys[1])
	lossy, both := e.guess(keys[2]), e.guess(keys[3])
	if good != o.Duration+warmUpLeast || sealed <= good || lossy < good+900*time.Millisecond || lossy > good+time.Second {
		t.Errorf("guesses %v, %v, %v, %v", good, sealed, lossy, both)
	}
	want(0, 0, 3*(good+sealed+lossy+both))
	e.note(keys[0], 2*good)
	want(0, 1, 2*2*good+3*2*(sealed+lossy+both))
	e.note(keys[1], sealed) // now others take (2 good + sealed) / (good + sealed) of what is guessed
	scale := float64(2*good+sealed) / float64(good+sealed)
	want(0, 2, 2*(2*good+sealed)+time.Duration(3*scale*float64(lossy+both)))
	e.note(keys[2], 5*time.Second)
	e.note(keys[3], 6*time.Second)
	want(1, 0, 2*(2*good+sealed+11*time.Second))
	e.note(keys[0], time.Second) // the last time counts
	want(1, 1, time.Second+2*(sealed+11*time.Second))
	want(2, 3, 6*time.Second)
}
