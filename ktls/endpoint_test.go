package ktls

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"ocaserve/tcpstack/stream"
)

// An endpoint is the server's side of a connection after the hand-over, made blocking for tests.
type endpoint struct {
	t      testing.TB
	nc     net.Conn
	f      *Framer
	o      *Opener
	pool   *Pool
	q      queue
	in     []byte        // received, not yet opened
	events map[Event]int // seen so far
}

func newEndpoint(t testing.TB, s *Session, nc net.Conn, mode Mode) *endpoint {
	t.Helper()
	e := &endpoint{t: t, nc: nc, pool: NewPool(0), events: map[Event]int{}}
	var err error
	if e.f, e.o, err = s.Start(mode, e.pool); err != nil {
		t.Fatal(err)
	}
	return e
}

// write sends b, cut into pieces of random lengths.
func (e *endpoint) write(rng *rand.Rand, b []byte) error {
	if err := e.f.Append(&e.q, split(rng, b)); err != nil {
		return err
	}
	return e.q.flush(e.nc)
}

func split(rng *rand.Rand, b []byte) (pieces []stream.Piece) {
	for len(b) > 0 {
		n := 1 + rng.IntN(len(b))
		pieces = append(pieces, stream.Piece{Data: b[:n]})
		b = b[n:]
	}
	return pieces
}

// read returns the data of the next record that has any, and answers what comes before it. At the end of the
// stream it returns io.EOF if it was announced by close_notify.
func (e *endpoint) read() ([]byte, error) {
	for {
		n, plain, ev, err := e.o.Open(e.in)
		if err != nil {
			return nil, err
		}
		e.in = e.in[n:]
		e.events[ev]++
		if ev == EventClose {
			return nil, io.EOF
		}
		if err := e.f.Answer(&e.q, ev); err != nil {
			return nil, err
		}
		if err := e.q.flush(e.nc); err != nil {
			return nil, err
		}
		if plain != nil {
			return plain, nil
		}
		if n == 0 {
			if err := e.fill(); err != nil {
				return nil, err
			}
		}
	}
}

func (e *endpoint) fill() error {
	b := make([]byte, 32<<10)
	n, err := e.nc.Read(b)
	e.in = append(append([]byte(nil), e.in...), b[:n]...)
	if n > 0 {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // without close_notify
	}
	return err
}

// readN collects n bytes of data.
func (e *endpoint) readN(n int) ([]byte, error) {
	var got bytes.Buffer
	for got.Len() < n {
		b, err := e.read()
		if err != nil {
			return nil, err
		}
		got.Write(b)
	}
	return got.Bytes(), nil
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, rng.Uint64())
	}
	return b[:n:n]
}
