package compare

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"ocaserve/tcpstack"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// verifyEvery: one response in so many is opened and compared whole. Of the others the first record is opened, for
// its head, and the headers of all records are followed. They are few, so that the clients of all modes have about the same
// to do: what those that open records take of the caches and of the memory's time, the server does not have.
const verifyEvery = 64

// A fleet is the clients of one measurement. All of it belongs to the clients' shard, but for failed; where
// clients are the kernel's, to who holds kernelClients.mu.
type fleet struct {
	file   []byte // what must arrive
	failed func(error)
	ready  []*player
	begun  int // responses asked for
	warm   int // players that have received warmPerConn
	spare  [][]byte

	tally
	limit int    // responses after which done is called; 0: none
	done  func() // once

	// next says what a player asks for after a response: the file from byte `from` on, or nothing. Nil: the whole file.
	next func(p *player) (from int64, ok bool)
}

// A tally is what the clients have received.
type tally struct {
	Bytes, Verified uint64 // of bodies
	Responses       uint64 // whole
	Records, Square uint64 // sums of the lengths of records on the wire, and of their squares
	Waits           []time.Duration
}

// A player asks for the file over one connection, again and again.
type player struct {
	fleet  *fleet
	conn   *tcpstack.Conn
	kernel *kernelConn // instead of conn, where clients are the kernel's
	send   *direction  // nil: plain HTTP
	recv   *direction

	head   [headerLen]byte // of the record that is coming
	headN  int
	left   int    // bytes of it that are to come
	record []byte // the record, if it is to be opened; else nil

	asked  mono.Time
	answer bool // the first byte of the response is there
	state  bodyState
	lines  []byte // the head of the response, as far as it has come (plain HTTP)
	off    int64  // the next byte's place in the file
	want   int64  // bytes of the body that are to come
	got    int64  // bytes of all bodies
	verify bool
}

type bodyState uint8

const (
	inHead bodyState = iota
	inBody
)

// Readable implements tcpstack.Handler.
func (p *player) Readable(c *tcpstack.Conn) {
	for b := c.Peek(); len(b) > 0; b = c.Peek() {
		n, err := p.received(b, c.Now())
		if err != nil {
			p.fail(err)
			return
		}
		c.Discard(n)
	}
	if c.EOF() {
		p.fail(fmt.Errorf("the server closed a connection with %d bytes of a response to come", p.want))
	}
}

// received consumes bytes that came at the given time, all of b at most.
func (p *player) received(b []byte, now mono.Time) (n int, err error) {
	if !p.answer {
		p.answer = true
		p.fleet.Waits = append(p.fleet.Waits, now.Sub(p.asked))
	}
	return p.take(b)
}

// Writable implements tcpstack.Handler.
func (*player) Writable(*tcpstack.Conn) {}

// Closed implements tcpstack.Handler.
func (p *player) Closed(_ *tcpstack.Conn, err error) {
	if err != nil {
		p.fail(fmt.Errorf("a connection broke: %w", err))
	}
}

func (p *player) fail(err error) {
	p.fleet.failed(fmt.Errorf("client %v: %w", p.conn.LocalAddr(), err))
	p.conn.Abort()
}

// ask requests the file from byte `from` on.
func (p *player) ask(from int64) {
	f := p.fleet
	req := []byte("GET /" + fileName + " HTTP/1.1\r\nHost: " + hostName + "\r\n")
	if from > 0 {
		req = fmt.Appendf(req, "Range: bytes=%d-\r\n", from)
	}
	req = append(req, "\r\n"...)
	if p.send != nil {
		req = p.send.seal(req)
	}
	p.verify = f.begun%verifyEvery == 0
	f.begun++
	p.state, p.off, p.want, p.answer, p.lines = inHead, from, int64(len(f.file))-from, false, p.lines[:0]
	p.write(req)
}

// write sends a request.
func (p *player) write(req []byte) {
	if k := p.kernel; k != nil {
		p.asked, k.out = k.now, append(k.out, req...)
		return
	}
	p.asked = p.conn.Now()
	p.conn.Append(stream.Bytes(req))
}

// take consumes received bytes, all of b at most.
func (p *player) take(b []byte) (n int, err error) {
	if p.recv == nil {
		return len(b), p.plain(b)
	}
	if p.left == 0 {
		return p.takeHeader(b)
	}
	n = min(p.left, len(b))
	if p.left -= n; p.record != nil {
		p.record = append(p.record, b[:n]...)
	}
	if p.left > 0 {
		return n, nil
	}
	return n, p.recordEnds()
}

