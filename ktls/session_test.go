package ktls

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"ocaserve/tcpstack/stream"
)

// Whole sessions against crypto/tls as the client: requests and answers of random sizes, KeyUpdates of ours
// with and without a request (which the client answers), and close_notify in both directions.
func TestSessions(t *testing.T) {
	ca := newTestCA(t)
	for i, suite := range allSuites {
		for _, mode := range []Mode{ModeUser, ModeInline} {
			t.Run(suite.String()+"/"+mode.String(), func(t *testing.T) {
				if suite.version() == TLS13 {
					useSuite13(t, suite)
				}
				s, sc, client := shake(t, ca, ca.clientFor(suite))
				e := newEndpoint(t, s, sc, mode)
				testSession(t, e, client, rand.New(rand.NewPCG(uint64(i), uint64(mode))))
			})
		}
	}
}

func testSession(t *testing.T, e *endpoint, client *tls.Conn, rng *rand.Rand) {
	const rounds = 40
	type round struct{ request, answer []byte }
	plan := make([]round, rounds)
	for i := range plan {
		plan[i] = round{randomBytes(rng, 1+rng.IntN(3000)), randomBytes(rng, 1+rng.IntN(100_000))}
	}
	done := make(chan error, 1)
	go func() {
		for i, r := range plan {
			if _, err := client.Write(r.request); err != nil {
				done <- err
				return
			}
			got := make([]byte, len(r.answer))
			if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, r.answer) {
				done <- fmt.Errorf("answer %d: %v, equal %v", i, err, bytes.Equal(got, r.answer))
				return
			}
		}
		if err := client.CloseWrite(); err != nil {
			done <- err
			return
		}
		_, err := client.Read(make([]byte, 1))
		done <- err
	}()
	updates, requests := 0, 0
	for i, r := range plan {
		got, err := e.readN(len(r.request))
		if err != nil || !bytes.Equal(got, r.request) {
			t.Fatalf("request %d: %v (client: %v)", i, err, finished(done))
		}
		if e.f.w.version == TLS13 && rng.IntN(3) == 0 {
			ask := rng.IntN(2) == 0
			if err := e.f.KeyUpdate(&e.q, ask); err != nil {
				t.Fatal(err)
			}
			updates++
			if ask {
				requests++
			}
		}
		if err := e.write(rng, r.answer); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.read(); err != io.EOF {
		t.Fatalf("after the client's close_notify: %v", err)
	}
	e.f.CloseNotify(&e.q)
	if err := e.q.flush(e.nc); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != io.EOF {
		t.Fatalf("client: %v, want EOF by our close_notify", err)
	}
	if e.events[EventKeyUpdate] != requests {
		t.Fatalf("%d KeyUpdates came for our %d requests", e.events[EventKeyUpdate], requests)
	}
	if e.f.w.version == TLS13 && updates == 0 {
		t.Fatal("the test made no KeyUpdate")
	}
}

func finished(done chan error) error {
	select {
	case err := <-done:
		return err
	default:
		return errors.New("still running")
	}
}

// A holdConn gathers what the client writes after its first flight, until let go: its Finished and its first
// request then arrive in one segment.
type holdConn struct {
	net.Conn
	held bytes.Buffer
	n    int
}

func (c *holdConn) Write(p []byte) (int, error) {
	if c.n++; c.n == 1 {
		return c.Conn.Write(p)
	}
	return c.held.Write(p)
}

// oneByte makes the server read single bytes.
type oneByte struct{ net.Conn }

func (c oneByte) Read(p []byte) (int, error) { return c.Conn.Read(p[:min(1, len(p))]) }

