package tcpstack

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"ocaserve/tcpstack/stream"
)

const (
	facadeRead  = 256 << 10 // bytes taken off the connection ahead of Read, by default
	facadeWrite = 256 << 10 // bytes that Write may have waiting
)

// A NetConn is a connection as a blocking net.Conn, for code that expects one: crypto/tls, net/http. Its
// methods may be called from any goroutine.
//
// The goroutine side and the shard meet in two buffers under one mutex: the shard fills `in` and drains
// `out`; Read and Write do the opposite, and wake the shard with a message when it had stopped.
type NetConn struct {
	c *Conn

	mu       sync.Mutex
	in       []byte // received, not yet read; a part of buf
	buf      []byte
	out      [][]byte
	outBytes int
	ahead    int   // bytes taken off the connection ahead of Read
	posted   bool  // a message to the shard is under way
	eof      bool  // the peer's FIN was reached
	open     bool  // established
	err      error // the connection ended
	closed   bool  // Close was called here
	wrClosed bool  // CloseWrite was called here
	detached bool

	readable, writable chan struct{} // capacity 1: something has changed
	rd, wd             deadline
}

func newNetConn() *NetConn {
	return &NetConn{ahead: facadeRead, readable: make(chan struct{}, 1), writable: make(chan struct{}, 1)}
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Readable moves what has arrived to the goroutine side, up to facadeRead bytes. Handler.
func (n *NetConn) Readable(c *Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.detached {
		return
	}
	n.fill(c)
	n.eof = c.EOF()
	signal(n.readable)
}

// SetReadAhead bounds the bytes, at least 4096, that are taken off the connection ahead of Read. They count
// towards no receive buffer, so whoever has many connections wants few. Call it before n is the handler.
func (n *NetConn) SetReadAhead(bytes int) { n.ahead = max(bytes, 4096) }

func (n *NetConn) fill(c *Conn) {
	want := min(c.Readable(), n.ahead-len(n.in))
	if want <= 0 || len(n.in) > n.ahead/2 {
		return
	}
	held := len(n.in)
	if held+want > cap(n.buf) {
		n.buf = make([]byte, 0, min(n.ahead, max(2*cap(n.buf), held+want, 4096)))
	}
	buf := n.buf[:held+want]
	copy(buf, n.in) // to the front
	n.in = buf[:held+c.Read(buf[held:])]
}

// Writable notes that the connection is open, and sends on. Handler.
func (n *NetConn) Writable(c *Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open = true
	n.drain(c)
	signal(n.writable)
}

// drain queues what Write has left, as far as there is room.
func (n *NetConn) drain(c *Conn) {
	for len(n.out) > 0 && c.Room() > 0 {
		p := n.out[0]
		n.out[0] = nil
		n.out = n.out[1:]
		n.outBytes -= len(p)
		c.Append(stream.Bytes(p))
	}
	if len(n.out) == 0 && n.wrClosed {
		n.finishWrite(c)
	}
}

func (n *NetConn) finishWrite(c *Conn) {
	if n.closed {
		c.Close()
	} else {
		c.CloseWrite()
	}
}

// Closed ends both sides. Handler.
func (n *NetConn) Closed(c *Conn, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fill(c)
	if err == nil {
		err = io.EOF
	}
	n.err = err
	signal(n.readable)
	signal(n.writable)
}

// poke asks the shard to look at the buffers. The caller holds the mutex.
func (n *NetConn) poke() {
	if n.posted || n.detached {
		return
	}
	n.posted = true
	n.c.shard.Post(n)
}

// Run is poke's message: on the shard.
func (n *NetConn) Run(*Shard) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.posted = false
	if n.detached || n.err != nil {
		return
	}
	n.drain(n.c)
	n.fill(n.c)
	n.eof = n.c.EOF()
	signal(n.readable)
	signal(n.writable)
}

// Read implements net.Conn.
func (n *NetConn) Read(p []byte) (int, error) {
	for {
		got, err := n.tryRead(p)
		if got > 0 || err != nil || len(p) == 0 {
			return got, err
		}
		select {
		case <-n.readable:
		case <-n.rd.done():
			return 0, n.opError("read", os.ErrDeadlineExceeded)
		}
	}
}

func (n *NetConn) tryRead(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		signal(n.readable) // for other readers
		return 0, n.opError("read", net.ErrClosed)
	}
	if n.rd.expired() {
		return 0, n.opError("read", os.ErrDeadlineExceeded)
	}
	got := copy(p, n.in)
	n.in = n.in[got:]
	if got > 0 {
		if len(n.in) <= n.ahead/2 {
			n.poke()
		}
		if len(n.in) > 0 {
			signal(n.readable) // another reader may go on
		}
		return got, nil
	}
	switch {
	case n.eof || n.err == io.EOF:
		signal(n.readable)
		return 0, io.EOF
	case n.err != nil:
		signal(n.readable)
		return 0, n.opError("read", n.err)
	}
	return 0, nil
}

