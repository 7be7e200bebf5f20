package e2e

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRelayUnprivileged serves as nobody: --net auto must find that only the relay is possible.
func TestRelayUnprivileged(t *testing.T) {
	Need(t, "curl", "setpriv")
	root := Root(t)
	sum := WriteRandom(t, filepath.Join(root, "f"), 8<<20+5, 6)
	ns := NewNamespace(t)
	s := StartAs(t, ns, []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
		"env", "-u", "XDG_STATE_HOME", "HOME=/nonexistent", "TMPDIR=" + Root1777(t)},
		"serve", "--listen", "127.0.0.1", root)
	if !strings.Contains(s.Banner, "relay") {
		t.Errorf("nobody does not get a relay:\n%s", s.Banner)
	}
	MustCurl(t, ns, sum, "-k", "https://127.0.0.1:8443/f")
	MustCurl(t, ns, sum, "http://127.0.0.1:8080/f")
}

// Root1777 is a folder that everybody may write to.
func Root1777(t testing.TB) string {
	dir := Root(t)
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDrain: SIGTERM lets a running response finish, takes no new connection, and ends with status 0.
func TestDrain(t *testing.T) {
	Need(t, "curl")
	root := Root(t)
	sum := WriteRandom(t, filepath.Join(root, "f"), 16<<20, 8)
	for _, c := range []struct{ net, host string }{{"tun", IPv4}, {"relay", "localhost:8443"}} {
		t.Run(c.net, func(t *testing.T) {
			ns := NewNamespace(t)
			s := Start(t, ns, "serve", "--net", c.net, root)
			done := make(chan Fetch)
			go func() {
				done <- Curl(ns, fetchTime(), "--limit-rate", "12M", "--cacert", s.Cert(), URL("https", c.host, "f"))
			}()
			time.Sleep(500 * time.Millisecond)
			if err := s.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
			again := Curl(ns, 3*time.Second, "--connect-timeout", "2", "--cacert", s.Cert(), URL("https", c.host, "f"))
			if again.Code == 0 {
				t.Error("a new connection was served while draining")
			}
			if f := <-done; f.Code != 0 || f.Digest != sum {
				t.Errorf("the running response broke: exit status %d, %d bytes\n%s", f.Code, f.Bytes, tail(f.Log))
			}
			if status := s.Wait(10 * time.Second); status != 0 {
				t.Errorf("exit status %d\n%s", status, s.Stderr())
			}
		})
	}
}

// TestReload: SIGHUP takes a renewed certificate into use without dropping what runs.
func TestReload(t *testing.T) {
	Need(t, "curl", "openssl")
	root, keys := Root(t), t.TempDir()
	sum := WriteRandom(t, filepath.Join(root, "f"), 1000, 9)
	cert, key := filepath.Join(keys, "c.pem"), filepath.Join(keys, "k.pem")
	ns := NewNamespace(t)
	renew := func(name string) { makeCert(t, ns, name, "IP:"+IPv4, cert, key) }
	renew("first")
	s := Start(t, ns, "serve", "--net", "tun", "--tls-cert", cert, "--tls-key", key, root)
	if f := MustCurl(t, ns, sum, "--cacert", cert, URL("https", IPv4, "f")); !strings.Contains(f.Log, "CN=first") {
		t.Errorf("not the first certificate:\n%s", tail(f.Log))
	}
	renew("second")
	if err := s.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if f := Curl(ns, 5*time.Second, "--cacert", cert, URL("https", IPv4, "f")); strings.Contains(f.Log, "CN=second") && f.Digest == sum {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("the second certificate is not in use after SIGHUP")
}

// makeCert writes a self-signed certificate with one subjectAltName.
func makeCert(t *testing.T, ns *Namespace, name, alt, cert, key string) {
	t.Helper()
	ns.MustRun(t, 10*time.Second, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
		"-nodes", "-days", "2", "-subj", "/CN="+name, "-addext", "subjectAltName="+alt, "-keyout", key, "-out", cert)
}

// TestSNI: of several certificates the client gets the one for the name it asks for, else the first.
func TestSNI(t *testing.T) {
	Need(t, "openssl")
	ns, root, keys := NewNamespace(t), Root(t), t.TempDir()
	args := []string{"serve", "--net", "tun"}
	for _, name := range []string{"a.test", "b.test"} {
		cert, key := filepath.Join(keys, name+".crt"), filepath.Join(keys, name+".key")
		makeCert(t, ns, name, "DNS:"+name, cert, key)
		args = append(args, "--tls-cert", cert, "--tls-key", key)
	}
	Start(t, ns, append(args, root)...)
	for asked, want := range map[string]string{"a.test": "a.test", "b.test": "b.test", "c.test": "a.test"} {
		d := converse(t, ns, "openssl", "s_client", "-connect", IPv4+":443", "-servername", asked)
		d.hear("subject=CN = " + want)
		d.say("Q\n")
		d.end()
	}
}

// TestStartupErrors: what the system refuses is one line that says what to do, and exit status 1.
func TestStartupErrors(t *testing.T) {
	Need(t, "setpriv")
	ns := NewNamespace(t)
	root := Root(t)
	nobody := []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}
	secret := filepath.Join(root, "secret")
	if err := os.Mkdir(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	busy := converse(t, ns, Binary(t), "serve", "--net", "relay", "--listen", "127.0.0.1", root)
	defer func() { _ = busy.stdin.Close() }()
	busy.hear("Ctrl-C")
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"missing capability", append(nobody, Binary(t), "serve", "--net", "tun", root), "--net relay"},
		{"unreadable folder", append(nobody, Binary(t), "serve", "--net", "relay", secret), "permission denied"},
		{"busy port", []string{Binary(t), "serve", "--net", "relay", "--listen", "127.0.0.1", root}, "--https"},
		{"privileged port", append(nobody, Binary(t), "serve", "--net", "relay", "--https", "443", root), "--https"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			var stderr lockedBuffer
			cmd := ns.Command(ctx, c.args...)
			cmd.Stdout, cmd.Stderr = io.Discard, &stderr
			cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+Root1777(t))
			status := exitCode(cmd.Run())
			text := strings.TrimSpace(stderr.String())
			if status != 1 || strings.Count(text, "\n") != 0 || !strings.Contains(text, c.want) {
				t.Errorf("exit status %d: %q; want status 1 and one line with %q", status, text, c.want)
			}
		})
	}
}

