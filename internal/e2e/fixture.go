package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The stack's address in every namespace: the program's default plan.
const (
	IPv4 = "198.18.0.2"
	IPv6 = "[fd6f:6361:c612::2]"
)

// Digest is a SHA-256 in hex.
type Digest string

// Sum is the digest of b.
func Sum(b []byte) Digest {
	d := sha256.Sum256(b)
	return Digest(hex.EncodeToString(d[:]))
}

// WriteRandom makes a file of n bytes that compress to nothing and repeat nowhere, so that no misplaced
// block goes unseen, and returns its digest.
func WriteRandom(t testing.TB, name string, n int64, seed byte) Digest {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8([32]byte{seed}), n); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return Digest(hex.EncodeToString(h.Sum(nil)))
}

// Root makes a folder to serve, readable by every user.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ocaserve-root-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A Fetch is what curl got.
type Fetch struct {
	Digest Digest
	Bytes  int64
	Mixed  bool   // the body's bytes are not all the same
	Log    string // curl's -v
	Code   int    // curl's exit status
}

// Curl fetches one URL with extra arguments and digests the body; how it ended is the caller's to judge.
func Curl(ns *Namespace, timeout time.Duration, args ...string) Fetch {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	cmd := ns.Command(ctx, append([]string{"curl", "-sSv", "--http1.1"}, args...)...)
	h := sha256.New()
	count := &counter{}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(h, count), &log
	err := cmd.Run()
	return Fetch{Digest(hex.EncodeToString(h.Sum(nil))), count.n, count.mixed, log.String(), exitCode(err)}
}

// MustCurl fetches a URL whose body must have the digest.
func MustCurl(t testing.TB, ns *Namespace, want Digest, args ...string) Fetch {
	t.Helper()
	f := Curl(ns, fetchTime(), args...)
	if f.Code != 0 || f.Digest != want {
		t.Errorf("curl %v: exit status %d, %d bytes, sha256 %.12s, want %.12s\n%s", args, f.Code, f.Bytes, f.Digest, want, tail(f.Log))
	}
	return f
}

// fetchTime bounds one transfer; far more than it should take, so that only a stall hits it.
func fetchTime() time.Duration {
	if Full() {
		return 2 * time.Minute
	}
	return 20 * time.Second
}

func tail(s string) string {
	if len(s) > 1500 {
		return "..." + s[len(s)-1500:]
	}
	return s
}

type counter struct {
	n     int64
	first byte
	mixed bool // some byte differs from the first
}

func (c *counter) Write(p []byte) (int, error) {
	if c.n == 0 && len(p) > 0 {
		c.first = p[0]
	}
	c.mixed = c.mixed || bytes.Count(p, []byte{c.first}) != len(p)
	c.n += int64(len(p))
	return len(p), nil
}

// BigFile makes the file of the transfer tests: 32 MiB, or 1 GiB in full.
func BigFile(t testing.TB, root string) (name string, sum Digest) {
	size := int64(32 << 20)
	if Full() {
		size = 1 << 30
	}
	name = "big.bin"
	sum = WriteRandom(t, filepath.Join(root, name), size+12345, 1) // not a multiple of any page or record
	return name, sum
}

// URL joins the parts of an address in the namespace.
func URL(scheme, host, path string) string { return fmt.Sprintf("%s://%s/%s", scheme, host, path) }
