package ktls

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"ocaserve/tcpstack/stream"
)

// A recorder keeps what the server writes, record by record.
type recorder struct {
	net.Conn
	mu   sync.Mutex
	wire []byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	r.wire = append(r.wire, p...)
	r.mu.Unlock()
	return r.Conn.Write(p)
}

// alerts returns the bodies of the alert records, as far as one can tell from outside (see tap.written).
func (r *recorder) alerts(t *testing.T) (bodies [][]byte) {
	t.Helper()
	for wire := r.wire; len(wire) > 0; {
		need, err := RecordLen(wire)
		if err != nil || need > len(wire) {
			t.Fatalf("torn record at the end: %v", err)
		}
		if typ := contentType(wire[0]); typ == typeAlert || typ == typeData && need == headerLen+2+1+tagLen {
			bodies = append(bodies, wire[headerLen:need])
			if need != len(wire) {
				t.Error("something follows an alert")
			}
		}
		wire = wire[need:]
	}
	return bodies
}

// raw sends fixed bytes and reads until the server is done.
func raw(text string) func(net.Conn) {
	return func(c net.Conn) {
		go c.Write([]byte(text))
		io.Copy(io.Discard, c)
	}
}

func client(conf *tls.Config) func(net.Conn) {
	return func(c net.Conn) {
		tc := tls.Client(c, conf)
		tc.Handshake()
		c.Close()
	}
}

// A flipConn damages the last byte of the n-th write of a client.
type flipConn struct {
	net.Conn
	n int
}

func (c *flipConn) Write(p []byte) (int, error) {
	if c.n--; c.n == 0 {
		p = bytes.Clone(p)
		p[len(p)-1] ^= 1
	}
	return c.Conn.Write(p)
}

// On a failed handshake the peer hears exactly one fatal alert (RFC 8446, 6.2).
func TestHandshakeAlerts(t *testing.T) {
	ca := newTestCA(t)
	with := func(f func(c *tls.Config)) func(net.Conn) {
		c := ca.client.Clone()
		f(c)
		return client(c)
	}
	flip := func(n int, conf *tls.Config) func(net.Conn) {
		return func(c net.Conn) { client(conf)(&flipConn{c, n}) }
	}
	for name, c := range map[string]struct {
		run    func(net.Conn)
		alerts int
		alert  Alert // 0: under encryption
	}{
		"TLS 1.1": {with(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), 1, AlertProtocolVersion},
		"no common protocol": {with(func(c *tls.Config) { c.NextProtos = []string{"spdy/3"} }), 1,
			Alert(120)}, // no_application_protocol (RFC 7301, 3.2)
		"CBC only": {with(func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}), 1, AlertHandshakeFailure},
		"RSA key exchange only": {with(func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		}), 1, AlertHandshakeFailure},
		"damaged Finished, TLS 1.3":  {flip(2, ca.clientFor(AES128GCM)), 1, 0},
		"damaged Finished, TLS 1.2":  {flip(2, ca.clientFor(ECDHE_ECDSA_AES128GCM)), 1, AlertBadRecordMAC},
		"record too long":            {raw("\x16\x03\x01\xff\xff"), 1, AlertRecordOverflow},
		"garbage in a record":        {raw("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"), 1, AlertDecodeError},
		"handshake message too long": {raw("\x16\x03\x01\x00\x05\x01\xff\xff\xff\x00"), 1, AlertInternalError},
		"ServerHello from a client":  {raw("\x16\x03\x01\x00\x04\x0e\x00\x00\x00"), 1, AlertUnexpectedMessage},
		"SSLv2":                      {raw("\x80\x2e\x01\x00\x02"), 1, AlertProtocolVersion},
		"client does not trust us":   {with(func(c *tls.Config) { c.RootCAs = nil }), 0, 0},
		"client goes away":           {func(c net.Conn) { c.Close() }, 0, 0},
		"client goes away later":     {func(c net.Conn) { c.Write([]byte("\x16\x03\x01\x00\x05\x01")); c.Close() }, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			sc, cc := loopback(t)
			rec := &recorder{Conn: sc}
			done := make(chan struct{})
			go func() { defer close(done); c.run(cc) }()
			s, err := Handshake(context.Background(), rec, ca.server)
			if err == nil || s != nil {
				t.Fatal("the handshake succeeded")
			}
			if errors.Is(err, ErrNotTLS) {
				t.Fatalf("%v", err)
			}
			sc.Close()
			<-done
			alerts := rec.alerts(t)
			if len(alerts) != c.alerts {
				t.Fatalf("%d alerts, want %d (%v)", len(alerts), c.alerts, err)
			}
			if c.alert != 0 && len(alerts[0]) == 2 && (alerts[0][0] != levelFatal || Alert(alerts[0][1]) != c.alert) {
				t.Fatalf("alert %v, want fatal %v (%v)", alerts[0], c.alert, err)
			}
		})
	}
}

