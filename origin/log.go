package origin

import (
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"ocaserve/tcpstack/mono"
)

// LogFormat says how a line of the access log is written.
type LogFormat uint8

const (
	// LogCombined is the combined format of Apache and nginx.
	LogCombined LogFormat = iota
	// LogJSON is one JSON object per line, with TLS and timing.
	LogJSON
)

const (
	logQueue = 4096     // entries between the shards and the writer; beyond, lines are dropped and counted
	logField = 1 << 10  // bytes kept of a field that the client chose
	logFlush = 32 << 10 // bytes gathered before a write, if there is more to come
)

// A Log writes the access log, off the shards: they fill in an entry and hand it over without waiting.
type Log struct {
	format LogFormat
	queue  chan *entry
	free   sync.Pool
	drops  atomic.Uint64
	done   chan struct{}
	mu     sync.Mutex // serialises writes with Reopen
	w      io.WriteCloser
	open   func() (io.WriteCloser, error)
	err    error
}

// An entry is one line to be. Its text lies in buf, which it keeps for the next use.
type entry struct {
	at                             time.Time // wall time of the request
	duration                       time.Duration
	client                         netip.AddrPort
	method, target, referer, agent []byte // as the client sent them, cut to logField
	host, rangeField               []byte
	minor                          uint8
	buf                            []byte
	status                         int
	bytes                          int64 // of the body, handed to the transport
	aborted                        bool
	tls                            *tlsInfo
}

// NewLog starts a log that writes to what open returns; Reopen calls it again. Close ends it.
func NewLog(format LogFormat, open func() (io.WriteCloser, error)) (*Log, error) {
	w, err := open()
	if err != nil {
		return nil, err
	}
	l := &Log{format: format, queue: make(chan *entry, logQueue), done: make(chan struct{}), w: w, open: open}
	l.free.New = func() any { return new(entry) }
	go l.run()
	return l, nil
}

// Dropped is the number of lines lost because the writer could not keep up.
func (l *Log) Dropped() uint64 { return l.drops.Load() }

// Reopen opens the log again and then closes the old one: what a log rotation asks for with SIGHUP. If it
// fails, writing goes on where it was.
func (l *Log) Reopen() error {
	w, err := l.open()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.w
	l.w = w
	return old.Close()
}

// Close writes what is queued and closes the log. No server may use it any more. The error is the first one
// that a write met.
func (l *Log) Close() error {
	close(l.queue)
	<-l.done
	err := l.w.Close()
	if l.err != nil {
		return l.err
	}
	return err
}

// run is the writer: it gathers lines as long as there are more, and writes them in one go.
func (l *Log) run() {
	defer close(l.done)
	var out []byte
	for e := range l.queue {
		out = l.appendEntry(out, e)
		l.free.Put(e)
		if len(l.queue) == 0 || len(out) >= logFlush {
			l.write(out)
			out = out[:0]
		}
	}
}

func (l *Log) write(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.w.Write(b); err != nil && l.err == nil {
		l.err = err
	}
}

func (l *Log) appendEntry(b []byte, e *entry) []byte {
	if l.format == LogJSON {
		return appendJSON(b, e)
	}
	return appendCombined(b, e)
}

// add hands an entry over; it never waits. It reports whether there was room.
func (l *Log) add(e *entry) bool {
	select {
	case l.queue <- e:
		return true
	default:
		l.drops.Add(1)
		l.free.Put(e)
		return false
	}
}

// keep copies what the client sent into the entry's memory.
func (e *entry) keep(p []byte) []byte {
	at := len(e.buf)
	e.buf = append(e.buf, p[:min(len(p), logField)]...)
	return e.buf[at:len(e.buf):len(e.buf)]
}

// newEntry starts the entry of the response that is being made.
func (s *session) newEntry(now mono.Time) *entry {
	l := s.sh.srv.opts.Log
	if l == nil {
		return nil
	}
	e := l.free.Get().(*entry)
	*e = entry{buf: e.buf[:0], at: s.sh.wall(now), client: s.c.RemoteAddr(), tls: s.info, minor: 1}
	s.res.log = e
	return e
}

// logRequest copies what the log says about the request, which is about to be forgotten.
func (s *session) logRequest(now mono.Time, req *request) {
	e := s.newEntry(now)
	if e == nil {
		return
	}
	e.method, e.target, e.minor = e.keep(req.head.Method()), e.keep(req.head.RequestURI()), req.minor
	e.referer, e.agent = e.keep(req.field("Referer")), e.keep(req.field("User-Agent"))
	e.host, e.rangeField = e.keep(req.field("Host")), e.keep(req.field("Range"))
}

// logRefused keeps the first line of a head that could not be parsed, in place of its target.
func (s *session) logRefused(now mono.Time) {
	e := s.newEntry(now)
	if e == nil {
		return
	}
	e.target = e.keep(firstLine(s.in.bytes()))
}

// logResponse completes the entry and hands it over.
func (s *session) logResponse(now mono.Time, r *response, aborted bool) {
	e := r.log
	if e == nil {
		return
	}
	r.log = nil
	e.status, e.aborted = r.status, aborted
	e.bytes = max(r.xfer.Sent()-r.head, 0)
	e.duration = now.Sub(s.started)
	if !s.sh.srv.opts.Log.add(e) {
		s.sh.stats.logDropped.Add(1)
	}
}
