package origin

import (
	"bytes"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ocaserve/cache"
	"ocaserve/content"
	"ocaserve/ktls"
	"ocaserve/pacing"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// The tests speak to a session through a connection in memory, byte by byte and event by event:
//
//	r := newRig(t, files)     a server over a folder with these files
//	c := r.dial()             a connection
//	c.send("GET ...")         bytes arrive
//	c.take()                  what the server has sent since
//	c.room(n)                 the send queue takes n bytes more
//	r.advance(d)              time passes; timers fire
//
// Work that leaves the shard (disk, catalogue) is waited for by settle, which blocks until each session that
// waits has been woken.
type rig struct {
	t     testing.TB
	srv   *Server
	sh    *shard
	now   mono.Time
	wakes chan *session
	posts chan func(mono.Time)
	conns []*pipe
	dir   string
}

// epoch is the wall time at which every test begins.
var epoch = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

const epochDate = "Wed, 04 Mar 2026 05:06:07 GMT"

// fileTime is the modification time of every file of a rig.
var fileTime = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

const fileDate = "Thu, 29 Feb 2024 12:00:00 GMT"

// memLog is an access log in memory.
type memLog struct {
	mu sync.Mutex
	bytes.Buffer
}

func (m *memLog) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Buffer.Write(p)
}
func (m *memLog) Close() error { return nil }

func newRig(t testing.TB, files map[string]string, change ...func(*Options)) *rig {
	dir := t.TempDir()
	for name, data := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			os.MkdirAll(p, 0o755)
			continue
		}
		if err := os.WriteFile(p, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		os.Chtimes(p, fileTime, fileTime)
	}
	cat, err := content.Open(dir, content.Options{Revalidate: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := cache.New(cache.Config{Bytes: 4 << 20, PageSize: 4096, Readers: 2})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: dir, now: 1 << 40, wakes: make(chan *session, 64), posts: make(chan func(mono.Time), 8)}
	start := r.now
	opts := Options{
		Catalogue: cat, Cache: pages, Listing: true,
		Wall: func() time.Time { return epoch.Add(r.now.Sub(start)) },
	}
	for _, f := range change {
		f(&opts)
	}
	if r.srv, err = New(opts); err != nil {
		t.Fatal(err)
	}
	r.srv.boundaryKey = [2]uint64{0x0123456789abcdef, 0}
	r.sh = r.srv.newShard(func(s *session) { r.wakes <- s }, func(f func(mono.Time)) { r.posts <- f })
	r.srv.shards[r] = r.sh
	t.Cleanup(func() {
		r.checkHolds()
		cat.Close()
		pages.Close()
	})
	return r
}

// withLog gives the server a log in memory; r.lines closes it and returns its lines.
func withLog(l **Log, m *memLog, format LogFormat) func(*Options) {
	return func(o *Options) {
		*l, _ = NewLog(format, func() (io.WriteCloser, error) { return m, nil })
		o.Log = *l
	}
}

// path is where a file of the rig lies.
func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// checkHolds ends every connection and looks for what was not given back.
func (r *rig) checkHolds() {
	for _, p := range r.conns {
		if !p.gone {
			p.die()
		}
	}
	if r.sh.buffers.out != 0 || r.sh.blocksOut != 0 || r.sh.sessions != nil {
		r.t.Errorf("left over: %d buffers, %d blocks, sessions %v", r.sh.buffers.out, r.sh.blocksOut, r.sh.sessions)
	}
	if n := r.srv.opts.Cache.Stats().Pinned; n != 0 {
		r.t.Errorf("left over: %d pinned pages", n)
	}
	if n := r.srv.open.Load(); n != 0 {
		r.t.Errorf("left over: %d open connections", n)
	}
}

// pipe is the connection in memory. It behaves as *tcpstack.Conn promises to.
type pipe struct {
	r     *rig
	s     *session
	runs  [][]byte // received, run by run
	fin   bool     // the peer has closed
	out   []byte   // transmitted and not yet taken by the test
	wait  []stream.Span
	limit int64 // bytes that may be transmitted before the test asks for more
	lowat int64
	lower int64 // SetNotsentLowat, if it is less
	held  int64 // bytes transmitted and not acknowledged, if hold
	hold  bool  // acknowledgements are late: the test takes them off held
	want  bool  // Room has said 0
	shut  bool  // CloseWrite
	gone  bool
	abort bool
	close bool
	timer mono.Time

	book  ledger.Book
	paces []pacing.Range // with the offsets at which they were begun and ended
	wire  int64          // bytes appended

	gather stream.Gather
	spare  []stream.Span
}

func (r *rig) dial() *pipe { return r.dialTLS(nil, nil, nil) }

func (r *rig) dialTLS(f *ktls.Framer, o *ktls.Opener, info *tlsInfo) *pipe {
	p := &pipe{r: r, limit: 1 << 40, lowat: 256 << 10, lower: 256 << 10}
	p.gather.Init(make([]byte, 1<<20), 64)
	r.conns = append(r.conns, p)
	r.srv.opened(1)
	p.s = r.sh.newSession(r.now, p, f, o, info)
	p.s.arm(r.now)
	return p
}

func (p *pipe) Peek() []byte {
	if len(p.runs) == 0 {
		return nil
	}
	return p.runs[0]
}