// TestPcap: the capture is one that tcpdump reads, with a packet for each on the wire, and not for others to
// read: it may hold plaintext.
func TestPcap(t *testing.T) {
	Need(t, "curl", "tcpdump")
	root, file := Root(t), filepath.Join(t.TempDir(), "run.pcapng")
	const size = 1 << 20
	sum := WriteRandom(t, filepath.Join(root, "f"), size, 10)
	ns := NewNamespace(t)
	s := Start(t, ns, "serve", "--net", "tun", "--pcap", file, root)
	MustCurl(t, ns, sum, URL("http", IPv4, "f"))
	if err := s.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := s.Wait(10 * time.Second); status != 0 {
		t.Fatalf("exit status %d\n%s", status, s.Stderr())
	}
	out := ns.MustRun(t, 10*time.Second, "tcpdump", "-nn", "-v", "-r", file, "src", IPv4)
	payload := 0
	for _, m := range regexp.MustCompile(`\], length (\d+)`).FindAllStringSubmatch(out, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > 1460 {
			t.Fatalf("a packet with %s bytes of payload is none of a wire: %v", m[1], err)
		}
		payload += n
	}
	if payload < size || payload > size+4096 { // the response's head comes on top
		t.Errorf("the capture holds %d bytes of payload, sent were %d", payload, size)
	}
	if strings.Contains(out, "incorrect") {
		t.Errorf("tcpdump finds wrong checksums:\n%s", tail(out))
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("capture file: %v, %v", info.Mode(), err)
	}
}
