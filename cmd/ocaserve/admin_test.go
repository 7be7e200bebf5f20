package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ocaserve/tcpstack/trace"
)

// A relayServer is the program serving a folder over a relay, in this process and without privileges.
type relayServer struct {
	t    *testing.T
	port port
	end  func() int
}

// lines is an io.Writer whose first line can be waited for.
type lines struct {
	mu    sync.Mutex
	text  strings.Builder
	first chan struct{}
	once  sync.Once
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	if bytes.IndexByte(b, '\n') >= 0 {
		l.once.Do(func() { close(l.first) })
	}
	return len(b), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serveRelay starts a server with more arguments and waits until it serves.
func serveRelay(t *testing.T, dir string, args ...string) *relayServer {
	t.Helper()
	s := &relayServer{t: t, port: freePort(t)}
	ctx, cancel := context.WithCancel(t.Context())
	out, errs := &lines{first: make(chan struct{})}, &lines{first: make(chan struct{})}
	status := make(chan int, 1)
	go func() {
		status <- execute(ctx, append([]string{"serve", "--net", "relay", "--listen", "127.0.0.1", "--https", "off", "--http",
			s.port.String(), "--cache", "16MiB", "--shards", "2", "--drain-timeout", "0s", dir}, args...), out, errs)
	}()
	select {
	case <-out.first:
	case got := <-status:
		cancel()
		t.Fatalf("the server ended with %d: %s", got, errs)
	}
	var once sync.Once
	s.end = func() (got int) {
		once.Do(func() { cancel(); got = <-status })
		return got
	}
	t.Cleanup(func() { s.end() })
	return s
}

// hold opens a connection, asks for the file and reads a part of it, so that the rest waits in the stack.
func (s *relayServer) hold(name string, part int64) *http.Response {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/%s", s.port, name))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { r.Body.Close() })
	if _, err := io.CopyN(io.Discard, r.Body, part); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// say runs the program and returns what it prints; a failure is what it says on stderr, after its status.
func say(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if status := execute(t.Context(), args, &out, &errs); status != 0 {
		return fmt.Sprintf("status %d: %s", status, errs.String())
	}
	return out.String()
}

func wantIn(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("no %q in: %s", p, text)
		}
	}
}

