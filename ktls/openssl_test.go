package ktls

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// needOpenSSL skips without the program; with OCASERVE_E2E=require a missing one is a failure.
func needOpenSSL(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("OCASERVE_E2E") == "require" {
			t.Fatal("openssl is not installed (apt install openssl)")
		}
		t.Skip("openssl is not installed (apt install openssl)")
	}
}

// An sclient is an `openssl s_client` talking to us.
type sclient struct {
	t     *testing.T
	in    io.WriteCloser
	lines chan string // both its outputs
	done  chan error
}

func startClient(t *testing.T, l net.Listener, args ...string) *sclient {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "openssl", append([]string{"s_client", "-connect", l.Addr().String(),
		"-servername", "video.test"}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pr, pw := io.Pipe()
	cmd.Stdout, cmd.Stderr = pw, pw
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &sclient{t: t, in: in, lines: make(chan string, 1000), done: make(chan error, 1)}
	go func() {
		c.done <- cmd.Wait()
		pw.Close()
	}()
	go func() {
		defer close(c.lines)
		for s := bufio.NewScanner(pr); s.Scan(); {
			c.lines <- s.Text()
		}
	}()
	return c
}

func (c *sclient) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, text+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

// wait reads its output until a line contains text.
func (c *sclient) wait(text string) {
	c.t.Helper()
	var seen []string
	for line := range c.lines {
		if strings.Contains(line, text) {
			return
		}
		seen = append(seen, line)
	}
	c.t.Fatalf("openssl did not print %q but:\n%s", text, strings.Join(seen, "\n"))
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// accept shakes hands with the next client.
func accept(t *testing.T, l net.Listener, ca *testCA) (*Session, net.Conn) {
	t.Helper()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	s, err := Handshake(context.Background(), nc, ca.server)
	if err != nil {
		t.Fatal(err)
	}
	return s, nc
}

// OpenSSL over all suites (RFC 8446, RFC 5288, RFC 7905); in TLS 1.3 with KeyUpdates that either side asks for.
func TestOpenSSL(t *testing.T) {
	needOpenSSL(t)
	ec, withRSA := newTestCA(t), newTestCA(t)
	store, err := NewStore(makePair(t, true, time.Hour, "video.test"))
	if err != nil {
		t.Fatal(err)
	}
	withRSA.server = &ServerConfig{Certs: store}
	for _, c := range []struct {
		suite Suite
		ca    *testCA
		args  []string
	}{
		{AES128GCM, ec, []string{"-ciphersuites", AES128GCM.String()}},
		{AES256GCM, ec, []string{"-ciphersuites", AES256GCM.String()}},
		{ChaCha20Poly1305, withRSA, []string{"-ciphersuites", ChaCha20Poly1305.String()}},
		{ECDHE_ECDSA_AES128GCM, ec, []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"}},
		{ECDHE_ECDSA_AES256GCM, ec, []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"}},
		{ECDHE_ECDSA_ChaCha20Poly1305, ec, []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"}},
		{ECDHE_RSA_AES128GCM, withRSA, []string{"-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"}},
		{ECDHE_RSA_AES256GCM, withRSA, []string{"-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"}},
		{ECDHE_RSA_ChaCha20Poly1305, withRSA, []string{"-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"}},
	} {
		t.Run(c.suite.String(), func(t *testing.T) {
			l := listen(t)
			cl := startClient(t, l, c.args...)
			s, nc := accept(t, l, c.ca)
			if s.Suite != c.suite {
				t.Fatalf("suite %v", s.Suite)
			}
			talkOpenSSL(t, newEndpoint(t, s, nc, ModeInline), cl)
		})
	}
}

func talkOpenSSL(t *testing.T, e *endpoint, cl *sclient) {
	t.Helper()
	rng := rand.New(rand.NewPCG(9, 9))
	word := func(text string) { // there and back
		t.Helper()
		cl.say(text)
		got, err := e.readN(len(text) + 1)
		if err != nil || string(got) != text+"\n" {
			t.Fatalf("%q, %v", got, err)
		}
		if err := e.write(rng, []byte("echo of "+text+"\n")); err != nil {
			t.Fatal(err)
		}
		cl.wait("echo of " + text)
	}
	word("first")
	if e.f.w.version == TLS13 {
		for i, command := range []string{"K", "k", "K"} { // K asks for our update, k does not
			cl.say(command)
			cl.wait("KEYUPDATE")
			word(fmt.Sprint("after update ", i))
			if err := e.f.KeyUpdate(&e.q, true); err != nil {
				t.Fatal(err)
			}
			word(fmt.Sprint("after ours ", i)) // when it comes back, OpenSSL has read our update,
			word(fmt.Sprint("and again ", i))  // and answers before its next write
		}
		if e.events[EventKeyUpdateRequested] != 2 || e.events[EventKeyUpdate] != 1+3 {
			t.Fatalf("events %v", e.events)
		}
	} else {
		cl.say("R") // renegotiate
		cl.wait("RENEGOTIATING")
		if _, err := e.read(); err == nil {
			t.Fatal("OpenSSL takes no_renegotiation for fatal and should have said so")
		}
		if e.events[EventRenegotiate] != 1 {
			t.Fatalf("events %v", e.events)
		}
		return
	}
	e.f.CloseNotify(&e.q)
	if err := e.q.flush(e.nc); err != nil {
		t.Fatal(err)
	}
	cl.wait("closed") // openssl prints it for a close_notify, and an error for a bare FIN
}

// A session saved by one OpenSSL process is resumed by another.
func TestOpenSSLResumes(t *testing.T) {
	needOpenSSL(t)
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		t.Run(version, func(t *testing.T) {
			ca := newTestCA(t)
			file := filepath.Join(t.TempDir(), "session.pem")
			l := listen(t)
			for i, arg := range []string{"-sess_out", "-sess_in"} {
				cl := startClient(t, l, version, arg, file)
				s, nc := accept(t, l, ca)
				if s.Resumed != (i == 1) {
					t.Fatalf("resumed %v", s.Resumed)
				}
				e := newEndpoint(t, s, nc, ModeUser)
				cl.say("hello")
				if got, err := e.readN(6); err != nil || !bytes.Equal(got, []byte("hello\n")) {
					t.Fatalf("%q, %v", got, err)
				}
				if err := e.write(rand.New(rand.NewPCG(1, 1)), []byte("welcome\n")); err != nil {
					t.Fatal(err)
				}
				cl.wait("welcome")
				cl.in.Close()
				if _, err := e.read(); err != io.EOF {
					t.Fatalf("%v, want its close_notify", err)
				}
				nc.Close()
				if err := <-cl.done; err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
