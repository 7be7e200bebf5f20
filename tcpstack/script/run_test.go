package script

import (
	"os"
	"path/filepath"
	"testing"
)

// TestScripts runs every script of testdata: what the stack does is written down there.
func TestScripts(t *testing.T) {
	names, err := filepath.Glob("testdata/*.pkt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Run(name, src, Options{Print: t.Output(), Trace: t.Output()}); err != nil {
				t.Fatal(err)
			}
		})
	}
}
