package main

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"ocaserve/tcpstack"
	"ocaserve/tcpstack/link/memory"
)

// liveServer is a running stack with an admin socket and one connection that lasts as long as the test. It returns
// the socket's path, and a function that sends bytes through the connection and reads them at the other end.
func liveServer(t *testing.T) (socket string, echo func(n int)) {
	t.Helper()
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	a, b := memory.New(memory.Config{TSO: true})
	var stacks []*tcpstack.Stack
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	for i, l := range []*memory.Interface{a, b} {
		st, err := tcpstack.New(tcpstack.Config{Addrs: addrs[i : i+1]}, l.Queues())
		if err != nil {
			t.Fatal(err)
		}
		stacks = append(stacks, st)
		go func() { done <- st.Run(ctx) }()
	}
	t.Cleanup(func() { cancel(); <-done; <-done })
	ln, err := stacks[0].ListenNet(netip.AddrPortFrom(addrs[0], 80))
	if err != nil {
		t.Fatal(err)
	}
	client, err := stacks[1].DialFrom(ctx, netip.AddrPortFrom(addrs[1], 0), netip.AddrPortFrom(addrs[0], 80))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(t.TempDir(), "admin")
	ad, err := listenAdmin(socket)
	if err != nil {
		t.Fatal(err)
	}
	ad.server = &server{stack: stacks[0]}
	ad.serve()
	t.Cleanup(func() { ad.close(); conn.Close(); client.Close(); ln.Close() })
	return socket, func(n int) {
		t.Helper()
		want := bytes.Repeat([]byte("0123456789"), n/10)
		go conn.Write(want)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
			t.Fatal("wrong bytes", err)
		}
	}
}

// ask runs a command line and returns what it prints.
func ask(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd, _, err := parse(args, io.Discard, io.Discard)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = cmd.run(t.Context(), &out)
	return out.String(), err
}

// The stack command changes the defaults, or the open connections, of a running server, and says what there is.
func TestStackCommand(t *testing.T) {
	socket, echo := liveServer(t)
	want := func(parts string, args ...string) {
		t.Helper()
		got, err := ask(t, append([]string{"stack", "--server", socket}, args...)...)
		if err != nil {
			got = err.Error()
		}
		got = strings.Join(strings.Fields(got), " ")
		for part := range strings.SplitSeq(parts, "|") {
			if !strings.Contains(got, part) {
				t.Errorf("stack %q: %s\nlacks %q", args, got, part)
			}
		}
	}
	want("rack default 1 RACK|base 0 RFC 6675|new connections: cubic")
	echo(1 << 20)
	want("1 connections changed, 0 are not established|rack default 0|base 1|new connections: cubic", "--move", "--default", "base", "--cc", "bbr")
	echo(1 << 20)
	want("0 connections changed", "--move", "--default", "rack", "dport", "=", ":1")
	want("rack 0|base default 1|new connections: bbr", "--default", "base", "--cc", "bbr")
	want(`"foo": no such TCP implementation; there are: rack, base`, "--default", "foo")
	want(`no such TCP implementation`, "--move", "--default", "foo")
	want("--move needs --default or --cc", "--move")
	want("with --move only", "dport", "=", ":1")
	want(`"name":"rack"`, "--json")
	t.Setenv("OCASERVE_CC", "newreno") // for serve: must not turn the question into an order
	want("new connections: bbr")
	if out, err := ask(t, "ss", "-i", "--server", socket); err != nil || !strings.Contains(out, " bbr ") || !strings.Contains(out, "stack:base") {
		t.Errorf("ss: %v\n%s", err, out)
	}
	echo(1 << 20)
}
