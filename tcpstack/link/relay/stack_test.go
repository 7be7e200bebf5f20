package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"ocaserve/tcpstack"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/memory"
)

// behind starts what the relay is for: two stacks on a cable, the clients' and the server's. It returns a
// listener of the server's stack and the relay's configuration to reach it.
func behind(t *testing.T) (net.Listener, Config) {
	t.Helper()
	addr := netip.MustParseAddr("198.18.0.2")
	near, far := memory.New(memory.Config{TSO: true, Queues: 2})
	run := func(cfg tcpstack.Config, i link.Interface) *tcpstack.Stack {
		st, err := tcpstack.New(cfg, i.Queues())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- st.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
		return st
	}
	clients := run(tcpstack.Config{AnyAddr: true}, near)
	server := run(tcpstack.Config{Addrs: []netip.Addr{addr}}, far)
	to := netip.AddrPortFrom(addr, 443)
	l, err := server.ListenNet(to)
	if err != nil {
		t.Fatal(err)
	}
	return l, Config{
		Routes: []Route{{Listener: listen(t, "127.0.0.1:0"), To: []netip.AddrPort{to}}},
		Dial:   clients.DialFrom,
	}
}

// TestThroughTheStack: half-close, bulk and resets between a kernel client and a server in our own stack.
func TestThroughTheStack(t *testing.T) {
	l, cfg := behind(t)
	r, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	connect := func() (client *net.TCPConn, server net.Conn) {
		t.Helper()
		c, err := net.DialTimeout("tcp", cfg.Routes[0].Listener.Addr().String(), patience)
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []net.Conn{c, s} {
			x.SetDeadline(time.Now().Add(patience))
			t.Cleanup(func() { x.Close() })
		}
		if c.LocalAddr().String() != s.RemoteAddr().String() {
			t.Errorf("the server sees %v, the client is %v", s.RemoteAddr(), c.LocalAddr())
		}
		return c.(*net.TCPConn), s
	}

	data := bytes.Repeat([]byte("0123456789abcde\n"), 300_000)
	c, s := connect()
	go func() {
		c.Write(data)
		c.CloseWrite()
	}()
	if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the server read %d bytes of %d, %v", len(got), len(data), err)
	}
	go func() {
		s.Write(data)
		s.Close()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the client read %d bytes of %d, %v", len(got), len(data), err)
	}

	c, s = connect()
	reset(s)
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the server's reset the client read %v", err)
	}
	c, s = connect()
	reset(c)
	if _, err := io.Copy(io.Discard, s); err == nil {
		t.Error("after the client's reset the server read to a good end")
	}
}
