package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// ss -s over the admin socket: what --memory gave, and what a connection that is half way holds of it.
func TestSsSummary(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	dir := folder(t)
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 64<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	s := serveRelay(t, dir, "--admin", "sums", "--memory", "256MiB")
	s.hold("big", 1000)
	wantIn(t, say(t, "ss", "-s", "--server", "sums"), "TCP: 1 connections, 0 half-open; memory ", " of 256 MiB\n", "Accepted", "BytesSent")
	var m map[string]int64
	if err := json.Unmarshal([]byte(say(t, "ss", "-s", "--json", "--server", "sums")), &m); err != nil {
		t.Fatal(err)
	}
	if m["Connections"] != 1 || m["MemoryBudget"] != 256<<20 || m["MemoryUsed"] < 2560 || m["BytesSent"] < 1000 || m["Accepted"] != 1 {
		t.Errorf("%v", m)
	}
}
