package e2e

import (
	"os"
	"os/exec"
	"testing"
)

// Full says that the long variants are wanted.
func Full() bool { return os.Getenv("OCASERVE_E2E_FULL") != "" }

// Skip skips the test for a reason of its surroundings, or fails it where everything must be there.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("OCASERVE_E2E") == "require" {
		t.Fatalf("OCASERVE_E2E=require: "+format, args...)
	}
	t.Skipf(format, args...)
}

// Need skips unless all programs are installed.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			Skip(t, "%s is not installed", p)
		}
	}
}