func folder(t *testing.T) string {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 32<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestAdmin looks into a running server with everything there is.
func TestAdmin(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	dir := folder(t)
	record := filepath.Join(dir, "start.trace")
	wantIn(t, say(t, "ss"), "status 1", "no server of this user is running")
	s := serveRelay(t, dir, "--admin", "edge", "--trace", record, "--trace-share", "100%")
	s.hold("f", 1<<20)

	text := say(t, "ss", "sport", "=", ":"+s.port.String())
	if n := strings.Count(text, "ESTAB"); n != 1 || strings.Count(text, "\n") != 2 {
		t.Errorf("%d connections:\n%s", n, text)
	}
	wantIn(t, text, "State Recv-Q Send-Q", "198.18.0.2:"+s.port.String(), "127.0.0.1:")
	wantIn(t, say(t, "ss", "-i"), "cubic", "cwnd:", "bytes_sent:", "stack:rack", "limit:", "busy:")
	wantIn(t, say(t, "ss", "-tin"), "cwnd:")
	wantIn(t, say(t, "ss", "-tan"), "ESTAB")
	wantIn(t, say(t, "ss", "--json", "--server", strconv.Itoa(os.Getpid())), `"snd_cwnd":`, `"limits":{`, `"state":"ESTAB"`)
	wantIn(t, say(t, "ss", "-t", "time-wait", "-H"), "")
	if text := say(t, "ss", "-H", "sport = :1"); text != "" {
		t.Errorf("nobody is on port 1: %s", text)
	}

	wantIn(t, say(t, "ss", "--server", "other"), "status 2", `no server is called "other"`, "edge (pid ")
	wantIn(t, say(t, "ss", "foo"), "status 2", "write such as")
	wantIn(t, say(t, "ss", "-t", "foo"), "status 2", "unknown state", "time-wait")
	wantIn(t, say(t, "ss", "--server", filepath.Join(dir, "nowhere.sock")), "status 1", "does not exist")
	wantIn(t, say(t, "trace", "start", "-o", record+"2"), "status 1", "a trace is running already")
	if status := s.end(); status != 0 {
		t.Errorf("the server ended with %d", status)
	}
	wantIn(t, say(t, "ss"), "no server of this user is running")
	got, err := readTrace(record)
	if err != nil || len(got.Conns) != 1 || got.Conns[0].Stack != "rack" || got.Conns[0].Lost > 0 {
		t.Fatalf("%v, %+v", err, got)
	}
	events := got.Conns[0].Events
	if first, last := events[0], events[len(events)-1]; first.Kind != trace.KindOpen || last.Kind != trace.KindClose {
		t.Errorf("the record goes from %v to %v", first.Kind, last.Kind)
	}
	wantIn(t, say(t, "trace", "plot", record, "-o", record+".html"), "1 connection,", "open it in a browser")
	page, err := os.ReadFile(record + ".html")
	if err != nil {
		t.Fatal(err)
	}
	wantIn(t, string(page), "<!doctype html>", `"cc":"cubic"`)
	if bytes.Contains(page, []byte("http://")) || bytes.Contains(page, []byte("https://")) {
		t.Error("the page refers to something outside")
	}
	wantIn(t, say(t, "trace", "text", record), "# 1: 198.18.0.2:", " send 0+", " ack ")
	wantIn(t, say(t, "trace", "text", filepath.Join(dir, "f")), "status 1", "not a trace file")
}

// TestTraceStart records a connection that is there before, while it goes on.
func TestTraceStart(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	dir := folder(t)
	// More than the buffers of both ends and of the relay between them may have taken before the recording begins.
	if err := os.Truncate(filepath.Join(dir, "f"), 96<<20); err != nil {
		t.Fatal(err)
	}
	s := serveRelay(t, dir)
	held := s.hold("f", 1<<20)
	record := filepath.Join(dir, "t")
	ctx, cancel := context.WithCancel(t.Context())
	out, errs := &lines{first: make(chan struct{})}, &bytes.Buffer{}
	status := make(chan int, 1)
	go func() {
		status <- execute(ctx, []string{"trace", "start", "-o", record, "--conn", "sport = :" + s.port.String()}, out, errs)
	}()
	<-out.first // the server has begun
	if _, err := io.Copy(io.Discard, held.Body); err != nil {
		t.Fatal(err)
	}
	cancel()
	if got := <-status; got != 0 {
		t.Fatalf("status %d: %s", got, errs)
	}
	got, err := readTrace(record)
	if err != nil || len(got.Conns) != 1 {
		t.Fatalf("%v, %+v", err, got)
	}
	var sent uint32
	for _, e := range got.Conns[0].Events {
		if e.Kind == trace.KindSend {
			sent += e.Len
		}
	}
	if sent < 8<<20 {
		t.Errorf("%d bytes sent in the record", sent)
	}
	wantIn(t, out.String(), "recording to", "1 connection,")
}

// TestAdminSockets has several servers, one that was killed, and one that is in the way.
func TestAdminSockets(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("a-path-too-long-for-a-socket-address/", 4))
	t.Setenv("XDG_STATE_HOME", deep)
	run, err := runDir()
	if err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(run, "killed.sock")
	leaveSocket(t, stale)
	dir := folder(t)
	serveRelay(t, dir, "--admin", "one")
	serveRelay(t, dir, "--admin", "two")
	wantIn(t, say(t, "ss"), "status 2", "2 servers are running", "one (pid ", "two (pid ")
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("the killed server's socket is still there: %v", err)
	}
	wantIn(t, say(t, "ss", "--server", "two"), "State")
	wantIn(t, say(t, "serve", "--net", "relay", "--https", "off", "--http", freePort(t).String(), "--admin", "two", dir),
		"status 1", "--admin two", "another server answers there")
	again := filepath.Join(t.TempDir(), "s")
	leaveSocket(t, again)
	serveRelay(t, dir, "--admin", again)
	wantIn(t, say(t, "ss", "--server", again), "State")
	if info, err := os.Stat(again); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// leaveSocket makes a socket as a killed server leaves it.
func leaveSocket(t *testing.T, path string) {
	t.Helper()
	name, done, err := shortName(path)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

// TestAdminProtocol sends what no client of ours does.
func TestAdminProtocol(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	path := filepath.Join(t.TempDir(), "s")
	serveRelay(t, folder(t), "--admin", path)
	for request, want := range map[string]string{
		"\n":                                  `{"error":"a request is a line such as`,
		"GET / HTTP/1.1\r\n":                  `{"error":"a request is a line such as`,
		`{"verb":"fly"}` + "\n":               `{"error":"unknown verb \"fly\"; there are: `,
		`{"verb":"ss","args":{"x":1}}` + "\n": `{"error":"json: unknown field`,
		`{"verb":"ss","args":{"state":"x"}}` + "\n":     `{"error":"unknown state`,
		`{"verb":"trace","args":{"filter":"x"}}` + "\n": `{"error":"filter:`,
		`{"verb":"ss"}` + "\n":                          `{"end":true}`,
		strings.Repeat("x", 100_000):                    `{"error":"no request: EOF"}`,
	} {
		c, err := dialSocket(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(request)) // the server need not read all of it
		_ = c.CloseWrite()
		got, _ := io.ReadAll(c)
		if !strings.HasPrefix(string(got), want) || strings.Count(string(got), "\n") != 1 {
			t.Errorf("%.40q is answered %q, want %q", request, got, want)
		}
		c.Close()
	}
}
