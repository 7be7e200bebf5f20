package tcpstack

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"ocaserve/tcpstack/link/memory"
)

// live runs two stacks on a cable in real time until the test ends.
func live(t testing.TB) (a, b *Stack) {
	t.Helper()
	ia, ib := memory.New(memory.Config{TSO: true})
	start := func(addr netip.Addr, i *memory.Interface) *Stack {
		st, err := New(Config{Addrs: []netip.Addr{addr}}, i.Queues())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- st.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		return st
	}
	return start(addrA, ia), start(addrB, ib)
}

func dialer(st *Stack) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		to, err := netip.ParseAddrPort(addr)
		if err != nil {
			return nil, err
		}
		return st.DialFrom(ctx, netip.AddrPortFrom(addrA, 0), to)
	}
}

// TestNetHTTPRunsUnmodified carries net/http, client and server, over the facade.
func TestNetHTTPRunsUnmodified(t *testing.T) {
	a, b := live(t)
	ln, err := b.ListenNet(netip.AddrPortFrom(addrB, 80))
	if err != nil {
		t.Fatal(err)
	}
	body := pattern(10<<20, 3)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(io.Discard, r.Body); err != nil || n != 1<<20 {
			http.Error(w, fmt.Sprint(n, err), 400)
			return
		}
		w.Write(body)
	})}
	go srv.Serve(ln)
	defer srv.Close()
	client := http.Client{Transport: &http.Transport{DialContext: dialer(a)}}
	defer client.CloseIdleConnections()
	for range 3 {
		resp, err := client.Post("http://192.0.2.2:80/", "x/y", &io.LimitedReader{R: zeros{}, N: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || sha256.Sum256(got) != sha256.Sum256(body) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestNetConnDeadlinesAndErrors(t *testing.T) {
	a, b := live(t)
	_, err := a.DialFrom(t.Context(), netip.AddrPortFrom(addrA, 0), netip.AddrPortFrom(addrB, 81))
	var op *net.OpError
	if !errors.As(err, &op) || !errors.Is(err, ErrRefused) {
		t.Fatalf("dial to a closed port: %v", err)
	}
	ln, err := b.ListenNet(netip.AddrPortFrom(addrB, 80))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := dialer(a)(t.Context(), "tcp", "192.0.2.2:80")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read past the deadline: %v", err)
	}
	c.SetReadDeadline(time.Time{})
	if _, err := s.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	s.(*NetConn).CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
	s.(*NetConn).Abort()
	for err = nil; err == nil; {
		_, err = c.Write(make([]byte, 1000))
	}
	if !errors.Is(err, ErrReset) {
		t.Fatalf("write after a reset: %v", err)
	}
	c.Close()
}
