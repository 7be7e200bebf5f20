package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// counters are what `ocaserve link --json` writes of each direction.
type counters struct {
	Packets, Delivered, Lost, Reordered, Duplicated, Refused, Held, Bad uint64
	QueueDrops                                                          uint64 `json:"queue_drops"`
	Policed                                                             uint64
}

// A joined link is a running `ocaserve link`.
type joined struct {
	report string
	end    func() // stops it, once
}

// join links two namespaces and waits until the link is up.
func join(t *testing.T, a, b *Namespace, args ...string) *joined {
	t.Helper()
	l := &joined{report: filepath.Join(t.TempDir(), "link.json")}
	ctx, cancel := context.WithCancel(context.Background())
	line := append([]string{"link", "--a", a.name + ":left,10.9.0.1/24", "--b", b.name + ":right,10.9.0.2/24", "--json", l.report}, args...)
	cmd := exec.CommandContext(ctx, Binary(t), line...) // it enters both by itself
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	l.end = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := cmd.Wait(); exitCode(err) > 0 {
			t.Errorf("link %v: %v\n%s", args, err, stderr.String())
		}
	}
	t.Cleanup(l.end)
	if lines := bufio.NewScanner(stdout); !lines.Scan() || !strings.HasPrefix(lines.Text(), "linking") {
		l.end()
		t.Fatalf("link %v does not say that it links: %q\n%s", args, lines.Text(), stderr.String())
	}
	return l
}

// counters ends the link and reads its books.
func (l *joined) counters(t *testing.T) (ab, ba counters) {
	t.Helper()
	l.end()
	data, err := os.ReadFile(l.report)
	var r struct{ AB, BA counters }
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []counters{r.AB, r.BA} {
		if c.Packets+c.Duplicated != c.Delivered+c.Lost+c.QueueDrops+c.Policed+c.Held || c.Bad > 0 || c.Refused > 0 {
			t.Errorf("the books do not balance: %+v", c)
		}
	}
	return r.AB, r.BA
}

// TestLink joins two kernels by the real command, over TUNs and over TAPs, and moves bytes through a path
// that loses, reorders and duplicates: every byte arrives, the connection takes at least its round trips, and
// the link's books show what it did.
func TestLink(t *testing.T) {
	Need(t, "curl", "ip")
	for _, kind := range []string{"tun", "tap"} {
		t.Run(kind, func(t *testing.T) {
			client, server := NewNamespace(t), NewNamespace(t)
			args := []string{"--both", "rate=200Mbps,delay=10ms,loss=0.5%,reorder=1%,dup=1%", "--seed", "5"}
			if kind == "tap" {
				args = append(args, "--tap")
			}
			l := join(t, client, server, args...)
			root := Root(t)
			const size = 2<<20 + 99
			sum := WriteRandom(t, filepath.Join(root, "f"), size, 7)
			s := Start(t, server, "serve", "--net", "relay", "--listen", "10.9.0.2", "--http", "80", "--https", "off", root)
			_ = s
			f := MustCurl(t, client, sum, "-w", "%{stderr}connected after %{time_connect} s\n", URL("http", "10.9.0.2", "f"))
			var connect float64
			m := regexp.MustCompile(`connected after ([0-9.]+) s`).FindStringSubmatch(f.Log)
			if m == nil {
				t.Fatalf("curl does not say when it was connected:\n%s", tail(f.Log))
			}
			fmt.Sscan(m[1], &connect)
			// Not a timed assertion: no packet may come before it is due.
			if rtt := 20 * time.Millisecond; connect < rtt.Seconds() {
				t.Errorf("connected after %v s, but a round trip takes %v", connect, rtt)
			}
			ab, ba := l.counters(t)
			if ba.Packets < size/1460 || ab.Packets < 100 || ba.Lost == 0 || ba.Reordered == 0 || ba.Duplicated == 0 {
				t.Errorf("counters a->b %+v, b->a %+v", ab, ba)
			}
		})
	}
}

// TestLinkRefuses what it cannot join, with the reason, and leaves nothing behind.
func TestLinkRefuses(t *testing.T) {
	ns := NewNamespace(t)
	for _, tt := range []struct{ b, want string }{
		{"no-such-namespace:x", "ip netns list"},
		{ns.name + ":lo", "lo"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		out, err := ns.Command(ctx, Binary(t), "link", "--a", ns.name+":tun7", "--b", tt.b).CombinedOutput()
		cancel()
		if exitCode(err) != 1 || !strings.Contains(string(out), tt.want) {
			t.Errorf("--b %s: exit status %d, %s", tt.b, exitCode(err), out)
		}
		if links := ns.MustRun(t, 10*time.Second, "ip", "-o", "link"); strings.Contains(links, "tun7") {
			t.Errorf("left behind:\n%s", links)
		}
	}
}
