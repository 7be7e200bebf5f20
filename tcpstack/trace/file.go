package trace

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"ocaserve/tcpstack/mono"
)

const (
	magic     = "OCATRC1\n"
	chunkHead = 12
	maxChunk  = 16 << 20 // bytes; the writer's are far smaller
)

// The types of chunks.
const (
	chunkHeader = 'H'
	chunkConn   = 'C'
	chunkEvents = 'E'
	chunkLost   = 'L'
)

// A Header says what made the file, and which wall time the clock of its events had.
type Header struct {
	Program string    `json:"program"`
	Wall    time.Time `json:"wall"`
	Mono    mono.Time `json:"mono"` // what the events' clock showed at Wall
}

// A Conn is a connection of the file. Local is our end, whose output the events are about.
type Conn struct {
	ID     uint32         `json:"id"`
	Local  netip.AddrPort `json:"local"`
	Remote netip.AddrPort `json:"remote"`
	Stack  string         `json:"stack,omitempty"`
	CC     string         `json:"cc,omitempty"`
	MSS    int            `json:"mss,omitempty"`
}

// A Writer writes a file. It is not safe for concurrent use.
type Writer struct {
	w   io.Writer
	buf []byte
}

// NewWriter begins a file. The writes are one per chunk, so that w needs no buffer.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	t := &Writer{w: w}
	t.buf = append(t.buf, magic...)
	return t, t.json(chunkHeader, 0, h)
}

// Conn describes a connection, before its first events or anew.
func (t *Writer) Conn(c Conn) error { return t.json(chunkConn, c.ID, c) }

func (t *Writer) json(kind byte, conn uint32, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	t.head(kind, conn, len(b))
	t.buf = append(t.buf, b...)
	return t.flush()
}

// Events writes events of one connection.
func (t *Writer) Events(conn uint32, events []Event) error {
	for part := range slices.Chunk(events, maxChunk/eventSize) {
		t.head(chunkEvents, conn, len(part)*eventSize)
		for i := range part {
			t.buf = part[i].append(t.buf)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	return nil
}

// Lost notes that n events of the connection are missing here.
func (t *Writer) Lost(conn uint32, n uint64) error {
	t.head(chunkLost, conn, 8)
	t.buf = binary.LittleEndian.AppendUint64(t.buf, n)
	return t.flush()
}

func (t *Writer) head(kind byte, conn uint32, n int) {
	t.buf = append(t.buf, kind, 0, 0, 0)
	t.buf = binary.LittleEndian.AppendUint32(t.buf, conn)
	t.buf = binary.LittleEndian.AppendUint32(t.buf, uint32(n))
}

func (t *Writer) flush() error {
	_, err := t.w.Write(t.buf)
	t.buf = t.buf[:0]
	return err
}

// A Trace is a file's content.
type Trace struct {
	Header Header
	Conns  []*ConnTrace // in order of their first chunk
	Cut    bool         // the file ends in the middle of a chunk
}

// A ConnTrace is what the file has of one connection.
type ConnTrace struct {
	Conn
	Events []Event
	Lost   uint64 // events that were overwritten
}

// ErrFormat is for what is no trace at all.
var ErrFormat = errors.New("not a trace file of ocaserve")

// Read reads a file. Damage is an error that says where; a file that just ends, since the recorder was
// killed, is none. What was read before comes along in both cases.
func Read(r io.Reader) (*Trace, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(in, head); err != nil || string(head) != magic {
		return nil, ErrFormat
	}
	rd := reader{in: in, at: int64(len(magic)), trace: &Trace{}, conns: map[uint32]*ConnTrace{}}
	for {
		err := rd.chunk()
		switch {
		case err == io.EOF:
			return rd.trace, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			rd.trace.Cut = true
			return rd.trace, nil
		case err != nil:
			return rd.trace, fmt.Errorf("at byte %d: %w", rd.at, err)
		}
	}
}

type reader struct {
	in    *bufio.Reader
	at    int64 // of the current chunk
	trace *Trace
	conns map[uint32]*ConnTrace
	body  bytes.Buffer
}

// chunk reads one. The body grows as bytes come in, so that a length that lies costs nothing.
func (r *reader) chunk() error {
	var head [chunkHead]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return err
	}
	conn, n := binary.LittleEndian.Uint32(head[4:]), binary.LittleEndian.Uint32(head[8:])
	if n > maxChunk {
		return fmt.Errorf("a chunk of %d bytes; at most %d are possible", n, maxChunk)
	}
	r.body.Reset()
	if got, err := io.CopyN(&r.body, r.in, int64(n)); err != nil {
		if head[0] == chunkEvents { // what is whole of it is good
			r.events(conn, r.body.Bytes()[:got-got%eventSize])
		}
		return io.ErrUnexpectedEOF
	}
	if err := r.take(head[0], conn); err != nil {
		return err
	}
	r.at += chunkHead + int64(n)
	return nil
}

// take is one whole chunk.
func (r *reader) take(kind byte, conn uint32) error {
	b := r.body.Bytes()
	switch kind {
	case chunkHeader:
		return json.Unmarshal(b, &r.trace.Header)
	case chunkConn:
		var c Conn
		if err := json.Unmarshal(b, &c); err != nil {
			return err
		}
		c.ID = conn
		r.conn(conn).Conn = c
	case chunkEvents:
		if len(b)%eventSize != 0 {
			return fmt.Errorf("%d bytes of events, which have %d each", len(b), eventSize)
		}
		r.events(conn, b)
	case chunkLost:
		if len(b) != 8 {
			return fmt.Errorf("a count of %d bytes, want 8", len(b))
		}
		r.conn(conn).Lost += binary.LittleEndian.Uint64(b)
	}
	return nil
}

func (r *reader) conn(id uint32) *ConnTrace {
	c := r.conns[id]
	if c == nil {
		c = &ConnTrace{Conn: Conn{ID: id}}
		r.conns[id] = c
		r.trace.Conns = append(r.trace.Conns, c)
	}
	return c
}

func (r *reader) events(conn uint32, b []byte) {
	if len(b) == 0 {
		return
	}
	c := r.conn(conn)
	c.Events = slices.Grow(c.Events, len(b)/eventSize)
	for ; len(b) >= eventSize; b = b[eventSize:] {
		var e Event
		e.parse(b)
		c.Events = append(c.Events, e)
	}
}
