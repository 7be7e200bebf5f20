package origin

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ocaserve/cache"
	"ocaserve/content"
	"ocaserve/ktls"
	"ocaserve/ktls/offload"
	"ocaserve/nicoffload"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/fault"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/mono"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	clientAddr = netip.MustParseAddr("192.0.2.1")
	serverAddr = netip.MustParseAddr("192.0.2.2")
)

// house is the whole path: two stacks on a cable, an origin on one, real clients on the other.
type house struct {
	t      testing.TB
	nic    *nicoffload.Interface // of the server; nil: none
	client *tcpstack.Stack
	srv    *Server
	roots  *x509.CertPool
}

func newHouse(t testing.TB, files map[string]string, mode ktls.Mode) *house {
	t.Helper()
	return newLossyHouse(t, files, mode, 0)
}

// newLossyHouse is a house whose cable loses packets at that rate.
func newLossyHouse(t testing.TB, files map[string]string, mode ktls.Mode, loss float64) *house {
	t.Helper()
	dir, state := t.TempDir(), t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		os.Chtimes(filepath.Join(dir, name), fileTime, fileTime)
	}
	cat := must(content.Open(dir, content.Options{}))
	pages := must(cache.New(cache.Config{Bytes: 32 << 20}))
	pair, public, err := ktls.SelfSigned(state, []string{"origin.test"})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, roots: x509.NewCertPool()}
	h.roots.AppendCertsFromPEM(must(os.ReadFile(public)))
	ia, ib := memory.New(memory.Config{TSO: true})
	t.Cleanup(func() { cat.Close(); pages.Close() }) // after the stacks, which hold pages
	opts := Options{
		Catalogue: cat, Cache: pages, Wall: time.Now, Mode: mode, Linger: time.Second,
		TLS: &ktls.ServerConfig{Certs: must(ktls.NewStore(pair))},
	}
	var near, far link.Interface = ib, ia
	if mode == ktls.ModeNIC {
		h.nic = must(nicoffload.New(ib, nicoffload.Config{}))
		near = h.nic
		far = fault.New(ia, fault.Config{Loss: loss, Seed: 1})
		t.Cleanup(func() { h.nic.Close() })
		opts.NIC = func(s *tcpstack.Shard) offload.NIC { return h.nic.Queues()[s.ID()].(*nicoffload.Device) }
	}
	h.srv = must(New(opts))
	h.client = h.start(clientAddr, far)
	server := h.start(serverAddr, near)
	for port, serve := range map[uint16]func(*tcpstack.Stack, netip.AddrPort) error{80: h.srv.ServeHTTP, 443: h.srv.ServeHTTPS} {
		if err := serve(server, netip.AddrPortFrom(serverAddr, port)); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// start runs a stack until the test ends.
func (h *house) start(addr netip.Addr, i link.Interface) *tcpstack.Stack {
	st := must(tcpstack.New(tcpstack.Config{Addrs: []netip.Addr{addr}}, i.Queues()))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- st.Run(ctx) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("Run: %v", err)
		}
	})
	return st
}

func (h *house) dial(port uint16) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return h.client.DialFrom(ctx, netip.AddrPortFrom(clientAddr, 0), netip.AddrPortFrom(serverAddr, port))
}

// http is net/http's client over the stack.
func (h *house) http(change func(*tls.Config)) *http.Client {
	conf := &tls.Config{RootCAs: h.roots, ServerName: "origin.test"}
	if change != nil {
		change(conf)
	}
	tr := &http.Transport{
		DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
			if strings.HasSuffix(addr, ":443") {
				return h.dial(443)
			}
			return h.dial(80)
		},
		TLSClientConfig: conf, DisableCompression: true,
	}
	h.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 60 * time.Second}
}

