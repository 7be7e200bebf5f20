package ktls

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	_ "unsafe" // go:linkname

	"ocaserve/tcpstack/stream"
)

// The suites of TLS 1.3 cannot be configured in crypto/tls. Its tables of preference may be reached by
// linkname (golang.org/issue/67401), which lets one test process shake hands with all three.
//
//go:linkname tls13Suites crypto/tls.defaultCipherSuitesTLS13
var tls13Suites []uint16

//go:linkname tls13SuitesNoAES crypto/tls.defaultCipherSuitesTLS13NoAES
var tls13SuitesNoAES []uint16

// useSuite13 makes s the only suite of TLS 1.3 in this process until the test ends.
func useSuite13(t testing.TB, s Suite) {
	a, b := tls13Suites, tls13SuitesNoAES
	tls13Suites, tls13SuitesNoAES = []uint16{uint16(s)}, []uint16{uint16(s)}
	t.Cleanup(func() { tls13Suites, tls13SuitesNoAES = a, b })
}

var (
	suites13   = []Suite{AES128GCM, AES256GCM, ChaCha20Poly1305}
	ecSuites12 = []Suite{ECDHE_ECDSA_AES128GCM, ECDHE_ECDSA_AES256GCM, ECDHE_ECDSA_ChaCha20Poly1305}
)

// A queue is a send queue that never forgets, as far as spans can tell.
type queue struct {
	spans []stream.Span
}

func (q *queue) Append(s stream.Span) { q.spans = append(q.spans, s) }

func (q *queue) len() (n int) {
	for _, s := range q.spans {
		n += s.Len()
	}
	return n
}

// gather returns bytes [from, to) of the queue.
func (q *queue) gather(from, to int) []byte {
	var g stream.Gather
	g.Init(make([]byte, to-from), 16)
	for _, s := range q.spans {
		n := s.Len()
		if a, b := max(from, 0), min(to, n); a < b {
			s.Gather(&g, a, b)
		}
		from, to = from-n, to-n
	}
	return bytes.Join(g.Pieces(), nil)
}

func (q *queue) release() {
	for _, s := range q.spans {
		s.Release()
	}
	q.spans = q.spans[:0]
}

// flush writes the queue to w and releases it, as transmission and ACK would.
func (q *queue) flush(w io.Writer) error {
	_, err := w.Write(q.gather(0, q.len()))
	q.release()
	return err
}

// A page counts the holds on all its pieces.
type page struct {
	holds atomic.Int64
}

func (p *page) Retain() { p.holds.Add(1) }

func (p *page) Release() { p.holds.Add(-1) }

// A hold is the count of one piece. Like that of a cached page it may not come back from zero.
type hold struct {
	page *page
	n    int
}

func (h *hold) Retain() {
	if h.n == 0 {
		panic("retained after the last hold was released")
	}
	h.n++
	h.page.Retain()
}

func (h *hold) Release() {
	if h.n--; h.n < 0 {
		panic("page released more often than retained")
	}
	h.page.Release()
}

// piece gives one hold on data.
func (p *page) piece(data []byte) stream.Piece {
	p.Retain()
	return stream.Piece{Data: data, Ref: &hold{p, 1}}
}

// A testCA is a server configuration and the client's side of it.
type testCA struct {
	server *ServerConfig
	client *tls.Config
	pair   CertPair
}

func newTestCA(t testing.TB, names ...string) *testCA {
	t.Helper()
	if len(names) == 0 {
		names = []string{"video.test"}
	}
	pair, public, err := SelfSigned(t.TempDir(), names)
	if err != nil {
		t.Fatal(err)
	}
	store, err := NewStore(pair)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in the public file")
	}
	return &testCA{
		server: &ServerConfig{Certs: store},
		client: &tls.Config{RootCAs: pool, ServerName: names[0], NextProtos: []string{"http/1.1"}},
		pair:   pair,
	}
}

// clientFor is a client that can only negotiate s, given useSuite13 for TLS 1.3.
func (ca *testCA) clientFor(s Suite) *tls.Config {
	c := ca.client.Clone()
	c.MinVersion, c.MaxVersion = uint16(s.version()), uint16(s.version())
	if s.version() == TLS12 {
		c.CipherSuites = []uint16{uint16(s)}
	}
	return c
}

// loopback returns the two ends of a TCP connection: unlike net.Pipe it buffers, as a client expects that
// sends its Finished and its request without waiting for us.
func loopback(t testing.TB) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close(); client.Close() })
	deadline := time.Now().Add(20 * time.Second) // a broken test fails instead of hanging
	server.SetDeadline(deadline)
	client.SetDeadline(deadline)
	return server, client
}

// shake runs a handshake between Handshake and a crypto/tls client.
func shake(t testing.TB, ca *testCA, conf *tls.Config) (*Session, net.Conn, *tls.Conn) {
	t.Helper()
	sc, cc := loopback(t)
	client := tls.Client(cc, conf)
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	s, err := Handshake(context.Background(), sc, ca.server)
	if err != nil {
		t.Fatalf("server: %v (client: %v)", err, <-done)
	}
	if err := <-done; err != nil {
		t.Fatalf("client: %v", err)
	}
	return s, sc, client
}
