package tcpstack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/stream"
)

// accepted dials from a to a listener on b and returns both ends.
func accepted(t *testing.T, a, b *Stack) (client, server *NetConn, ln net.Listener) {
	t.Helper()
	ln, err := b.ListenNet(netip.AddrPortFrom(addrB, 80))
	if err != nil {
		t.Fatal(err)
	}
	c, err := dialer(a)(t.Context(), "tcp", "192.0.2.2:80")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close(); c.Close(); s.Close() })
	return c.(*NetConn), s.(*NetConn), ln
}

// Several goroutines may write and read at once: every byte arrives once.
func TestConcurrentReadWrite(t *testing.T) {
	a, b := live(t)
	c, s, _ := accepted(t, a, b)
	const writers, each = 4, 200_000
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for range each / 1000 {
				if _, err := c.Write(bytes.Repeat([]byte{byte(i)}, 1000)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	go func() { wg.Wait(); c.CloseWrite() }()
	var mu sync.Mutex
	var count [writers]int
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			buf := make([]byte, 7777)
			for {
				n, err := s.Read(buf)
				mu.Lock()
				for _, v := range buf[:n] {
					count[v]++
				}
				mu.Unlock()
				if err == io.EOF {
					return
				} else if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	readers.Wait()
	for i, n := range count {
		if n != each {
			t.Errorf("writer %d: %d bytes of %d", i, n, each)
		}
	}
}

// Close ends every Read and Write that is under way.
func TestCloseUnblocks(t *testing.T) {
	a, b := live(t)
	c, _, _ := accepted(t, a, b)
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Error("read:", err)
			}
		})
		wg.Go(func() {
			if _, err := c.Write(make([]byte, 20<<20)); !errors.Is(err, net.ErrClosed) { // nobody reads it
				t.Error("write:", err)
			}
		})
	}
	for { // until the writers are stuck
		c.mu.Lock()
		full := c.outBytes == facadeWrite
		c.mu.Unlock()
		if full {
			break
		}
		time.Sleep(time.Millisecond)
	}
	c.Close()
	wg.Wait()
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Error("second close:", err)
	}
}

// A write deadline ends a Write that nobody reads; taking it back lets the rest go on.
func TestWriteDeadline(t *testing.T) {
	a, b := live(t)
	c, s, _ := accepted(t, a, b)
	data := pattern(8<<20, 5)
	c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	n, err := c.Write(data)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == len(data) {
		t.Fatal(n, err)
	}
	if _, err := c.Write(data[n:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the deadline is in the past:", err)
	}
	c.SetWriteDeadline(time.Time{})
	go func() {
		c.Write(data[n:])
		c.CloseWrite()
	}()
	got, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes, %v", len(got), len(data), err)
	}
}

// The peer sends more than the facade reads ahead, and the connection is over, before anybody reads: nothing
// may be missing at the end.
func TestSlowReaderGetsAll(t *testing.T) {
	a, b := live(t)
	c, s, _ := accepted(t, a, b)
	c.CloseWrite()
	data := pattern(facadeRead/2+50_000, 6)
	if _, err := s.Write(data); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(s); err != nil || len(got) != 0 {
		t.Fatal(len(got), err)
	}
	s.Close()
	for { // until the connection is over on the server's side, so that all was acknowledged
		s.mu.Lock()
		over := s.err != nil
		s.mu.Unlock()
		if over {
			break
		}
		time.Sleep(time.Millisecond)
	}
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes, %v", len(got), len(data), err)
	}
}

// Detach hands the connection to events with what was read ahead and what was written.
func TestDetach(t *testing.T) {
	a, b := live(t)
	c, s, _ := accepted(t, a, b)
	if _, err := c.Write([]byte("head and body")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 5)
	if _, err := io.ReadFull(s, buf); err != nil || string(buf) != "head " {
		t.Fatal(string(buf), err)
	}
	if _, err := s.Write([]byte("first ")); err != nil {
		t.Fatal(err)
	}
	left := make(chan string, 1)
	s.Detach(func(c *Conn, b []byte) {
		left <- string(b)
		c.SetHandler(&echoer{})
		c.Append(stream.Bytes([]byte("second ")))
	})
	if got := <-left; got != "and body" {
		t.Errorf("left %q", got)
	}
	c.Write([]byte("echo"))
	c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "first second echo" {
		t.Errorf("%q, %v", got, err)
	}
	if err := s.Close(); !errors.Is(err, net.ErrClosed) {
		t.Error("close of what was given away:", err)
	}
}

// echoer sends back what comes.
type echoer struct{}

func (echoer) Readable(c *Conn) {
	b := make([]byte, c.Readable())
	c.Read(b)
	c.Append(stream.Bytes(b))
	if c.EOF() {
		c.Close()
	}
}
func (echoer) Writable(*Conn)      {}
func (echoer) Closed(*Conn, error) {}

// Connections that nobody accepts wait, up to the backlog; closing the listener resets them.
func TestListenerBacklog(t *testing.T) {
	a, b := live(t)
	ln, err := b.ListenNet(netip.AddrPortFrom(addrB, 80))
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	for range acceptQueue {
		c, err := dialer(a)(t.Context(), "tcp", "192.0.2.2:80")
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for len(ln.(*netListener).wait) < acceptQueue { // the last ACKs are on their way
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := dialer(a)(ctx, "tcp", "192.0.2.2:80"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error("beyond the backlog:", err)
	}
	ln.Close()
	for _, c := range conns {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrReset) {
			t.Error("never accepted:", err)
		}
		c.Close()
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error("accept:", err)
	}
}

// When the stack stops everybody learns: readers with bytes still unread, accepters, and whoever comes later.
func TestStop(t *testing.T) {
	ia, ib := memory.New(memory.Config{TSO: true})
	ctx, cancel := context.WithCancel(t.Context())
	var stacks []*Stack
	var wg sync.WaitGroup
	for i, q := range []*memory.Interface{ia, ib} {
		st, err := New(Config{Addrs: []netip.Addr{[]netip.Addr{addrA, addrB}[i]}}, q.Queues())
		if err != nil {
			t.Fatal(err)
		}
		stacks = append(stacks, st)
		wg.Go(func() { st.Run(ctx) })
	}
	c, s, ln := accepted(t, stacks[0], stacks[1])
	errs := make(chan error, 2)
	go func() { _, err := c.Read(make([]byte, 1)); errs <- err }()
	go func() { _, err := ln.Accept(); errs <- err }()
	cancel()
	wg.Wait()
	for range 2 {
		if err := <-errs; !errors.Is(err, ErrStopped) && !errors.Is(err, ErrReset) {
			t.Error(err)
		}
	}
	if _, err := s.Read(make([]byte, 1)); err == nil {
		t.Error("read on a stopped stack")
	}
	if _, err := dialer(stacks[0])(context.Background(), "tcp", "192.0.2.2:80"); !errors.Is(err, ErrStopped) {
		t.Error("dial:", err)
	}
	if _, err := stacks[0].Stats(context.Background()); !errors.Is(err, ErrStopped) {
		t.Error("stats:", err)
	}
}
