package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var build struct {
	once sync.Once
	dir  string
	err  error
}

// Binary builds ocaserve and returns its path; the file may be executed by every user.
func Binary(t testing.TB) string {
	t.Helper()
	build.once.Do(func() {
		if build.dir, build.err = os.MkdirTemp("", "ocaserve-e2e-"); build.err != nil {
			return
		}
		build.err = os.Chmod(build.dir, 0o755)
		args := append([]string{"build", "-o", build.dir}, buildFlags...)
		out, err := exec.Command("go", append(args, "ocaserve/cmd/ocaserve")...).CombinedOutput()
		if err != nil {
			build.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if build.err != nil {
		t.Fatalf("building ocaserve: %v", build.err)
	}
	return filepath.Join(build.dir, "ocaserve")
}

// RemoveBinary is for TestMain.
func RemoveBinary() {
	if build.dir != "" {
		os.RemoveAll(build.dir)
	}
}

// A Server is a running ocaserve.
type Server struct {
	Banner string // what it printed up to and with the line that says it serves
	State  string // its state folder
	cmd    *exec.Cmd
	stderr lockedBuffer
	exited chan struct{}
	err    error // of Wait, once exited
}

// Cert is the self-signed certificate, for --cacert.
func (s *Server) Cert() string { return filepath.Join(s.State, "ocaserve", "tls", "self-signed.crt") }

// Start runs ocaserve with args inside ns and waits until it serves. It is stopped with SIGTERM when the
// test ends and must then exit with status 0.
func Start(t testing.TB, ns *Namespace, args ...string) *Server {
	t.Helper()
	return StartAs(t, ns, nil, args...)
}

// StartAs is Start through a wrapper command, such as setpriv.
func StartAs(t testing.TB, ns *Namespace, wrapper []string, args ...string) *Server {
	t.Helper()
	s := &Server{State: t.TempDir(), exited: make(chan struct{})}
	line := append(append(wrapper[:len(wrapper):len(wrapper)], Binary(t)), args...)
	s.cmd = ns.Command(context.Background(), line...)
	s.cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+s.State)
	s.cmd.Stderr = &s.stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	banner := make(chan string, 1)
	go func() {
		s.watch(bufio.NewScanner(stdout), banner)
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() { s.stop(t) })
	select {
	case s.Banner = <-banner:
	case <-s.exited:
		t.Fatalf("ocaserve %v ended at once: %v\n%s", args, s.err, s.stderr.String())
	case <-time.After(30 * time.Second):
		t.Fatalf("ocaserve %v does not serve after 30 s\n%s", args, s.stderr.String())
	}
	return s
}

// watch sends everything up to the line that says where it serves, then drains the pipe.
func (s *Server) watch(lines *bufio.Scanner, banner chan<- string) {
	var text strings.Builder
	for sent := false; lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		if !sent && strings.Contains(lines.Text(), "Ctrl-C") {
			banner <- text.String()
			sent = true
		}
	}
}

// PID is the server's own, not that of the program that put it into the namespace: ip and setpriv become
// the program they start.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// RSS is the resident memory in bytes.
func (s *Server) RSS(t testing.TB) int64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		t.Fatalf("no VmRSS in %s", data)
	}
	kb, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// Signal sends a signal to the server.
func (s *Server) Signal(sig syscall.Signal) error { return s.cmd.Process.Signal(sig) }

// Wait returns the exit status, or -1 if it still runs after the time-out.
func (s *Server) Wait(timeout time.Duration) int {
	select {
	case <-s.exited:
		return exitCode(s.err)
	case <-time.After(timeout):
		return -1
	}
}

// Stderr is what it has complained about so far.
func (s *Server) Stderr() string { return s.stderr.String() }

func (s *Server) stop(t testing.TB) {
	select {
	case <-s.exited:
		return // the test ended it and looked at how
	default:
	}
	_ = s.Signal(syscall.SIGTERM)
	if status := s.Wait(15 * time.Second); status != 0 {
		t.Errorf("after SIGTERM: exit status %d\n%s", status, s.stderr.String())
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	if strings.Contains(s.stderr.String(), "panic:") || strings.Contains(s.stderr.String(), "DATA RACE") {
		t.Errorf("the server reported:\n%s", s.stderr.String())
	}
}

// A lockedBuffer is written by the goroutine that copies a pipe and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
