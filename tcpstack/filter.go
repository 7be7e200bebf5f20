package tcpstack

import (
	"bytes"
	"time"

	"ocaserve/tcpstack/mono"
)

// A Filter holds an accepted connection back until the application can make progress with what has
// arrived (FreeBSD's accept filters accf_data, accf_http; and the same for TLS).
type Filter uint8

const (
	FilterNone Filter = iota
	FilterData        // the first byte is there
	FilterHTTP        // a whole request head is there, or more than a block without one
	FilterTLS         // a whole first record is there: the ClientHello
)

// filterTimeout is how long a connection may stay behind a filter.
const filterTimeout = 10 * time.Second

// filterHandler is the handler of a connection that its listener's filter holds back.
type filterHandler struct{ l *Listener }

// Readable hands the connection over once the filter passes. A peer that closes first, or that filled the
// first block without satisfying the filter, is handed over too: what to answer is the application's.
func (h filterHandler) Readable(c *Conn) {
	p := c.Peek()
	if h.l.cfg.Filter.passes(p) || c.EOF() || len(p) < c.Readable() {
		h.l.accept(c)
	}
}

func (h filterHandler) Writable(*Conn) {}

func (h filterHandler) Closed(*Conn, error) {}

// Timer ends a connection that has said nothing for too long.
func (h filterHandler) Timer(c *Conn, _ mono.Time) { c.Abort() }

// held reports that c is behind its listener's filter.
func (c *Conn) held() bool {
	_, ok := c.handler.(filterHandler)
	return ok
}

// passes reports whether the bytes received first satisfy the filter.
func (f Filter) passes(p []byte) bool {
	switch f {
	case FilterHTTP:
		return bytes.Contains(p, []byte("\r\n\r\n"))
	case FilterTLS:
		// A record: type, version, length (RFC 8446 section 5.1). What does not look like one passes.
		return len(p) >= 5 && (p[0] != 22 || len(p) >= 5+(int(p[3])<<8|int(p[4])))
	}
	return len(p) > 0
}

// accept gives c to the application.
func (l *Listener) accept(c *Conn) {
	c.SetTimer(0)
	h := l.cfg.Accept(c)
	if h == nil {
		c.handler = nil
		c.Abort()
		return
	}
	c.SetHandler(h)
}

// admit starts a connection of the listener: behind its filter, or straight to the application.
func (l *Listener) admit(c *Conn) {
	l.open.Add(1)
	c.listener = l
	if l.cfg.Filter == FilterNone {
		l.accept(c)
		return
	}
	c.handler = filterHandler{l}
	c.SetTimer(c.shard.now.Add(filterTimeout))
}
