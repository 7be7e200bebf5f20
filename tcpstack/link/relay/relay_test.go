package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what is sure to happen soon.
const patience = 10 * time.Second

// A bench is a relay between kernel sockets on both sides: the server in the "stack" is one on loopback,
// so that resets and half-closed connections are those of a real TCP.
type bench struct {
	t      *testing.T
	relay  *Relay
	addr   string
	server net.Listener
	dialed chan [2]netip.AddrPort // local and remote of each dial
}

// newBench starts a relay; change may adjust its configuration.
func newBench(t *testing.T, change func(b *bench, c *Config)) *bench {
	t.Helper()
	b := &bench{t: t, dialed: make(chan [2]netip.AddrPort, 1000)}
	b.server = listen(t, "127.0.0.1:0")
	front := listen(t, "127.0.0.1:0")
	b.addr = front.Addr().String()
	to := b.server.Addr().(*net.TCPAddr).AddrPort()
	cfg := Config{
		Routes: []Route{{Listener: front, To: []netip.AddrPort{to}}},
		Dial: func(ctx context.Context, local, remote netip.AddrPort) (net.Conn, error) {
			b.dialed <- [2]netip.AddrPort{local, remote}
			return new(net.Dialer).DialContext(ctx, "tcp", remote.String())
		},
	}
	if change != nil {
		change(b, &cfg)
	}
	r, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.relay = r
	t.Cleanup(func() { r.Close() })
	return b
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// client connects to the relay.
func (b *bench) client() *net.TCPConn {
	b.t.Helper()
	c, err := net.DialTimeout("tcp", b.addr, patience)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.adopt(c)
}

// accept returns the server's end of the next connection.
func (b *bench) accept() *net.TCPConn {
	b.t.Helper()
	b.server.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	c, err := b.server.Accept()
	if err != nil {
		b.t.Fatal(err)
	}
	return b.adopt(c)
}

func (b *bench) adopt(c net.Conn) *net.TCPConn {
	c.SetDeadline(time.Now().Add(patience))
	b.t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// pair returns both ends of a connection through the relay.
func (b *bench) pair() (client, server *net.TCPConn) {
	b.t.Helper()
	client = b.client()
	return client, b.accept()
}

func (b *bench) wantEnd(c net.Conn, what string, want error) {
	b.t.Helper()
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, want) {
		b.t.Errorf("%s: reading ended with %v, want %v", what, err, want)
	}
}

// wantIdle waits until no connection is left.
func (b *bench) wantIdle() {
	b.t.Helper()
	for until := time.Now().Add(patience); b.relay.Stats().Active > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			b.t.Fatalf("connections did not end: %+v", b.relay.Stats())
		}
	}
}

func TestBytesAndAddressesComeThrough(t *testing.T) {
	b := newBench(t, nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 20 {
			s := b.accept()
			go func() {
				io.Copy(s, s)
				s.CloseWrite()
			}()
		}
	})
	total := 0
	for i := range 20 {
		data := make([]byte, 1+i*i*2000)
		total += len(data)
		wg.Go(func() {
			for k := range data {
				data[k] = byte(rand.Uint32())
			}
			c := b.client()
			go func() {
				c.Write(data)
				c.CloseWrite()
			}()
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
				t.Errorf("client %d: %d bytes of %d came back, %v", i, len(got), len(data), err)
			}
			c.Close()
		})
	}
	wg.Wait()
	b.wantIdle()
	if s := b.relay.Stats(); s.Accepted != 20 || s.Up != uint64(total) || s.Down != uint64(total) || s.Refused != 0 {
		t.Errorf("%+v, want 20 clients and %d bytes each way", s, total)
	}
}

func TestDialFromTheClientsAddress(t *testing.T) {
	b := newBench(t, nil)
	c, _ := b.pair()
	want := [2]netip.AddrPort{c.LocalAddr().(*net.TCPAddr).AddrPort(), b.server.Addr().(*net.TCPAddr).AddrPort()}
	if got := <-b.dialed; got != want {
		t.Errorf("dialed from and to %v, want %v", got, want)
	}
}

