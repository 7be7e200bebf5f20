package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	smallBuffer = 4 << 10   // what a silent connection holds, per direction
	bigBuffer   = 128 << 10 // while bytes flow
	bigFor      = time.Second
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	bigBuffers   = sync.Pool{New: func() any { return new([bigBuffer]byte) }}
)

// A pipe joins a client's kernel connection and its twin in the stack.
type pipe struct {
	relay *Relay
	outer net.Conn // the client's
	inner net.Conn // the stack's

	served atomic.Bool // the server's side has ended and the client's kernel has all of it
	once   sync.Once   // for abort
}

// run copies both ways until both have ended.
func (p *pipe) run() {
	var up sync.WaitGroup
	up.Go(p.upward)
	p.downward()
	up.Wait()
	p.inner.Close()
	p.outer.Close()
}

// downward carries the server's bytes. Nothing that goes wrong here can be made good.
func (p *pipe) downward() {
	defer p.relay.outward.Done()
	s := source{Conn: p.inner}
	if err := s.copy(p.outer, &p.relay.down); err != nil {
		p.abort()
		return
	}
	closeWrite(p.outer)
	p.served.Store(true)
	// From now on the client's half is on borrowed time: wake upward to take note. The order matters:
	// upward looks at served after it has set a deadline of its own.
	p.outer.SetReadDeadline(past)
}

// upward carries the client's bytes.
func (p *pipe) upward() {
	s := source{Conn: p.outer, linger: func() time.Duration {
		if p.served.Load() {
			return p.relay.cfg.Linger
		}
		return 0
	}}
	switch err := s.copy(p.inner, &p.relay.up); {
	case err == nil:
		closeWrite(p.inner)
	case errors.Is(err, errLingered):
		// Both are closed when run returns.
	case errors.As(err, new(*sinkError)):
		// The server has reset the connection, or has closed it while the client still talks. What
		// it said before is being carried by downward, which sees the same end, but after the last byte.
	default:
		p.abort()
	}
}

// end is Close for one pipe.
func (p *pipe) end() {
	if p.served.Load() {
		p.once.Do(func() {
			p.inner.Close()
			p.outer.Close() // what the kernel has it delivers
		})
		return
	}
	p.abort()
}

// abort resets both connections.
func (p *pipe) abort() {
	p.once.Do(func() {
		reset(p.inner)
		reset(p.outer)
	})
}

// reset closes c with an RST, if it knows how.
func reset(c net.Conn) {
	switch c := c.(type) {
	case interface{ Abort() }:
		c.Abort()
		return
	case interface{ SetLinger(sec int) error }:
		c.SetLinger(0) // close(2) resets then, and drops what is not sent
	}
	c.Close()
}

// closeWrite passes a FIN on; where there are no half-closed connections it closes c.
func closeWrite(c net.Conn) {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		h.CloseWrite()
		return
	}
	c.Close()
}

// past is a deadline that has expired.
var past = time.Unix(1, 0)

var errLingered = errors.New("relay: the client did not close its half in time")

// A sinkError is an error of writing, as opposed to one of reading.
type sinkError struct{ error }

// A source is a connection that bytes are copied from.
type source struct {
	net.Conn
	linger func() time.Duration // how long it may stay silent; 0, or nil: for ever
	small  *[smallBuffer]byte
	big    *[bigBuffer]byte
	set    bool      // a read deadline is set
	until  time.Time // end of the lingering, once it has begun; bytes begin it anew
}

// copy reads until the end of the stream, which is no error, and writes to dst. While it waits for a
// silent source it holds a small buffer; one that fills it gets a big one, for a second at a time.
func (s *source) copy(dst net.Conn, count *atomic.Uint64) error {
	s.small = smallBuffers.Get().(*[smallBuffer]byte)
	defer func() {
		s.shrink()
		smallBuffers.Put(s.small)
	}()
	for {
		s.arm()
		b := s.small[:]
		if s.big != nil {
			b = s.big[:]
		}
		n, err := s.Read(b)
		if n > 0 {
			m, err := dst.Write(b[:n])
			count.Add(uint64(m))
			if err != nil {
				return &sinkError{err}
			}
		}
		switch {
		case err == nil && s.big == nil && n == len(b):
			s.grow()
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err := s.expired(); err != nil {
				return err
			}
		case err == io.EOF:
			return nil
		default:
			return err
		}
	}
}

// arm sets the deadline that holds while only a small buffer is there. That of a big one is left as it
// is: setting it anew for every read would cost more than the read.
func (s *source) arm() {
	if s.big != nil {
		return
	}
	if s.set {
		s.SetReadDeadline(time.Time{})
		s.set = false
	}
	if s.linger == nil {
		return
	}
	if d := s.linger(); d > 0 {
		s.until = time.Now().Add(d)
		s.SetReadDeadline(s.until)
		s.set = true
	}
}

// expired handles a read that ended at a deadline.
func (s *source) expired() error {
	if s.big != nil {
		s.shrink()
		s.set = true // arm sets or clears what grow has set
		return nil
	}
	if !s.until.IsZero() && !time.Now().Before(s.until) {
		return errLingered
	}
	s.set = true // somebody else set it, to make us look at linger
	return nil
}

// grow takes a big buffer for a while.
func (s *source) grow() {
	s.big = bigBuffers.Get().(*[bigBuffer]byte)
	s.SetReadDeadline(time.Now().Add(bigFor))
	s.set = true
}

// shrink gives the big buffer back.
func (s *source) shrink() {
	if s.big != nil {
		bigBuffers.Put(s.big)
		s.big = nil
	}
}
