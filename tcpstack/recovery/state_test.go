package recovery

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Every (state, event) pair, as a file to read and to review.
func TestTransitions(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-9s", "")
	for e := range numEvents {
		fmt.Fprintf(&b, " %-9v", e)
	}
	b.WriteByte('\n')
	for from := range numStates {
		fmt.Fprintf(&b, "%-9v", from)
		for e := range numEvents {
			s := Sender{state: from}
			if moved := s.move(e); moved != (s.state != from) {
				t.Errorf("%v, %v: move reports %v", from, e, moved)
			}
			fmt.Fprintf(&b, " %-9v", s.state)
		}
		b.WriteByte('\n')
	}
	const golden = "testdata/transitions.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the table changed (-update rewrites it):\n%s\nwant:\n%s", b.String(), want)
	}
	if State(200).String() != "State(?)" {
		t.Error("String of an impossible state")
	}
}
