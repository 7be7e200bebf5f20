package main

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestRelayRoutes(t *testing.T) {
	stack := []netip.Addr{netip.MustParseAddr("198.18.0.2"), netip.MustParseAddr("fd00::2")}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	taken, free := portOf(busy), freePort(t)
	for _, c := range []struct {
		host        string
		https, http port
		want        string
	}{
		{"127.0.0.1", taken, portOff, "taken by another program; choose another with --https PORT"},
		{"127.0.0.1", free, taken, "--http PORT"},
		{"192.0.2.1", free, portOff, "--listen takes an address"},
	} {
		if _, err := relayRoutes(t.Context(), c.host, c.https, c.http, stack); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c, err, c.want)
		}
	}
	// The port that was free above is free again: nothing stayed open.
	routes, err := relayRoutes(t.Context(), "127.0.0.1", portOff, free, stack)
	if err != nil || len(routes) != 1 {
		t.Fatalf("%d routes, %v", len(routes), err)
	}
	defer routes[0].Listener.Close()
	if to := routes[0].To; len(to) != 2 || to[1] != netip.AddrPortFrom(stack[1], uint16(free)) {
		t.Errorf("leads to %v", to)
	}
}

func portOf(l net.Listener) port { return port(l.Addr().(*net.TCPAddr).Port) }

func freePort(t *testing.T) port {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return portOf(l)
}

func TestListenName(t *testing.T) {
	for listen, want := range map[string]string{"": "", "0.0.0.0": "", "::": "", "127.0.0.1": "127.0.0.1", "example.org": "example.org"} {
		if got := (&linkOptions{netFlags: netFlags{Listen: listen}}).listenName(); got != want {
			t.Errorf("%q: got %q, want %q", listen, got, want)
		}
	}
}
