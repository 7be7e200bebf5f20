package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Ctrl-C while content is made ends with a line that says how to go on, and leaves no half-made title.
func TestInterruptedWhileMaking(t *testing.T) {
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	demo, _, err := parse([]string{"demo", "--net", "relay"}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.run(ctx, io.Discard); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("demo: got %v", err)
	}
	left, err := os.ReadDir(filepath.Join(state, "ocaserve", "demo"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if strings.HasPrefix(e.Name(), ".tmp-") {
			t.Errorf("demo left %s", e.Name())
		}
	}
	gen := genFlags{Dir: t.TempDir(), Titles: 1, Duration: time.Minute}
	if err := gen.run(ctx, io.Discard); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("content gen: got %v", err)
	}
}