func TestPortInUseInside(t *testing.T) {
	b := newBench(t, func(b *bench, c *Config) {
		dial := c.Dial
		c.Dial = func(ctx context.Context, local, remote netip.AddrPort) (net.Conn, error) {
			if local.Port() != 0 {
				return nil, &net.OpError{Op: "dial", Err: syscall.EADDRINUSE}
			}
			return dial(ctx, local, remote)
		}
	})
	b.pair()
	if got := <-b.dialed; got[0].Addr() != netip.MustParseAddr("127.0.0.1") || got[0].Port() != 0 {
		t.Errorf("second dial from %v, want the client's address and any port", got[0])
	}
}

func TestHalfClose(t *testing.T) {
	t.Run("client first", func(t *testing.T) {
		b := newBench(t, nil)
		c, s := b.pair()
		c.Write([]byte("question"))
		c.CloseWrite()
		if q, err := io.ReadAll(s); string(q) != "question" || err != nil {
			t.Fatalf("server read %q, %v", q, err)
		}
		s.Write([]byte("answer"))
		s.Close()
		if a, err := io.ReadAll(c); string(a) != "answer" || err != nil {
			t.Errorf("client read %q, %v", a, err)
		}
		b.wantIdle()
	})
	t.Run("server first", func(t *testing.T) {
		b := newBench(t, nil)
		c, s := b.pair()
		s.Write([]byte("hello"))
		s.CloseWrite()
		if a, err := io.ReadAll(c); string(a) != "hello" || err != nil {
			t.Fatalf("client read %q, %v", a, err)
		}
		c.Write([]byte("still here"))
		c.CloseWrite()
		if q, err := io.ReadAll(s); string(q) != "still here" || err != nil {
			t.Errorf("server read %q, %v", q, err)
		}
		b.wantIdle()
	})
}

func TestResetComesThrough(t *testing.T) {
	t.Run("from the client", func(t *testing.T) {
		b := newBench(t, nil)
		c, s := b.pair()
		reset(c)
		b.wantEnd(s, "server", syscall.ECONNRESET)
		b.wantIdle()
	})
	t.Run("from the server", func(t *testing.T) {
		b := newBench(t, nil)
		c, s := b.pair()
		reset(s)
		b.wantEnd(c, "client", syscall.ECONNRESET)
		b.wantIdle()
	})
	t.Run("while the client only writes", func(t *testing.T) {
		b := newBench(t, nil)
		c, s := b.pair()
		reset(s)
		var err error
		for until := time.Now().Add(patience); err == nil && time.Now().Before(until); {
			_, err = c.Write(make([]byte, 1000))
		}
		if err == nil || errors.Is(err, net.ErrClosed) {
			t.Errorf("writing ended with %v", err)
		}
		b.wantIdle()
	})
}

