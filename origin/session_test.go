package origin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unsafe"

	"ocaserve/tcpstack/stream"
)

// Requests in one go, split anywhere, or one byte at a time: the answers are those of each request alone, in
// order.
func TestPipeliningSplitAnywhere(t *testing.T) {
	r := newRig(t, someFiles)
	reqs := []string{
		get("/a.txt"), "HEAD /v/s1.m4s HTTP/1.1\r\nHost: h\r\n\r\n", get("/a.txt", "Range: bytes=-3"), get("/nope"), "\r\n" + get("/v/master.m3u8"),
	}
	all, want := strings.Join(reqs, ""), ""
	for _, req := range reqs {
		want += r.dial().roundTrip(req)
	}
	for i := range len(all) {
		p := r.dial()
		p.send(all[:i])
		p.send(all[i:])
		if got := p.take(); got != want {
			t.Fatalf("split at %d:\ngot  %q\nwant %q", i, got, want)
		}
		p.die()
	}
	p := r.dial()
	for i := range len(all) {
		p.send(all[i : i+1])
	}
	if got := p.take(); got != want {
		t.Errorf("byte by byte:\ngot  %q\nwant %q", got, want)
	}
	p = r.dial()
	for i := range len(all) { // as many runs, all there at once
		p.runs = append(p.runs, []byte(all[i:i+1]))
	}
	p.send("")
	if got := p.take(); got != want {
		t.Errorf("in runs of one byte:\ngot  %q\nwant %q", got, want)
	}
}

// A client that sends requests and reads no answers finds its window closed: its requests stay in the
// receive buffer, and the answers it has caused are bounded.
func TestBackPressure(t *testing.T) {
	r := newRig(t, someFiles)
	p := r.dial()
	p.lowat, p.limit = 32<<10, 0
	const n = 1000
	for range n {
		p.arrive([]byte(get("/v/s1.m4s")))
		r.settle()
	}
	if p.Readable() < (n-100)*len(get("/v/s1.m4s")) {
		t.Errorf("%d bytes of requests were read ahead", n*len(get("/v/s1.m4s"))-p.Readable())
	}
	if p.Unsent() > p.lowat+64<<10 {
		t.Errorf("%d bytes are queued, with room for %d", p.Unsent(), p.lowat)
	}
	p.limit = 1 << 40
	r.settle()
	if got := strings.Count(p.take(), "HTTP/1.1 200 OK\r\n"); got != n {
		t.Errorf("%d answers, want %d", got, n)
	}
}

// Requests for one byte here and there, by the hundred, hold no pages and little memory: not while nothing of
// their answers was sent, nor while none of it was acknowledged.
func TestPipelinedCrumbs(t *testing.T) {
	r := newRig(t, map[string]string{"f": strings.Repeat("0123456789abcdef", 1<<15)})
	p := r.dial()
	p.limit = 0
	const n = 100
	for i := range n {
		p.send(get("/f", fmt.Sprintf("Range: bytes=%d-%d", i*5000, i*5000)))
	}
	if pinned := r.srv.opts.Cache.Stats().Pinned; pinned != 0 {
		t.Errorf("%d pages are pinned for %d bytes", pinned, p.Unsent())
	}
	if p.Unsent() > 2*pipelined || r.sh.blocksOut > 50 {
		t.Errorf("%d bytes are queued, in %d blocks", p.Unsent(), r.sh.blocksOut)
	}
	p.limit = 1 << 40
	r.settle()
	got := p.take()
	for i := range n {
		head, rest, _ := strings.Cut(got, "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 206 ") || rest == "" || rest[0] != "0123456789abcdef"[i*5000%16] {
			t.Fatalf("answer %d: %.20q, %.20q", i, head, rest)
		}
		got = rest[1:]
	}
}

