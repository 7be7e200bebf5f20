package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// startServer runs ocaserve serve on this machine's loopback until the test ends, and returns its admin socket and
// the address of its HTTPS port.
func startServer(t *testing.T, dir string, args ...string) (socket, base string) {
	t.Helper()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	socket, p := filepath.Join(t.TempDir(), "admin"), freePort(t)
	cmd, _, err := parse(append([]string{"serve", dir, "--net", "relay", "--listen", "127.0.0.1", "--http", "off",
		"--https", fmt.Sprint(p), "--cache", "64MiB", "--admin", socket}, args...), io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	opts, err := cmd.(*serveFlags).options()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan *server, 1), make(chan error, 1)
	opts.ready = func(s *server) { ready <- s }
	go func() { ended <- serve(ctx, opts, io.Discard) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return socket, fmt.Sprintf("https://127.0.0.1:%d", p)
}

// wantAsk checks that an answer, or the error, has all parts.
func wantAsk(t *testing.T, parts string, args ...string) {
	t.Helper()
	got, err := ask(t, args...)
	if err != nil {
		got += err.Error()
	}
	got = strings.Join(strings.Fields(got), " ")
	for part := range strings.SplitSeq(parts, "|") {
		if !strings.Contains(got, part) {
			t.Errorf("%q: %s\nlacks %q", args, got, part)
		}
	}
}

// An open connection goes from the NIC to the CPU and back in the middle of a response, which stays right.
func TestTlsstatMoves(t *testing.T) {
	dir, want := t.TempDir(), make([]byte, 32<<20)
	rand.NewChaCha8([32]byte{1}).Read(want)
	if err := os.WriteFile(filepath.Join(dir, "f"), want, 0o644); err != nil {
		t.Fatal(err)
	}
	socket, base := startServer(t, dir, "--tls", "nic")
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // self-signed
	t.Cleanup(tr.CloseIdleConnections)
	res, err := (&http.Client{Transport: tr}).Get(base + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body bytes.Buffer
	read := func(n int64) {
		t.Helper()
		if got, err := io.CopyN(&body, res.Body, n); got < n {
			t.Fatalf("%d bytes, %v", got, err)
		}
	}
	read(1 << 20)
	wantAsk(t, "tls:nic", "ss", "-i", "--server", socket)
	wantAsk(t, `"tls":"nic"`, "ss", "--json", "--server", socket)
	wantAsk(t, "new connections: nic (TCP_TXTLS_MODE IFNET)|TlsCurrTxDevice 1|TlsTxDevice 1|stats.ifnet.gcm: 1", "tlsstat", "--server", socket)
	wantAsk(t, "0 connections moved, 0 cannot be|TlsCurrTxDevice 1", "tlsstat", "--mode", "sw", "--move", "--server", socket, "dport", "=", ":1")
	wantAsk(t, "1 connections moved, 0 cannot be|TlsCurrTxSw 1|TlsCurrTxDevice 0|switch_to_sw: 1|switch_to_sw(command): 1",
		"tlsstat", "--mode", "sw", "--move", "--server", socket)
	wantAsk(t, "tls:inline", "ss", "-i", "--server", socket)
	read(8 << 20)
	wantAsk(t, "1 connections moved|switch_to_ifnet: 1", "tlsstat", "--mode", "ifnet", "--move", "--server", socket)
	read(int64(len(want) - body.Len()))
	if !bytes.Equal(body.Bytes(), want) {
		t.Error("wrong bytes")
	}
	wantAsk(t, `"mode":"inline","txtls":"SW"|"switch_to_ifnet","value":1`, "tlsstat", "--mode", "sw", "--json", "--server", socket)
	wantAsk(t, "new connections: user (TCP_TXTLS_MODE NONE)", "tlsstat", "--mode", "none", "--server", socket)
}

// Orders that cannot be followed say why.
func TestTlsstatRefusals(t *testing.T) {
	socket, _ := startServer(t, t.TempDir(), "--tls", "user")
	for _, c := range []struct{ args, want string }{
		{"", "new connections: user|TlsCurrTxSw 0|kern.ipc.tls.stats.offload_total: 0"},
		{"--mode nic", "this server has no emulated NIC; start it with --nic on"},
		{"--mode nic --move", "this server has no emulated NIC; start it with --nic on"},
		{"--move", "--move needs --mode"},
		{"--mode none --move", "open ones move between ifnet and sw"},
		{"--mode sw dport = :1", "with --move only"},
		{"--mode sw --move warp", `"warp" is not sport`},
		{"--mode toe", "--mode must be one of"},
	} {
		wantAsk(t, c.want, append([]string{"tlsstat", "--server", socket}, strings.Fields(c.args)...)...)
	}
}