// Application data right behind the client's Finished stays in the connection.
func TestDataBehindFinished(t *testing.T) {
	ca := newTestCA(t)
	for _, c := range []struct {
		suite   Suite
		resumed bool
	}{
		{AES128GCM, false}, {AES128GCM, true},
		{ECDHE_ECDSA_AES128GCM, true}, // in a full TLS 1.2 handshake the client has to wait for our Finished
	} {
		for _, dribble := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/resumed=%v/dribble=%v", c.suite, c.resumed, dribble), func(t *testing.T) {
				conf := ca.clientFor(c.suite)
				conf.ClientSessionCache = tls.NewLRUClientSessionCache(1)
				if c.resumed {
					fetchTicket(t, ca, conf)
				}
				sc, cc := loopback(t)
				if dribble {
					sc = oneByte{sc}
				}
				hold := &holdConn{Conn: cc}
				client := tls.Client(hold, conf)
				done := make(chan error, 1)
				go func() {
					err := client.Handshake()
					for _, text := range []string{"GET /a", "GET /b"} {
						if err == nil {
							_, err = client.Write([]byte(text))
						}
					}
					if err == nil {
						_, err = cc.Write(hold.held.Bytes())
					}
					done <- err
				}()
				s, err := Handshake(context.Background(), sc, ca.server)
				if err != nil {
					t.Fatal(err)
				}
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				if s.Resumed != c.resumed {
					t.Fatalf("resumed %v", s.Resumed)
				}
				e := newEndpoint(t, s, sc, ModeInline)
				got, err := e.readN(12)
				if err != nil || string(got) != "GET /aGET /b" {
					t.Fatalf("%q, %v", got, err)
				}
			})
		}
	}
}

// fetchTicket runs one connection far enough for the client to store a ticket.
func fetchTicket(t testing.TB, ca *testCA, conf *tls.Config) *Session {
	t.Helper()
	s, sc, client := shake(t, ca, conf)
	e := newEndpoint(t, s, sc, ModeUser)
	if err := e.write(rand.New(rand.NewPCG(1, 1)), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil { // a TLS 1.3 client reads the ticket here
		t.Fatal(err)
	}
	client.Close()
	return s
}

// Many handshakes at once, full and resumed, both versions, while certificates are reloaded and ticket keys
// rotate. With -race this is the proof that they share nothing they should not.
func TestConcurrentHandshakes(t *testing.T) {
	ca := newTestCA(t)
	stop := make(chan struct{})
	var reloads sync.WaitGroup
	reloads.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := ca.server.Certs.Reload(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			conf := ca.clientFor([]Suite{AES128GCM, ECDHE_ECDSA_AES256GCM}[i%2])
			conf.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			for _, resumed := range []bool{false, true} {
				if err := exchange(t, ca, conf, resumed, byte(i)); err != nil {
					t.Errorf("handshake %d, resumed=%v: %v", i, resumed, err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	reloads.Wait()
}

// exchange shakes hands over a pipe and passes one message each way.
func exchange(t testing.TB, ca *testCA, conf *tls.Config, resumed bool, id byte) error {
	sc, cc := net.Pipe()
	defer sc.Close()
	client := tls.Client(cc, conf)
	done := make(chan error, 1)
	go func() {
		defer cc.Close()
		_, err := client.Write([]byte{id})
		b := make([]byte, 2)
		if err == nil {
			_, err = io.ReadFull(client, b)
		}
		if err == nil && b[0] != id {
			err = errors.New("got somebody else's answer")
		}
		done <- err
	}()
	s, err := Handshake(context.Background(), sc, ca.server)
	if err != nil {
		return err
	}
	if s.Resumed != resumed {
		return fmt.Errorf("resumed %v", s.Resumed)
	}
	f, o, err := s.Start(ModeInline, NewPool(0))
	if err != nil {
		return err
	}
	b, _ := readRecord(t, sc, o)
	if len(b) != 1 || b[0] != id {
		return fmt.Errorf("request %v", b)
	}
	var q queue
	if err := f.Append(&q, []stream.Piece{{Data: []byte{id, id}}}); err != nil {
		return err
	}
	if err := q.flush(sc); err != nil {
		return err
	}
	return <-done
}