func fetch(c *http.Client, url string) (sum [32]byte, n int64, err error) {
	res, err := c.Get(url)
	if err != nil {
		return sum, 0, err
	}
	defer res.Body.Close()
	hash := sha256.New()
	n, err = io.Copy(hash, res.Body)
	if err == nil && n != res.ContentLength {
		err = fmt.Errorf("%d bytes, Content-Length %d", n, res.ContentLength)
	}
	return [32]byte(hash.Sum(nil)), n, err
}

func bigFile() string {
	var b strings.Builder
	for i := 0; b.Len() < 3<<20; i++ {
		fmt.Fprintf(&b, "line %d of a file that is not a multiple of anything\n", i)
	}
	return b.String()
}

// Real TLS clients get the right bytes, in both modes and versions, several requests on one connection.
func TestRealClients(t *testing.T) {
	file := bigFile()
	want := sha256.Sum256([]byte(file))
	for _, mode := range []ktls.Mode{ktls.ModeUser, ktls.ModeInline, ktls.ModeNIC} {
		h := newHouse(t, map[string]string{"big": file}, mode)
		for name, change := range map[string]func(*tls.Config){
			"TLS 1.3": nil,
			"TLS 1.2": func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		} {
			t.Run(mode.String()+" "+name, func(t *testing.T) {
				c := h.http(change)
				for range 2 {
					if sum, n, err := fetch(c, "https://origin.test/big"); err != nil || sum != want {
						t.Fatalf("%d bytes of %d, right: %v, %v", n, len(file), sum == want, err)
					}
				}
			})
		}
		if sum, _, err := fetch(h.http(nil), "http://origin.test/big"); err != nil || sum != want {
			t.Errorf("plain HTTP: right: %v, %v", sum == want, err)
		}
		if st := h.srv.Stats(); st.Requests != 5 || st.Classes[2] != 5 || st.Aborted != 0 {
			t.Errorf("stats: %+v", st)
		}
	}
}

// tlsStats sums the shards' counters of the record layer.
func (h *house) tlsStats() (sum ktls.Stats) {
	h.srv.mu.Lock()
	defer h.srv.mu.Unlock()
	for _, sh := range h.srv.shards {
		got := make(chan ktls.Stats)
		sh.post(func(mono.Time) { got <- sh.pool.Stats() })
		st := <-got
		sum.Records += st.Records
		sum.Offloaded += st.Offloaded
		for why := range st.Switches.ToSW {
			sum.Switches.ToSW[why] += st.Switches.ToSW[why]
		}
	}
	return sum
}

func (h *house) nicStat(name string) uint64 {
	for _, st := range h.nic.Stats() {
		if st.Name == name {
			return st.Value
		}
	}
	h.t.Fatalf("the adapter has no counter %s", name)
	return 0
}

