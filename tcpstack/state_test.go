package tcpstack

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestTransitions is RFC 9293 section 3.3.2, figure 5, written out for every state and event: a change of the
// machine is a diff to be reviewed.
func TestTransitions(t *testing.T) {
	var b strings.Builder
	for s := range stateCount {
		for e := range eventCount {
			n, ok := s.next(e)
			if !ok {
				fmt.Fprintf(&b, "%-12s %-12s -\n", s, e)
				continue
			}
			fmt.Fprintf(&b, "%-12s %-12s %s\n", s, e, n)
		}
	}
	const path = "testdata/transitions.golden"
	if *update {
		os.MkdirAll("testdata", 0o755)
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || b.String() != string(want) {
		t.Errorf("transitions differ from %s (go test -update rewrites it): %v\n%s", path, err, b.String())
	}
}