// takeHeader consumes bytes of a record's header, and decides whether the record will be opened.
func (p *player) takeHeader(b []byte) (n int, err error) {
	n = copy(p.head[p.headN:], b)
	if p.headN += n; p.headN < headerLen {
		return n, nil
	}
	p.headN = 0
	length := int(p.head[3])<<8 | int(p.head[4])
	if p.head[0] != typeData || p.head[1] != 3 || p.head[2] != 3 || length > maxRecord-headerLen || length+headerLen <= p.recv.overhead() {
		return n, fmt.Errorf("%x is no header of a record with data", p.head)
	}
	p.left = length
	if p.state == inHead || p.verify {
		p.record = append(p.fleet.buffer(), p.head[:]...)
	}
	return n, nil
}

// recordEnds has seen a whole record.
func (p *player) recordEnds() error {
	length := int(p.head[3])<<8 | int(p.head[4])
	p.fleet.count(uint64(headerLen + length))
	if p.record == nil {
		p.recv.seq++
		return p.skipped(int64(headerLen + length - p.recv.overhead()))
	}
	rec := p.record
	p.record = nil
	defer p.fleet.recycle(rec)
	plain, err := p.recv.open(rec)
	if err != nil {
		return err
	}
	return p.plain(plain)
}

// count notes the length of a record.
func (t *tally) count(wire uint64) {
	t.Records += wire
	t.Square += wire * wire
}

// plain is the next plaintext of the connection.
func (p *player) plain(b []byte) error {
	if p.state == inHead {
		p.lines = append(p.lines, b...)
		end := bytes.Index(p.lines, []byte("\r\n\r\n"))
		if end < 0 {
			return p.bounded()
		}
		if err := p.checkHead(p.lines[:end+2]); err != nil {
			return err
		}
		b = p.lines[end+4:]
	}
	if p.verify {
		file := p.fleet.file
		if int64(len(b)) > p.want || !bytes.Equal(b, file[p.off:p.off+int64(len(b))]) {
			return fmt.Errorf("wrong bytes between %d and %d of the file", p.off, p.off+int64(len(b)))
		}
		p.fleet.Verified += uint64(len(b))
	}
	return p.skipped(int64(len(b)))
}

func (p *player) bounded() error {
	if len(p.lines) > 8<<10 {
		return fmt.Errorf("no end of the response's head in %d bytes", len(p.lines))
	}
	return nil
}

// checkHead reads status and length of a response.
func (p *player) checkHead(head []byte) error {
	first, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if !bytes.HasPrefix(first, []byte("HTTP/1.1 20")) {
		return fmt.Errorf("the server answered %q", first)
	}
	_, length, found := bytes.Cut(rest, []byte("Content-Length: "))
	length, _, _ = bytes.Cut(length, []byte("\r\n"))
	if n, err := strconv.ParseInt(string(length), 10, 64); !found || err != nil || n != p.want {
		return fmt.Errorf("the response has Content-Length %q, %d was expected", length, p.want)
	}
	p.state = inBody
	return nil
}

// skipped counts n bytes of the body, and asks again at its end.
func (p *player) skipped(n int64) error {
	f := p.fleet
	if n > p.want {
		return fmt.Errorf("%d bytes more than the response has", n-p.want)
	}
	p.off += n
	p.want -= n
	f.Bytes += uint64(n)
	if p.got += n; p.got >= warmPerConn && p.got-n < warmPerConn {
		f.warm++
	}
	if p.want > 0 || p.state == inHead {
		return nil
	}
	f.Responses++
	if f.limit > 0 && f.Responses >= uint64(f.limit) && f.done != nil {
		f.done()
		f.done = nil
	}
	p.again()
	return nil
}

// again asks for the next response.
func (p *player) again() {
	from, ok := int64(0), true
	if next := p.fleet.next; next != nil {
		from, ok = next(p)
	}
	if ok {
		p.ask(from)
	}
}

// buffer lends an empty buffer for a record.
func (f *fleet) buffer() []byte {
	if n := len(f.spare); n > 0 {
		b := f.spare[n-1]
		f.spare = f.spare[:n-1]
		return b
	}
	return make([]byte, 0, maxRecord)
}

func (f *fleet) recycle(b []byte) { f.spare = append(f.spare, b[:0]) }

// start lets all connections begin at once, each with another part of the file, so that they do not end at once.
func (f *fleet) start() {
	for i, p := range f.ready {
		whole := int64(len(f.file))
		p.ask(whole * int64(i) / int64(len(f.ready)))
	}
}
