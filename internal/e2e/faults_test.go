package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFaults loses, reorders, duplicates and corrupts 1 % of the packets each way.
func TestFaults(t *testing.T) {
	Need(t, "curl")
	root := Root(t)
	sum := WriteRandom(t, filepath.Join(root, "f"), 3<<20+99, 4)
	for _, mode := range []string{"user", "inline", "nic"} {
		t.Run(mode, func(t *testing.T) {
			ns := NewNamespace(t)
			s := Start(t, ns, "serve", "--net", "tun", "--tls", mode,
				"--link-fault", "loss=1%,reorder=1%,dup=1%,corrupt=1%,seed=7", root)
			for _, url := range []string{URL("https", IPv4, "f"), URL("https", IPv6, "f"), URL("http", IPv4, "f")} {
				MustCurl(t, ns, sum, "--cacert", s.Cert(), url)
			}
		})
	}
}

// TestRewrite replaces a file over and over while clients fetch it under loss. A rename makes a new object:
// every client gets one version whole. Writing in place may end a response early, or show the file while it
// is shorter, but never mixes two versions.
func TestRewrite(t *testing.T) {
	Need(t, "curl")
	const size, rounds, clients = 2<<20 + 17, 6, 8
	versions := make([][]byte, rounds)
	known := map[Digest]bool{}
	for i := range versions {
		versions[i] = bytes.Repeat([]byte{byte('a' + i)}, size)
		known[Sum(versions[i])] = true
	}
	for _, c := range []struct {
		how     string
		replace func(name string, data []byte) error
		whole   bool
	}{
		{"rename", replaceByRename, true},
		{"in place", func(name string, data []byte) error { return os.WriteFile(name, data, 0o644) }, false},
	} {
		t.Run(c.how, func(t *testing.T) {
			root := Root(t)
			name := filepath.Join(root, "f")
			if err := c.replace(name, versions[0]); err != nil {
				t.Fatal(err)
			}
			ns := NewNamespace(t)
			s := Start(t, ns, "serve", "--net", "tun", "--link-fault", "loss=1%,seed=3", root)
			var wg sync.WaitGroup
			stop := make(chan struct{})
			var whole, early int
			var mu sync.Mutex
			for range clients {
				wg.Go(func() {
					for !closed(stop) {
						f := Curl(ns, fetchTime(), "--fail", "--cacert", s.Cert(), URL("https", IPv4, "f"))
						mu.Lock()
						if strings.Contains(strings.ToLower(f.Log), "bad record") || strings.Contains(f.Log, "decryption failed") {
							t.Errorf("bad record\n%s", tail(f.Log))
						}
						switch early++; {
						case f.Code == 0 && known[f.Digest]:
							whole, early = whole+1, early-1
						case c.whole || f.Mixed || !slices.Contains(endedEarly, f.Code):
							t.Errorf("exit status %d, %d bytes, sha256 %.12s\n%s", f.Code, f.Bytes, f.Digest, tail(f.Log))
						}
						mu.Unlock()
					}
				})
			}
			for i := range rounds {
				time.Sleep(300 * time.Millisecond)
				if err := c.replace(name, versions[i]); err != nil {
					t.Error(err)
				}
			}
			close(stop)
			wg.Wait()
			t.Logf("%d responses whole, %d ended early", whole, early)
			time.Sleep(revalidate)
			MustCurl(t, ns, Sum(versions[rounds-1]), "--cacert", s.Cert(), URL("https", IPv4, "f"))
			if c.whole && whole < clients {
				t.Errorf("only %d whole responses from %d clients", whole, clients)
			}
		})
	}
}

// revalidate is longer than the server may go on serving a file as it was without a look at the disk (250 ms).
const revalidate = 300 * time.Millisecond

// endedEarly are curl's exit statuses for a response that was cut off or refused, and 0 for a file that was
// shorter when it was opened.
// A bad record is a 56 as well, but curl names it.
var endedEarly = []int{0, 18, 22, 56}

func replaceByRename(name string, data []byte) error {
	next := filepath.Join(filepath.Dir(name), ".next")
	if err := os.WriteFile(next, data, 0o644); err != nil {
		return err
	}
	return os.Rename(next, name)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