// TestServerClosesOnATalker: the server answers and closes while the client is still sending; the answer
// must not be lost to the error of passing on what nobody wants to hear.
func TestServerClosesOnATalker(t *testing.T) {
	b := newBench(t, nil)
	c, s := b.pair()
	go func() {
		for {
			if _, err := c.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	}()
	io.ReadFull(s, make([]byte, 1000))
	s.Write([]byte("enough"))
	s.CloseWrite()
	got := make([]byte, 6)
	if _, err := io.ReadFull(c, got); string(got) != "enough" {
		t.Errorf("client read %q, %v", got, err)
	}
	s.Close() // resets: bytes were unread
	b.wantEnd(c, "client", nil)
}

func TestRefusals(t *testing.T) {
	for name, change := range map[string]func(*bench, *Config){
		"stack refuses": func(b *bench, c *Config) {
			c.Dial = func(context.Context, netip.AddrPort, netip.AddrPort) (net.Conn, error) {
				return nil, syscall.ECONNREFUSED
			}
		},
		"stack is silent": func(b *bench, c *Config) {
			c.DialTimeout = time.Millisecond
			c.Dial = func(ctx context.Context, _, _ netip.AddrPort) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		},
		"other family": func(b *bench, c *Config) {
			c.Routes[0].To = []netip.AddrPort{netip.MustParseAddrPort("[::1]:1")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, change)
			// The reset may be there before the client's connect(2) has returned.
			c, err := net.DialTimeout("tcp", b.addr, patience)
			if err == nil {
				b.wantEnd(b.adopt(c), "client", syscall.ECONNRESET)
			} else if !errors.Is(err, syscall.ECONNRESET) {
				t.Error(err)
			}
			b.relay.Close()
			if s := b.relay.Stats(); s.Refused != 1 || s.Active != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestBoundOnConnections(t *testing.T) {
	b := newBench(t, func(_ *bench, c *Config) { c.MaxConns = 1 })
	c, s := b.pair()
	second := b.client() // the kernel accepts, the relay does not yet
	if n := b.relay.Stats().Accepted; n != 1 {
		t.Errorf("%d clients accepted beyond the bound of 1", n)
	}
	c.Close()
	s.Close()
	s = b.accept()
	second.Write([]byte("x"))
	if n, _ := s.Read(make([]byte, 1)); n != 1 {
		t.Error("the client that waited is not served")
	}
	b.relay.StopAccepting() // must not wait for a slot
}

// TestDrain: the server is done when the relay has everything; a drain is done when the client has.
func TestDrain(t *testing.T) {
	b := newBench(t, nil)
	c, s := b.pair()
	data := bytes.Repeat([]byte("x"), 20<<20) // more than kernel buffers hold
	go func() {
		s.Write(data)
		s.Close()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.relay.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Drain: %v, while the client has read nothing", err)
	}
	if _, err := net.Dial("tcp", b.addr); err == nil {
		t.Error("a new client got in during the drain")
	}
	done := make(chan error)
	go func() { done <- b.relay.Drain(t.Context()) }()
	got, err := io.ReadAll(c)
	if err != nil || len(got) != len(data) {
		t.Errorf("client read %d bytes, %v; want %d", len(got), err, len(data))
	}
	if err := <-done; err != nil {
		t.Errorf("Drain: %v", err)
	}
	b.relay.Close() // although c is still open
	b.wantIdle()
}

func TestCloseResetsWhatIsUnfinished(t *testing.T) {
	b := newBench(t, nil)
	c, s := b.pair()
	s.Write([]byte("half an ans"))
	io.ReadFull(c, make([]byte, 11))
	b.relay.Close()
	b.wantEnd(c, "client", syscall.ECONNRESET)
	b.wantEnd(s, "server", syscall.ECONNRESET)
}

func TestLingeringClientIsLetGo(t *testing.T) {
	b := newBench(t, func(_ *bench, c *Config) { c.Linger = 20 * time.Millisecond })
	c, s := b.pair()
	s.Write([]byte("bye"))
	s.Close()
	b.wantEnd(c, "client", nil)
	b.wantIdle() // although c is still open
}

func TestConfigMistakes(t *testing.T) {
	if _, err := Listen(Config{}); err == nil {
		t.Error("a relay without routes was started")
	}
}

func TestNoAllocations(t *testing.T) {
	b := newBench(t, nil)
	c, s := b.pair()
	data, back := make([]byte, 100_000), make([]byte, 100_000)
	round := func() {
		c.Write(data)
		io.ReadFull(s, back)
		s.Write(back)
		io.ReadFull(c, back)
	}
	round()
	if n := testing.AllocsPerRun(200, round); n >= 1 {
		t.Errorf("%v allocations per 200 KB carried", n)
	}
}

func BenchmarkRelay(b *testing.B) {
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	r, err := Listen(Config{
		Routes: []Route{{Listener: front, To: []netip.AddrPort{server.Addr().(*net.TCPAddr).AddrPort()}}},
		Dial: func(ctx context.Context, _, remote netip.AddrPort) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", remote.String())
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	c, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	s, err := server.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	data, back := make([]byte, 64<<10), make([]byte, 64<<10)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		s.Write(data)
		io.ReadFull(c, back)
	}
}