// A client that speaks something else is told nothing by us: the caller may answer in its language.
func TestNotTLS(t *testing.T) {
	ca := newTestCA(t)
	sc, cc := loopback(t)
	rec := &recorder{Conn: sc}
	go cc.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	_, err := Handshake(context.Background(), rec, ca.server)
	if !errors.Is(err, ErrNotTLS) || !strings.Contains(err.Error(), "GET /") || len(rec.wire) != 0 {
		t.Fatalf("%v, wrote %q", err, rec.wire)
	}
}

func TestHandshakeContext(t *testing.T) {
	ca := newTestCA(t)
	sc, cc := loopback(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Handshake(ctx, sc, ca.server)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if n, err := cc.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatalf("client read %d, %v: the connection should be closed", n, err)
	}
}

func TestServerConfigErrors(t *testing.T) {
	for name, c := range map[string]*ServerConfig{
		"no certificates": {},
		"old version":     {Certs: newTestCA(t).server.Certs, MinVersion: 0x0302},
	} {
		if _, err := Handshake(context.Background(), nil, c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMinVersion(t *testing.T) {
	ca := newTestCA(t)
	ca.server.MinVersion = TLS13
	s, _, _ := shake(t, ca, ca.client)
	if s.Version != TLS13 {
		t.Fatalf("version %v", s.Version)
	}
	sc, cc := loopback(t)
	go client(ca.clientFor(ECDHE_ECDSA_AES128GCM))(cc)
	if _, err := Handshake(context.Background(), sc, ca.server); err == nil {
		t.Fatal("TLS 1.2 got through")
	}
}

// The record number at hand-over, with a HelloRetryRequest and with and without a session ticket before it.
func TestRecordNumbers(t *testing.T) {
	ca := newTestCA(t)
	noTickets := newTestCA(t)
	noTickets.server.TicketRotation = -1
	retry := newTestCA(t)
	base, err := retry.server.base()
	if err != nil {
		t.Fatal(err)
	}
	base.CurvePreferences = []tls.CurveID{tls.CurveP384} // the client sends no share for it at first
	for _, c := range []struct {
		name        string
		ca          *testCA
		suite       Suite
		write, read uint64
		retried     bool
	}{
		{"1.3 with ticket", ca, AES128GCM, 1, 0, false},
		{"1.3 without", noTickets, AES128GCM, 0, 0, false},
		{"1.3 with HelloRetryRequest", retry, AES128GCM, 1, 0, true},
		{"1.2 with ticket", ca, ECDHE_ECDSA_AES128GCM, 1, 1, false},
		{"1.2 without", noTickets, ECDHE_ECDSA_ChaCha20Poly1305, 1, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := c.ca.clientFor(c.suite)
			conf.ClientSessionCache = tls.NewLRUClientSessionCache(1) // or it does not ask for a ticket
			s, sc, client := shake(t, c.ca, conf)
			if w, r := s.Write.Seq(), s.Read.Seq(); w != c.write || r != c.read {
				t.Fatalf("record numbers %d and %d, want %d and %d", w, r, c.write, c.read)
			}
			if got := client.ConnectionState().HelloRetryRequest; got != c.retried {
				t.Fatalf("HelloRetryRequest %v", got)
			}
			e := newEndpoint(t, s, sc, ModeInline)
			wantPanic(t, "sealed twice", func() {
				if c.write == 0 {
					e.f.keys.guard.claim(0)
				}
				e.f.keys.guard.claim(0) // crypto/tls used it
			})
		})
	}
}

func TestResumption(t *testing.T) {
	now := time.Now()
	for _, suite := range []Suite{AES128GCM, ECDHE_ECDSA_AES256GCM} {
		t.Run(suite.version().String(), func(t *testing.T) {
			ca := newTestCA(t)
			ca.server.Time = func() time.Time { return now }
			ca.server.TicketRotation = time.Hour
			conf := ca.clientFor(suite)
			conf.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			want := func(resumed bool) {
				t.Helper()
				if s := fetchTicket(t, ca, conf); s.Resumed != resumed || s.Suite != suite {
					t.Fatalf("resumed %v with %v", s.Resumed, s.Suite)
				}
			}
			want(false)
			want(true)
			want(true) // from the ticket of a resumed session
			now = now.Add(time.Hour)
			want(true) // the key before the newest
			old, _ := conf.ClientSessionCache.Get("video.test")
			now = now.Add(time.Hour)
			want(true)
			now = now.Add(time.Hour)
			want(true)
			now = now.Add(time.Hour)
			conf.ClientSessionCache.Put("video.test", old)
			want(false) // its key was rotated out
			now = now.Add(100 * time.Hour)
			want(false) // and a long silence rotates all of them
		})
	}
}

// A TLS 1.2 ticket that lacks the master secret, as crypto/tls itself would make it, leads to a full handshake.
func TestForeignTicket(t *testing.T) {
	ca := newTestCA(t)
	base, err := ca.server.base()
	if err != nil {
		t.Fatal(err)
	}
	conf := ca.clientFor(ECDHE_ECDSA_AES128GCM)
	conf.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	sc, cc := loopback(t)
	done := make(chan error, 1)
	go func() { done <- tls.Client(cc, conf).Handshake() }()
	if err := tls.Server(sc, base.Clone()).Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if s := fetchTicket(t, ca, conf); s.Resumed {
		t.Fatal("resumed without a key")
	}
	if s := fetchTicket(t, ca, conf); !s.Resumed {
		t.Fatal("not resumed from our own ticket")
	}
}

func TestTicketRotation(t *testing.T) {
	var k ticketKeys
	var got [][32]byte
	installs := 0
	install := func(keys [][32]byte) { got, installs = keys, installs+1 }
	at := time.Unix(1e9, 0)
	k.rotate(at, time.Hour, install)
	first := got[0]
	k.rotate(at.Add(59*time.Minute), time.Hour, install)
	if installs != 1 || len(got) != 1 {
		t.Fatalf("%d installs, %d keys", installs, len(got))
	}
	k.rotate(at.Add(time.Hour), time.Hour, install)
	second := got[0]
	if len(got) != 2 || got[1] != first || second == first {
		t.Fatal("the old key should follow the new one")
	}
	k.rotate(at.Add(2*time.Hour), time.Hour, install)
	k.rotate(at.Add(3*time.Hour), time.Hour, install)
	if len(got) != ticketKeyCount || got[2] != second {
		t.Fatalf("%d keys", len(got))
	}
	before := got
	k.rotate(at.Add(5*time.Hour+time.Minute), time.Hour, install) // one rotation was missed
	if got[2] != before[0] || got[0] == got[1] {
		t.Fatal("a missed rotation should replace two keys")
	}
	k.rotate(at.Add(1000*time.Hour), time.Hour, install)
	for _, key := range got {
		if key == before[0] || key == [32]byte{} {
			t.Fatal("an old key survived a long silence")
		}
	}
}

// The key log for Wireshark decrypts what we send, full and resumed; without it nothing is logged.
func TestKeyLog(t *testing.T) {
	var log bytes.Buffer
	ca := newTestCA(t)
	ca.server.KeyLog = &log
	for _, suite := range []Suite{AES128GCM, ECDHE_ECDSA_AES128GCM} {
		conf := ca.clientFor(suite)
		conf.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		var clients bytes.Buffer
		conf.KeyLogWriter = &clients
		for _, resumed := range []bool{false, true} {
			log.Reset()
			clients.Reset()
			if s := fetchTicket(t, ca, conf); s.Resumed != resumed {
				t.Fatalf("resumed %v", s.Resumed)
			}
			want := clients.String()
			if resumed && suite.version() == TLS12 {
				if !strings.HasPrefix(log.String(), "CLIENT_RANDOM ") || strings.Count(log.String(), "\n") != 1 {
					t.Fatalf("log %q", log.String())
				}
				continue // crypto/tls logs nothing on the client's side either
			}
			if log.String() != want || want == "" {
				t.Fatalf("log\n%swant\n%s", log.String(), want)
			}
		}
	}
}

func TestSecretsAreWiped(t *testing.T) {
	k := keyLog{}
	if _, err := k.Write([]byte("SERVER_TRAFFIC_SECRET_0 00ff " + strings.Repeat("ab", 32) + "\n")); err != nil {
		t.Fatal(err)
	}
	if len(k.server.bytes()) != 32 || k.server.bytes()[31] != 0xab {
		t.Fatalf("%x", k.server.bytes())
	}
	for _, bad := range []string{"", "X", "CLIENT_RANDOM 00", "CLIENT_RANDOM 00 zz", "CLIENT_RANDOM 00 " + strings.Repeat("00", 49)} {
		if _, err := k.Write([]byte(bad)); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
	k.wipe()
	if k != (keyLog{}) {
		t.Fatal("secrets left")
	}
}

// A TLS 1.2 client that hides handshake bytes in the record of its Finished is refused: nobody would see them.
func TestHiddenHandshakeBytes(t *testing.T) {
	ca := newTestCA(t)
	s, _, _ := shake(t, ca, ca.clientFor(ECDHE_ECDSA_AES128GCM))
	sc, cc := loopback(t)
	tp := &tap{Conn: sc}
	tp.in = direction{ccs: true, sinceCCS: 1, handshakeBytes: 16 + 8 + tagLen}
	if err := tp.checkFinished(s); err != nil {
		t.Fatal(err)
	}
	tp.in = direction{ccs: true, sinceCCS: 2, handshakeBytes: 16 + 2*(8+tagLen)} // a Finished in two records
	if err := tp.checkFinished(s); err != nil {
		t.Fatal(err)
	}
	tp.in = direction{ccs: true, sinceCCS: 1, handshakeBytes: 20 + 8 + tagLen}
	if err := tp.checkFinished(s); err == nil {
		t.Fatal("four bytes too many")
	}
	alert := make([]byte, 64)
	if n, err := cc.Read(alert); err != nil || n != headerLen+8+2+tagLen || alert[0] != byte(typeAlert) {
		t.Fatalf("%x, %v", alert[:n], err)
	}
}

// readRecord reads and opens one record.
func readRecord(t testing.TB, r io.Reader, o *Opener) ([]byte, Event) {
	t.Helper()
	rec := make([]byte, headerLen)
	if _, err := io.ReadFull(r, rec); err != nil {
		t.Fatal(err)
	}
	need, err := RecordLen(rec)
	if err != nil {
		t.Fatal(err)
	}
	rec = append(rec, make([]byte, need-headerLen)...)
	if _, err := io.ReadFull(r, rec[headerLen:]); err != nil {
		t.Fatal(err)
	}
	n, plain, ev, err := o.Open(rec)
	if err != nil || n != len(rec) {
		t.Fatalf("Open: n=%d of %d, %v", n, len(rec), err)
	}
	return plain, ev
}

// The first words after the hand-over, each way; and the session says what was agreed.
func TestHandOver(t *testing.T) {
	ca := newTestCA(t)
	for _, suite := range allSuites {
		t.Run(suite.String(), func(t *testing.T) {
			if suite.version() == TLS13 {
				useSuite13(t, suite)
			}
			s, sc, client := shake(t, ca, ca.clientFor(suite))
			if s.Suite != suite || s.Version != suite.version() || s.ServerName != "video.test" || s.ALPN != "http/1.1" ||
				s.Write.Version() != s.Version || s.Read.Suite() != suite {
				t.Fatalf("session %+v", s)
			}
			f, o, err := s.Start(ModeUser, NewPool(0))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.Start(ModeUser, NewPool(0)); err == nil {
				t.Fatal("a session started twice")
			}
			var q queue
			if err := f.Append(&q, []stream.Piece{{Data: []byte("hello")}}); err != nil {
				t.Fatal(err)
			}
			if err := q.flush(sc); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 5)
			if _, err := io.ReadFull(client, b); err != nil || string(b) != "hello" {
				t.Fatalf("client read %q, %v", b, err)
			}
			if _, err := client.Write([]byte("world")); err != nil {
				t.Fatal(err)
			}
			if got, ev := readRecord(t, sc, o); string(got) != "world" || ev != EventNone {
				t.Fatalf("server read %q, %v", got, ev)
			}
		})
	}
}