func TestMinimumRate(t *testing.T) {
	r := newRig(t, map[string]string{"f": strings.Repeat("x", 1<<20)})
	stalled, slow := r.dial(), r.dial()
	for _, p := range []*pipe{stalled, slow} {
		p.lowat, p.limit = 32<<10, 1
		p.send(get("/f"))
	}
	for range 5 {
		r.advance(59 * time.Second)
		slow.limit = 15360 // 256 bytes/s over a window of 60 s
		r.settle()
		r.advance(time.Second)
	}
	if !stalled.abort || slow.abort {
		t.Errorf("stalled cut off: %v, slow cut off: %v", stalled.abort, slow.abort)
	}
	if st := r.srv.Stats(); st.Slow != 1 || st.Aborted != 1 {
		t.Errorf("Slow = %d, Aborted = %d", st.Slow, st.Aborted)
	}
}

func TestHalfClosedPeerGetsItsAnswer(t *testing.T) {
	r := newRig(t, someFiles)
	p := r.dial()
	p.fin = true
	if got := p.roundTrip(get("/a.txt")); !strings.HasSuffix(got, "0123456789") || !strings.Contains(got, closing) {
		t.Errorf("got %q", got)
	}
	if !p.shut {
		t.Error("the connection was not closed after the answer")
	}
	q := r.dial()
	q.send("GET / HT")
	q.eof()
	if got := q.take(); got != "" || !q.shut {
		t.Errorf("half a head and EOF: sent %q, closed: %v", got, q.shut)
	}
}

func TestLinger(t *testing.T) {
	r := newRig(t, map[string]string{"f": strings.Repeat("x", 100<<10)})
	req := get("/f", "Connection: close")

	p := r.dial()
	p.roundTrip(req)
	p.send("whatever")
	if p.Readable() != 0 || p.close || p.abort {
		t.Errorf("lingering: %d bytes unread, close %v, abort %v", p.Readable(), p.close, p.abort)
	}
	r.advance(5 * time.Second)
	if !p.close || p.abort {
		t.Errorf("after the linger time: close %v, abort %v", p.close, p.abort)
	}

	slow := r.dial()
	slow.limit = 1
	slow.send(req)
	for range 4 {
		slow.limit = 1 // one more piece leaves
		r.settle()
		r.advance(5 * time.Second)
	}
	if slow.abort {
		t.Error("cut off while still taking the response")
	}

	stalled := r.dial()
	stalled.limit = 1
	stalled.send(req)
	r.advance(2 * time.Minute)
	if !stalled.abort {
		t.Error("a peer that takes nothing is waited for without end")
	}

	flood := r.dial()
	flood.roundTrip(req)
	for range 20 {
		if !flood.gone {
			flood.send(strings.Repeat("x", 64<<10))
		}
	}
	if !flood.abort {
		t.Error("a peer that floods us after the last response is not cut off")
	}
}

// The whole response has left, and is still on a slow path: cutting the connection would lose its end.
func TestLingerWaitsForWhatIsInFlight(t *testing.T) {
	r := newRig(t, map[string]string{"f": strings.Repeat("x", 100<<10)})
	p, dead := r.dial(), r.dial()
	for _, p := range []*pipe{p, dead} {
		p.hold = true
		p.send(get("/f", "Connection: close"))
	}
	for p.held > 0 {
		r.advance(8 * time.Second) // retransmissions may take longer than Linger
		p.held = max(0, p.held-5000)
		if p.abort {
			t.Fatalf("cut off with %d bytes on their way", p.held)
		}
	}
	r.advance(10 * time.Second)
	if !p.close || p.abort {
		t.Errorf("after the last acknowledgement: close %v, abort %v", p.close, p.abort)
	}
	if !dead.abort {
		t.Error("a peer that acknowledges nothing is waited for without end")
	}
}

