package e2e

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A dialogue is a program that is spoken to in steps: write a line, wait for an answer.
type dialogue struct {
	t     testing.TB
	stdin io.WriteCloser
	out   *lockedBuffer
	seen  int // how much of out earlier steps have consumed
	wait  func() error
}

func converse(t testing.TB, ns *Namespace, args ...string) *dialogue {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	cmd := ns.Command(ctx, args...)
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	d := &dialogue{t: t, out: &lockedBuffer{}, wait: cmd.Wait}
	cmd.Stdout, cmd.Stderr = d.out, d.out
	var err error
	if d.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *dialogue) say(text string) {
	if _, err := io.WriteString(d.stdin, text); err != nil {
		d.t.Fatalf("saying %q: %v\n%s", text, err, tail(d.out.String()))
	}
}

// hear waits until the program has printed text since the last step.
func (d *dialogue) hear(text string) {
	d.t.Helper()
	for range 500 {
		all := d.out.String()
		if i := strings.Index(all[d.seen:], text); i >= 0 {
			d.seen += i + len(text)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	d.t.Fatalf("not heard within 5 s: %q\n%s", text, tail(d.out.String()))
}

func (d *dialogue) end() string {
	d.stdin.Close()
	_ = d.wait() // s_client's status only repeats what the output says
	return d.out.String()
}

const get = "GET /f HTTP/1.1\r\nHost: a\r\n\r\n"

// serveText serves a short file f with a recognizable end.
func serveText(t testing.TB, ns *Namespace, flags ...string) *Server {
	root := Root(t)
	if err := os.WriteFile(filepath.Join(root, "f"), []byte("the file and its end\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return Start(t, ns, append([]string{"serve", "--net", "tun", root}, flags...)...)
}

func TestOpenSSLChain(t *testing.T) {
	Need(t, "openssl")
	ns := NewNamespace(t)
	s := serveText(t, ns)
	d := converse(t, ns, "openssl", "s_client", "-connect", IPv4+":443", "-CAfile", s.Cert(),
		"-showcerts", "-verify_return_error", "-verify_ip", IPv4, "-alpn", "h2,http/1.1", "-ign_eof")
	d.hear("BEGIN CERTIFICATE")
	d.hear("Verify return code: 0 (ok)")
	d.say("GET /f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	d.hear("the file and its end")
	if out := d.end(); !strings.Contains(out, "ALPN protocol: http/1.1") {
		t.Errorf("no ALPN http/1.1:\n%s", tail(out))
	}
}

func TestOpenSSLResumes(t *testing.T) {
	Need(t, "openssl")
	ns := NewNamespace(t)
	s := serveText(t, ns)
	for _, version := range []string{"-tls1_3", "-tls1_2"} {
		t.Run(version[1:], func(t *testing.T) {
			session := filepath.Join(t.TempDir(), "session")
			for i, want := range []string{"New, TLSv1", "Reused, TLSv1"} {
				flag := []string{"-sess_out", "-sess_in"}[i]
				d := converse(t, ns, "openssl", "s_client", "-connect", IPv4+":443", "-CAfile", s.Cert(), version, flag, session)
				d.hear(want)
				d.say(get)
				d.hear("the file and its end")
				d.say("Q\n")
				d.end()
			}
		})
	}
}

// TestKeyUpdate: K asks the server to update too, k only announces the client's new key (RFC 8446 4.6.3).
// A response after each shows that both directions still agree on the keys.
func TestKeyUpdate(t *testing.T) {
	Need(t, "openssl")
	ns := NewNamespace(t)
	s := serveText(t, ns)
	d := converse(t, ns, "openssl", "s_client", "-connect", IPv4+":443", "-CAfile", s.Cert(), "-tls1_3", "-msg")
	d.hear("Verify return code: 0 (ok)")
	d.say(get)
	d.hear("the file and its end")
	for _, letter := range []string{"K", "k", "K", "K"} {
		d.say(letter + "\n")
		d.hear("KEYUPDATE")
		if letter == "K" {
			d.say(get)
			d.hear("<<< TLS 1.3, Handshake [length 0005], KeyUpdate")
		} else {
			d.say(get)
		}
		d.hear("the file and its end")
	}
	d.say("Q\n")
	d.end()
}

// TestGnuTLS is a second implementation's opinion: handshake, rekey, data.
func TestGnuTLS(t *testing.T) {
	Need(t, "gnutls-cli")
	ns := NewNamespace(t)
	s := serveText(t, ns)
	d := converse(t, ns, "gnutls-cli", "--x509cafile", s.Cert(), "--inline-commands", "--port", "443", IPv4)
	d.hear("Simple Client Mode")
	d.say(get)
	d.hear("the file and its end")
	d.say("^rekey^\n")
	d.say(get)
	d.hear("the file and its end")
	d.end()
}