func (p *pipe) Read(b []byte) int {
	n := 0
	for n < len(b) && len(p.runs) > 0 {
		m := copy(b[n:], p.runs[0])
		n += m
		p.Discard(m)
	}
	return n
}

func (p *pipe) Discard(n int) {
	for n > 0 {
		m := min(n, len(p.runs[0]))
		n -= m
		if p.runs[0] = p.runs[0][m:]; len(p.runs[0]) == 0 {
			p.runs = p.runs[1:]
		}
	}
}

func (p *pipe) Readable() int {
	n := 0
	for _, b := range p.runs {
		n += len(b)
	}
	return n
}

func (p *pipe) EOF() bool { return p.fin && len(p.runs) == 0 }

func (p *pipe) Append(s stream.Span) {
	if p.shut || p.gone || s.Len() == 0 {
		s.Release()
		return
	}
	p.wire += int64(s.Len())
	if len(p.wait) == 0 {
		p.wait = p.spare[:0]
	}
	p.wait = append(p.wait, s)
	if len(p.wait) == 1 {
		p.spare = p.wait // its memory is used again when the queue has run empty
	}
}

func (p *pipe) PaceRange(r pacing.Range) bool {
	r.From, r.To = r.From+p.wire, r.To+p.wire
	p.paces = append(p.paces, r)
	return true
}

func (p *pipe) EndPace() { p.paces[len(p.paces)-1].To = p.wire }

func (p *pipe) Room() int64 {
	if room := p.mark() - p.Unsent(); room > 0 {
		return room
	}
	p.want = true
	return 0
}

func (p *pipe) SetNotsentLowat(n int64) { p.lower = n }

func (p *pipe) mark() int64 { return min(p.lowat, p.lower) }

func (p *pipe) Unsent() (n int64) {
	for _, s := range p.wait {
		n += int64(s.Len())
	}
	return n
}

func (p *pipe) Book() *ledger.Book         { return &p.book }
func (p *pipe) MSS() int                   { return 1448 }
func (p *pipe) MaxBurst() int              { return 44 * 1448 }
func (p *pipe) Queued() int64              { return p.Unsent() + p.held }
func (p *pipe) CloseWrite()                { p.shut = true }
func (p *pipe) Close()                     { p.close = true }
func (p *pipe) Abort()                     { p.abort = true; p.die() }
func (p *pipe) SetTimer(at mono.Time)      { p.timer = at }
func (p *pipe) RemoteAddr() netip.AddrPort { return netip.MustParseAddrPort("192.0.2.7:4711") }

// die is what a RST does.
func (p *pipe) die() {
	if p.gone {
		return
	}
	p.gone = true
	for _, s := range p.wait {
		s.Release()
	}
	p.wait = nil
	p.s.closed(p.r.now)
}

// transmit moves whole spans to out while the limit lasts, and reports Writable as TCP would.
func (p *pipe) transmit() (moved bool) {
	for len(p.wait) > 0 && p.limit > 0 {
		s := p.wait[0]
		p.wait = p.wait[1:]
		p.limit -= int64(s.Len())
		if p.hold {
			p.held += int64(s.Len())
		}
		p.gather.Reset()
		p.gather.Book = &p.book
		s.Gather(&p.gather, 0, s.Len())
		p.book.Add(ledger.Sent, s.Len())
		for _, b := range p.gather.Pieces() {
			p.out = append(p.out, b...)
		}
		s.Release()
		moved = true
	}
	if p.want && p.Unsent() < p.mark()/2 && !p.gone {
		p.want = false
		p.s.writable(p.r.now)
		moved = true
	}
	return moved
}

// settle runs until nothing can happen any more without a new event.
func (r *rig) settle() {
	for again := true; again; {
		again = false
		for _, p := range r.conns {
			again = p.transmit() || again
		}
		for _, p := range r.conns {
			if !again && p.s.waiting && p.s.state != stateOver {
				s := <-r.wakes
				s.resumed(r.now)
				again = true
			}
		}
	}
}

// arrive delivers bytes without settling.
func (p *pipe) arrive(b []byte) {
	if len(b) > 0 {
		p.runs = append(p.runs, bytes.Clone(b))
	}
	p.s.readable(p.r.now)
}

func (p *pipe) send(s string) {
	p.arrive([]byte(s))
	p.r.settle()
}

// eof is the peer's FIN.
func (p *pipe) eof() {
	p.fin = true
	p.s.readable(p.r.now)
	p.r.settle()
}

// take returns what the server has sent since the last call.
func (p *pipe) take() string {
	out := string(p.out)
	p.out = nil
	return out
}

// roundTrip sends a request and returns the answer.
func (p *pipe) roundTrip(req string) string {
	p.send(req)
	return p.take()
}

// advance lets time pass, firing timers when they are due.
func (r *rig) advance(d time.Duration) {
	end := r.now.Add(d)
	for {
		var next *pipe
		for _, p := range r.conns {
			if !p.gone && p.timer != 0 && p.timer <= end && (next == nil || p.timer < next.timer) {
				next = p
			}
		}
		if next == nil {
			break
		}
		r.now, next.timer = max(r.now, next.timer), 0
		next.s.timer(r.now)
		r.settle()
	}
	r.now = end
}