func TestDrain(t *testing.T) {
	r := newRig(t, map[string]string{"f": strings.Repeat("x", 1<<20)})
	idle, running, fresh := r.dial(), r.dial(), r.dial()
	idle.roundTrip(get("/f", "Range: bytes=0-0"))
	running.lowat, running.limit = 32<<10, 1
	running.send(get("/f") + get("/f"))
	fresh.send("GET /f HTTP/1.1\r\nHo")

	done := make(chan error, 1)
	go func() { done <- r.srv.Drain(context.Background()) }()
	(<-r.posts)(r.now)
	if !idle.shut || running.shut || fresh.shut {
		t.Errorf("closed at once: idle %v, running %v, half a head %v", idle.shut, running.shut, fresh.shut)
	}
	running.limit = 1 << 40
	r.settle()
	if got := running.take(); strings.Count(got, "HTTP/1.1 ") != 1 || !running.shut {
		t.Errorf("%d answers, closed: %v", strings.Count(got, "HTTP/1.1 "), running.shut)
	}
	fresh.send("st: h\r\nRange: bytes=0-0\r\n\r\n")
	if got := fresh.take(); !strings.Contains(got, closing) || !fresh.shut {
		t.Errorf("request finished while draining: %q", got)
	}
	for _, p := range r.conns {
		p.die()
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The page arrives when nobody is waiting any more.
func TestClosedWhileWaiting(t *testing.T) {
	r := newRig(t, map[string]string{"f": strings.Repeat("x", 64<<10)})
	p := r.dial()
	p.arrive([]byte(get("/f")))
	for p.s.state == stateLook { // past the catalogue, to the disk
		s := <-r.wakes
		s.resumed(r.now)
	}
	if !p.s.waiting {
		t.Fatal("the page was there at once")
	}
	p.die()
	s := <-r.wakes
	s.resumed(r.now)
	if s.state != stateOver {
		t.Errorf("state %v", s.state)
	}
}

// Between requests a session holds no buffer, and is small itself.
func TestIdleHoldsNothing(t *testing.T) {
	r := newRig(t, someFiles)
	p := r.dial()
	p.roundTrip(get("/v/s1.m4s"))
	if r.sh.buffers.out != 0 || r.sh.blocksOut != 0 || p.s.in.b != nil || p.s.res != nil {
		t.Errorf("idle: %d buffers, %d blocks", r.sh.buffers.out, r.sh.blocksOut)
	}
	if size := unsafe.Sizeof(session{}); size > 320 {
		t.Errorf("a session takes %d bytes", size)
	}
}

func TestCombinedLog(t *testing.T) {
	var l *Log
	m := new(memLog)
	r := newRig(t, someFiles, withLog(&l, m, LogCombined))
	p := r.dial()
	p.send(get("/a.txt", "Referer: http://x/\"><\\", "User-Agent: a\tb\xff"))
	p.send(get("/a.txt?q=1", "Range: bytes=0-3"))
	p.send("GET / HTTP/1.1\r\nX\r\n\r\n")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	const at = ` - - [04/Mar/2026:05:06:07 +0000] `
	want := `192.0.2.7` + at + `"GET /a.txt HTTP/1.1" 200 10 "http://x/\"><\\" "a\x09b\xFF"` + "\n" +
		`192.0.2.7` + at + `"GET /a.txt?q=1 HTTP/1.1" 206 4 "-" "-"` + "\n" +
		`192.0.2.7` + at + `"GET / HTTP/1.1" 400 16 "-" "-"` + "\n"
	if got := m.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestJSONLog(t *testing.T) {
	var l *Log
	m := new(memLog)
	r := newRig(t, map[string]string{"f": strings.Repeat("x", 1<<20)}, withLog(&l, m, LogJSON))
	p := r.dial()
	p.s.info = &tlsInfo{"TLS 1.3", "TLS_AES_128_GCM_SHA256", "example.org"}
	p.lowat, p.limit = 32<<10, 40<<10
	p.send(get("/f", "User-Agent: \"},{\\ \xe4\xb8\xad\xff", "Range: bytes=0-"))
	r.advance(1500 * time.Millisecond)
	p.die()
	l.Close()
	var got map[string]any
	if err := json.Unmarshal(m.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, m.Bytes())
	}
	sent := got["bytes"].(float64)
	delete(got, "bytes")
	want := map[string]any{
		"time": "2026-03-04T05:06:07.000Z", "client": "192.0.2.7:4711", "method": "GET", "target": "/f", "host": "h",
		"range": "bytes=0-", "user_agent": "\"},{\\ \u4e2d\ufffd", "http": "1.1", "status": 206.0, "seconds": 1.5, "aborted": true,
		"tls": "TLS 1.3", "cipher": "TLS_AES_128_GCM_SHA256", "sni": "example.org",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if sent <= 0 || sent >= 1<<20 {
		t.Errorf("%v bytes logged for an aborted response", sent)
	}
}

// slowWriter lets one write pass for each token.
type slowWriter struct {
	memLog
	gate chan struct{}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	<-w.gate
	return w.memLog.Write(p)
}

func TestLogNeverWaits(t *testing.T) {
	w := &slowWriter{gate: make(chan struct{})}
	l, err := NewLog(LogCombined, func() (io.WriteCloser, error) { return w, nil })
	if err != nil {
		t.Fatal(err)
	}
	const n = 2*logQueue + 1000
	taken := 0
	for range n {
		if l.add(new(entry)) {
			taken++
		}
	}
	if l.Dropped() == 0 || taken+int(l.Dropped()) != n {
		t.Errorf("%d taken, %d dropped of %d", taken, l.Dropped(), n)
	}
	close(w.gate)
	l.Close()
	if lines := bytes.Count(w.Bytes(), []byte("\n")); lines != taken {
		t.Errorf("%d lines written of %d taken", lines, taken)
	}
}

func TestLogReopen(t *testing.T) {
	var files []*memLog
	l, err := NewLog(LogCombined, func() (io.WriteCloser, error) {
		files = append(files, new(memLog))
		return files[len(files)-1], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.add(new(entry))
	l.Close()
	if len(files) != 2 || files[0].Len() != 0 || files[1].Len() == 0 {
		t.Error("the line did not go to the reopened log")
	}
}

// lean delivers requests without allocating, so that what a request costs the session can be counted.
type lean struct {
	*pipe
	req  []byte
	base [1][]byte
}

func (l *lean) once() {
	l.base[0] = l.req
	l.runs = l.base[:]
	l.s.readable(l.r.now)
	for l.transmit() {
		l.out = l.out[:0]
	}
}

func leanGet(t testing.TB, fields ...string) *lean {
	r := newRig(t, map[string]string{"f": strings.Repeat("x", 512<<10)})
	p := r.dial()
	for range 3 {
		p.roundTrip(get("/f"))
	}
	p.spare = make([]stream.Span, 0, 256)
	return &lean{pipe: p, req: []byte(get("/f", fields...))}
}

// All that a hit allocates is the cache's file, whatever the size of the response; without a body, nothing.
func TestAllocationsPerRequest(t *testing.T) {
	for field, most := range map[string]float64{
		"A: b": 1, "Range: bytes=100-200": 1, "If-None-Match: *": 0, "Range: bytes=0-1,5-6": 1,
	} {
		l := leanGet(t, field)
		l.once()
		if n := testing.AllocsPerRun(200, l.once); n > most {
			t.Errorf("%s: %v allocations per request, want at most %v", field, n, most)
		}
	}
}

func BenchmarkRequestHit(b *testing.B) {
	l := leanGet(b, "Range: bytes=0-65535")
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	for b.Loop() {
		l.once()
	}
}

func BenchmarkParseHead(b *testing.B) {
	head := []byte(get("/v/1080p/segment-00042.m4s", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)", "Accept: */*",
		"Accept-Encoding: identity", "Range: bytes=0-1048575", "Origin: https://player.example", "Connection: keep-alive"))
	req := newRequest()
	b.SetBytes(int64(len(head)))
	b.ReportAllocs()
	for b.Loop() {
		var h headScan
		if n, _ := h.scan(head); n == 0 || !req.parse(head, &h) {
			b.Fatal("refused")
		}
	}
}
