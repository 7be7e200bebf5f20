package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

// echo is a stack of the test's own: it sends back what it gets until the peer's FIN.
func echo(t *testing.T) (dial func(context.Context, netip.AddrPort, netip.AddrPort) (net.Conn, error), from func() netip.AddrPort) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	var tries int
	locals := make(chan netip.AddrPort, 10)
	return func(ctx context.Context, local, remote netip.AddrPort) (net.Conn, error) {
		locals <- local
		if tries++; tries == 1 {
			return nil, syscall.EADDRINUSE
		}
		return net.Dial("tcp", l.Addr().String())
	}, func() netip.AddrPort { return <-locals }
}

func TestRelayCarries(t *testing.T) {
	dial, from := echo(t)
	r := &relay{dial: dial, stack: []netip.Addr{netip.MustParseAddr("198.18.0.2"), netip.MustParseAddr("fd00::2")}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := r.listen(ctx, "127.0.0.1", "http", freePort(t)); err != nil {
		t.Fatal(err)
	}
	r.run(ctx)
	c, err := net.Dial("tcp", r.listeners[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client := addrPort(c.LocalAddr())
	sent := bytes.Repeat([]byte("0123456789"), 50_000)
	go func() {
		_, _ = c.Write(sent)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c) // ends only if FIN travels in, and back out
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back, %v; want %d", len(got), err, len(sent))
	}
	if first := from(); first != client {
		t.Errorf("dialled from %v, want the client's %v", first, client)
	}
	if second := from(); second.Addr() != client.Addr() || second.Port() == client.Port() {
		t.Errorf("after a busy port dialled from %v, want another port of %v", second, client)
	}
	r.closeListeners()
	cancel()
	r.flush(t.Context())
	r.running.Wait()
}

func TestRelayListenErrors(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	r := &relay{stack: []netip.Addr{netip.MustParseAddr("198.18.0.2")}}
	taken := port(addrPort(busy.Addr()).Port())
	if err := r.listen(t.Context(), "127.0.0.1", "https", taken); err == nil || !strings.Contains(err.Error(), "--https PORT") {
		t.Errorf("busy port: %v", err)
	}
	if err := r.listen(t.Context(), "192.0.2.1", "http", 8080); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("foreign address: %v", err)
	}
	if err := r.listen(t.Context(), "127.0.0.1", "http", portOff); err != nil || len(r.listeners) != 0 {
		t.Errorf("off: %v, %d listeners", err, len(r.listeners))
	}
}

func freePort(t *testing.T) port {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return port(addrPort(l.Addr()).Port())
}
