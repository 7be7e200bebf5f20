package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const socketSuffix = ".sock"

// runDir is where the sockets of this user's servers are.
func runDir() (string, error) { return stateDir("run") }

// adminPath is the socket that --admin means: a path, a name, or without either one named after the process.
func adminPath(where string) (string, error) {
	if strings.Contains(where, "/") {
		return filepath.Abs(where)
	}
	dir, err := runDir()
	if err != nil {
		return "", err
	}
	if where == "" {
		where = strconv.Itoa(os.Getpid())
	}
	return filepath.Join(dir, where+socketSuffix), nil
}

// shortName is a name of a socket's path that fits into a socket address, which has 108 bytes. done gives up
// what it takes.
func shortName(path string) (name string, done func(), err error) {
	if len(path) < 100 {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { dir.Close() }, nil
}

func dialSocket(path string) (*net.UnixConn, error) {
	name, done, err := shortName(path)
	if err != nil {
		return nil, err
	}
	defer done()
	c, err := net.DialTimeout("unix", name, adminPatience)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

// removeStale removes a socket that nobody listens on, and reports whether it did.
func removeStale(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	c, err := dialSocket(path)
	if err == nil {
		c.Close()
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED) && os.Remove(path) == nil
}

// peerIsMe reports whether the other end of a socket is this user, or root.
func peerIsMe(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var cred *syscall.Ucred
	if err := raw.Control(func(fd uintptr) {
		cred, _ = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil || cred == nil {
		return false
	}
	return cred.Uid == 0 || int(cred.Uid) == os.Getuid()
}

// A found server is one that answers.
type found struct {
	name string
	path string
	info serverInfo
}

// findServers asks every socket of this user's who is there, and removes those that nobody is.
func findServers() ([]found, error) {
	dir, err := runDir()
	if err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*"+socketSuffix))
	if err != nil {
		return nil, err
	}
	var all []found
	for _, p := range paths {
		if removeStale(p) {
			continue
		}
		f := found{name: strings.TrimSuffix(filepath.Base(p), socketSuffix), path: p}
		if c, err := dialSocket(p); err == nil {
			err = callAdmin(c, "info", nil, func(b []byte) error { return unmarshal(b, &f.info) })
			if err == nil {
				all = append(all, f)
			}
		}
	}
	return all, nil
}

func (f found) String() string {
	return fmt.Sprintf("%s (pid %d, %s, since %s)", f.name, f.info.PID, strings.Join(f.info.URLs, " "), f.info.Started.Format(time.TimeOnly))
}