// Over a bad line connections leave the adapter, between two records, and the client notices nothing.
func TestNICUnderLoss(t *testing.T) {
	file := bigFile()[:2<<20]
	want := sha256.Sum256([]byte(file))
	h := newLossyHouse(t, map[string]string{"big": file}, ktls.ModeNIC, 0.04)
	if sum, n, err := fetch(h.http(nil), "https://origin.test/big"); err != nil || sum != want {
		t.Fatalf("%d bytes of %d, right: %v, %v", n, len(file), sum == want, err)
	}
	st := h.tlsStats()
	if st.Offloaded == 0 || st.Records == 0 || st.Switches.ToSW[ktls.ReasonRetransmits] == 0 {
		t.Errorf("%d records by the adapter, %d by the CPU, switches %v", st.Offloaded, st.Records, st.Switches.ToSW)
	}
	if sealed, again := h.nicStat("tx_tls_encrypted_bytes"), h.nicStat("tx_tls_dump_bytes"); sealed == 0 || again == 0 {
		t.Errorf("the adapter sealed %d bytes and read %d again", sealed, again)
	}
	for _, name := range []string{"tx_tls_drop_no_sync_data", "tx_tls_drop_bypass_req", "tx_tls_drop_lost_place"} {
		if n := h.nicStat(name); n != 0 {
			t.Errorf("%s: %d", name, n)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	file := bigFile()
	want := sha256.Sum256([]byte(file))
	h := newHouse(t, map[string]string{"big": file}, ktls.ModeInline)
	var wg sync.WaitGroup
	for range 16 {
		c := h.http(nil)
		wg.Go(func() {
			if sum, n, err := fetch(c, "https://origin.test/big"); err != nil || sum != want {
				t.Errorf("%d bytes, right: %v, %v", n, sum == want, err)
			}
		})
	}
	wg.Wait()
}

// A connection that has shaken hands and is idle has no goroutine.
func TestIdleConnectionsHaveNoGoroutine(t *testing.T) {
	h := newHouse(t, map[string]string{"f": "x"}, ktls.ModeInline)
	before := runtime.NumGoroutine()
	const n = 50
	for range n {
		nc, err := h.dial(443)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		c := tls.Client(nc, &tls.Config{RootCAs: h.roots, ServerName: "origin.test"})
		if _, err := io.WriteString(c, get("/f")); err != nil {
			t.Fatal(err)
		}
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
	}
	if more := runtime.NumGoroutine() - before; more > n/2 {
		t.Errorf("%d goroutines for %d idle connections", more, n)
	}
	if open := h.srv.Stats().Open; open != n {
		t.Errorf("Open = %d, want %d", open, n)
	}
}

func TestPlainOnTLSPort(t *testing.T) {
	h := newHouse(t, map[string]string{"f": "x"}, ktls.ModeInline)
	c, err := h.dial(443)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, get("/f"))
	got, err := io.ReadAll(c)
	if string(got) != plainOnTLS {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestHandshakeTimeout(t *testing.T) {
	h := newHouse(t, map[string]string{"f": "x"}, ktls.ModeInline)
	h.srv.opts.HandshakeTimeout = time.Millisecond
	c, err := h.dial(443)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	hello := []byte{22, 3, 1, 0, 5, 1, 0, 1, 0, 3} // the beginning of a ClientHello that never goes on
	c.Write(hello)
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection was not ended")
	}
	// The client may see the end of the connection before the server has counted it.
	for deadline := time.Now().Add(5 * time.Second); h.srv.Stats().HandshakeErrors != 1; {
		if time.Now().After(deadline) {
			t.Fatalf("HandshakeErrors = %d", h.srv.Stats().HandshakeErrors)
		}
		time.Sleep(time.Millisecond)
	}
}

// Draining lets a running response finish, refuses new connections, and ends idle ones.
// When clients that do not go on have taken half of the places, each keeps its place for a shorter time.
func TestPatience(t *testing.T) {
	srv := newRig(t, nil).srv
	srv.opts.MaxHandshakes = 8
	for running, want := range map[int64]time.Duration{0: 8 * time.Second, 4: 8 * time.Second, 5: 2 * time.Second} {
		srv.handshaking.Store(running)
		if got := srv.patience(8 * time.Second); got != want {
			t.Errorf("%d of 8 running: %v, want %v", running, got, want)
		}
	}
}

func TestDrainRealConnections(t *testing.T) {
	file := bigFile()
	h := newHouse(t, map[string]string{"big": file}, ktls.ModeInline)
	c, idle := h.http(nil), h.http(nil)
	if _, _, err := fetch(idle, "https://origin.test/big"); err != nil {
		t.Fatal(err)
	}
	res, err := c.Get("https://origin.test/big")
	if err != nil {
		t.Fatal(err)
	}
	drained := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	go func() { drained <- h.srv.Drain(ctx) }()
	n, err := io.Copy(io.Discard, res.Body)
	if res.Body.Close(); err != nil || n != int64(len(file)) {
		t.Errorf("running response: %d bytes of %d, %v", n, len(file), err)
	}
	c.CloseIdleConnections()
	if err := <-drained; err != nil {
		t.Errorf("Drain: %v, %d open", err, h.srv.Stats().Open)
	}
	if nc, err := h.dial(443); err == nil {
		nc.Close()
		t.Error("a new connection was accepted")
	}
}
