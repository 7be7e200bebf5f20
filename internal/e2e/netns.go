package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A Namespace is a network namespace with its loopback up.
type Namespace struct{ name string }

var namespaces atomic.Int64

// NewNamespace makes a namespace and removes it when the test ends.
func NewNamespace(t testing.TB) *Namespace {
	t.Helper()
	Need(t, "ip")
	if os.Getuid() != 0 {
		Skip(t, "a network namespace needs root")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		Skip(t, "no TUN device here: %v", err)
	}
	ns := &Namespace{fmt.Sprintf("ocaserve-e2e-%d-%d", os.Getpid(), namespaces.Add(1))}
	if out, err := exec.Command("ip", "netns", "add", ns.name).CombinedOutput(); err != nil {
		Skip(t, "cannot make a network namespace: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", ns.name).CombinedOutput(); err != nil {
			t.Errorf("removing namespace %s: %v: %s", ns.name, err, out)
		}
	})
	if out, err := exec.Command("ip", "-n", ns.name, "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("ip link set lo up: %v: %s", err, out)
	}
	return ns
}

// Command prepares a program to run inside the namespace. It is killed when ctx ends.
func (ns *Namespace) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", ns.name}, args...)...)
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// Run runs a program to its end and returns what it wrote to both outputs.
func (ns *Namespace) Run(t testing.TB, timeout time.Duration, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	out, err := ns.Command(ctx, args...).CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("still running after %v", timeout)
	}
	return string(out), err
}

// MustRun is Run for a program that must succeed.
func (ns *Namespace) MustRun(t testing.TB, timeout time.Duration, args ...string) string {
	t.Helper()
	out, err := ns.Run(t, timeout, args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// exitCode of a finished program; -1 when a signal ended it.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := err.(*exec.ExitError); ok {
		if ws, ok := e.Sys().(syscall.WaitStatus); ok && ws.Exited() {
			return ws.ExitStatus()
		}
	}
	return -1
}