// Write implements net.Conn. It returns when the bytes are queued; p is copied.
func (n *NetConn) Write(p []byte) (int, error) {
	done := 0
	for {
		k, err := n.tryWrite(p[done:])
		done += k
		if err != nil || done == len(p) {
			return done, err
		}
		select {
		case <-n.writable:
		case <-n.wd.done():
			return done, n.opError("write", os.ErrDeadlineExceeded)
		}
	}
}

func (n *NetConn) tryWrite(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.closed || n.wrClosed:
		signal(n.writable) // for other writers
		return 0, n.opError("write", net.ErrClosed)
	case n.err != nil:
		signal(n.writable)
		return 0, n.opError("write", writeError(n.err))
	case n.wd.expired():
		return 0, n.opError("write", os.ErrDeadlineExceeded)
	}
	k := min(len(p), facadeWrite-n.outBytes)
	if k <= 0 {
		return 0, nil
	}
	n.out = append(n.out, append([]byte(nil), p[:k]...))
	n.outBytes += k
	n.poke()
	return k, nil
}

// writeError is what Write reports on a connection that has ended in good order.
func writeError(err error) error {
	if err == io.EOF {
		return net.ErrClosed
	}
	return err
}

// CloseWrite ends our side of the stream once everything written is queued.
func (n *NetConn) CloseWrite() error { return n.shut(false) }

// Close implements net.Conn. What was written is still delivered.
func (n *NetConn) Close() error { return n.shut(true) }

func (n *NetConn) shut(both bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.detached {
		return n.opError("close", net.ErrClosed)
	}
	n.wrClosed, n.closed = true, both
	signal(n.readable)
	signal(n.writable)
	if n.err != nil {
		return nil
	}
	if both && len(n.in) > 0 { // unread bytes: the peer must learn that they were lost (RFC 2525 section 2.17)
		c := n.c
		c.shard.Post(MessageFunc(func(*Shard) { c.Abort() }))
		return nil
	}
	n.posted = false // a message already under way may have passed drain
	n.poke()
	return nil
}

// Abort resets the connection.
func (n *NetConn) Abort() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed, n.wrClosed = true, true
	signal(n.readable)
	signal(n.writable)
	c := n.c
	c.shard.Post(MessageFunc(func(*Shard) { c.Abort() }))
}

// Detach gives the connection back to event mode. It runs then on its shard, before any further event of
// the connection: it must set a handler. left are the bytes received and not yet read, now the caller's.
// The NetConn is of no use afterwards. No Read or Write may be under way.
func (n *NetConn) Detach(then func(c *Conn, left []byte)) {
	n.c.shard.Post(MessageFunc(func(*Shard) {
		n.mu.Lock()
		n.drain(n.c)
		for len(n.out) > 0 { // Room is a signal, not a wall
			n.c.Append(stream.Bytes(n.out[0]))
			n.out = n.out[1:]
		}
		n.detached = true
		left := n.in
		n.in, n.buf = nil, nil
		n.mu.Unlock()
		then(n.c, left)
	}))
}

// LocalAddr implements net.Conn.
func (n *NetConn) LocalAddr() net.Addr { return tcpAddr(n.c.LocalAddr()) }

// RemoteAddr implements net.Conn.
func (n *NetConn) RemoteAddr() net.Addr { return tcpAddr(n.c.RemoteAddr()) }

func tcpAddr(a netip.AddrPort) net.Addr { return net.TCPAddrFromAddrPort(a) }

// SetDeadline implements net.Conn.
func (n *NetConn) SetDeadline(t time.Time) error {
	n.rd.set(t)
	n.wd.set(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (n *NetConn) SetReadDeadline(t time.Time) error { n.rd.set(t); return nil }

// SetWriteDeadline implements net.Conn.
func (n *NetConn) SetWriteDeadline(t time.Time) error { n.wd.set(t); return nil }

func (n *NetConn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: n.LocalAddr(), Addr: n.RemoteAddr(), Err: err}
}

// A deadline is a channel that is closed when the time has come, replaced whenever it is set anew.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	ch    chan struct{}
}

func (d *deadline) done() chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.channel()
}

func (d *deadline) channel() chan struct{} {
	if d.ch == nil {
		d.ch = make(chan struct{})
	}
	return d.ch
}

func (d *deadline) expired() bool {
	select {
	case <-d.done():
		return true
	default:
		return false
	}
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		d.ch = nil // fired, or about to: its channel is not ours any more
	}
	d.timer = nil
	ch := d.channel()
	select {
	case <-ch:
		d.ch = nil
		ch = d.channel()
	default:
	}
	if t.IsZero() {
		return
	}
	if wait := time.Until(t); wait > 0 {
		d.timer = time.AfterFunc(wait, func() { close(ch) })
		return
	}
	close(ch)
}
