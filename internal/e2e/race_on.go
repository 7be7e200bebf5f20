//go:build race

package e2e

// buildFlags: tests that run under the race detector drive a server that does too.
var buildFlags = []string{"-race"}
