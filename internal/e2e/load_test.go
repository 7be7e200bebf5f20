package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
)

// TestWrk keeps 256 connections busy; wrk counts every connect, read, write and time-out that failed.
func TestWrk(t *testing.T) {
	Need(t, "wrk")
	root := Root(t)
	WriteRandom(t, filepath.Join(root, "f"), 64<<10, 1)
	ns := NewNamespace(t)
	Start(t, ns, "serve", "--net", "tun", root)
	conns, duration, limit := "-c256", "-d3s", 20*time.Second
	if Full() {
		duration, limit = "-d30s", time.Minute
	}
	if buildFlags != nil {
		conns = "-c16" // handshakes under the race detector take tens of milliseconds each
	}
	out := ns.MustRun(t, limit, "wrk", "-t2", conns, duration, URL("https", IPv4, "f"))
	t.Log("\n" + out)
	if strings.Contains(out, "Socket errors") || strings.Contains(out, "Non-2xx") {
		t.Errorf("wrk reports errors")
	}
	if !regexp.MustCompile(`[1-9]\d* requests in`).MatchString(out) {
		t.Errorf("wrk reports no requests")
	}
}

// TestHLS generates a title and plays it to the end with ffmpeg.
func TestHLS(t *testing.T) {
	Need(t, "ffmpeg")
	ns := NewNamespace(t)
	s := Start(t, ns, "demo", "--net", "tun")
	match := regexp.MustCompile(`https://\S+\.m3u8`).FindString(s.Banner)
	if match == "" {
		t.Fatalf("demo prints no playlist:\n%s", s.Banner)
	}
	out := ns.MustRun(t, time.Minute, "ffmpeg", "-nostdin", "-v", "error", "-stats", "-xerror",
		"-tls_verify", "0", "-i", match, "-map", "0:v:0", "-c", "copy", "-f", "null", "-")
	if !regexp.MustCompile(`frame=\s*[1-9]\d+`).MatchString(out) {
		t.Errorf("ffmpeg played no frames:\n%s", tail(out))
	}
	if strings.Contains(strings.ToLower(out), "error") {
		t.Errorf("ffmpeg complains:\n%s", tail(out))
	}
}

// TestIdle holds many HTTPS connections open after one request each: at most 12 KiB of resident memory
// each, and no goroutine each.
func TestIdle(t *testing.T) {
	const perConn = 12 << 10
	// The collector lets the heap grow in proportion to the tables of a cache sized to the machine: some MiB once,
	// lost among 10,000 connections but not among fewer.
	conns, flags := 2000, []string{"--cache", "256MiB"}
	if Full() {
		conns, flags = 10_000, nil
	}
	if buildFlags != nil {
		conns = 200
	}
	ns := NewNamespace(t)
	s := serveText(t, ns, flags...)
	enter(t, ns)
	pool := x509.NewCertPool()
	if pem, err := os.ReadFile(s.Cert()); err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("certificate: %v", err)
	}
	config := &tls.Config{RootCAs: pool, ServerName: IPv4}
	idle := func(n int) {
		for range n {
			c, err := net.Dial("tcp", IPv4+":443")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			ask(t, tls.Client(c, config))
		}
	}
	idle(100) // what the first connections cost once: pools, caches, code
	time.Sleep(time.Second)
	before := s.RSS(t)
	idle(conns)
	time.Sleep(2 * time.Second)
	each := (s.RSS(t) - before) / int64(conns)
	t.Logf("%d idle HTTPS connections: %d bytes of resident memory each", conns, each)
	if each > perConn && buildFlags == nil { // the race detector's shadow memory is no cost of ours
		t.Errorf("%d bytes of resident memory per idle connection, the bar is %d", each, perConn)
	}
	_ = s.Signal(syscall.SIGQUIT) // the runtime prints every goroutine and exits
	s.Wait(20 * time.Second)
	if n := strings.Count(s.Stderr(), "\ngoroutine "); n == 0 || n > 200 {
		t.Errorf("%d goroutines hold %d connections", n, conns)
	}
}

// ask sends one request and reads its response, so that the connection has lived before it idles.
func ask(t testing.TB, c *tls.Conn) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprint(c, get); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for buf := make([]byte, 1024); !strings.Contains(string(got), "its end"); {
		n, err := c.Read(buf)
		if got = append(got, buf[:n]...); err != nil {
			t.Fatalf("%v after %q", err, got)
		}
	}
}

// enter moves this goroutine into the namespace until the test ends; sockets it makes belong there.
func enter(t testing.TB, ns *Namespace) {
	t.Helper()
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	there, err := netns.GetFromName(ns.name)
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	if err := netns.Set(there); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer home.Close()
		if err := netns.Set(home); err == nil {
			runtime.UnlockOSThread()
		}
	})
}
