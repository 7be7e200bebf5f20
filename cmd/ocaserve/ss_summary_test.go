package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"ocaserve/tcpstack/ledger"
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
	wantIn(t, say(t, "ss", "-s", "--server", "sums"), "TCP: 1 connections, 0 half-open; memory ", " of 256 MiB\n", "Accepted", "BytesSent",
		"Per byte sent: ", " copied, ", " touched in memory, ", " % retransmitted\n", "Book.sent ")
	var m map[string]int64
	if err := json.Unmarshal([]byte(say(t, "ss", "-s", "--json", "--server", "sums")), &m); err != nil {
		t.Fatal(err)
	}
	if m["Connections"] != 1 || m["MemoryBudget"] != 256<<20 || m["MemoryUsed"] < 2560 || m["BytesSent"] < 1000 || m["Accepted"] != 1 {
		t.Errorf("%v", m)
	}
	if m["Book.sent"] < 1000 || m["Book.plain_queued"]+m["Book.record_bytes"] < m["Book.sent"] {
		t.Errorf("the ledger: %v", m)
	}
	var v connView
	if err := json.Unmarshal([]byte(say(t, "ss", "--json", "--server", "sums")), &v); err != nil {
		t.Fatal(err)
	}
	if b := v.Info.Book; b.Sum(ledger.Sent) < 1000 || b.Sum(ledger.CacheHit)+b.Sum(ledger.CacheFill) == 0 {
		t.Errorf("a connection's ledger: %v", b)
	}
}
