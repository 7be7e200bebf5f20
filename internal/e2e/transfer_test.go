package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	RemoveBinary()
	os.Exit(code)
}

// suites are all that the record layer knows, as curl names them; each is forced by offering nothing else.
var suites = []struct {
	version, suite string
	args           []string
}{
	{"TLSv1.3", "TLS_AES_128_GCM_SHA256", []string{"--tlsv1.3", "--tls13-ciphers", "TLS_AES_128_GCM_SHA256"}},
	{"TLSv1.3", "TLS_AES_256_GCM_SHA384", []string{"--tlsv1.3", "--tls13-ciphers", "TLS_AES_256_GCM_SHA384"}},
	{"TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256", []string{"--tlsv1.3", "--tls13-ciphers", "TLS_CHACHA20_POLY1305_SHA256"}},
	{"TLSv1.2", "AES128-GCM-SHA256", tls12("AES128-GCM-SHA256")},
	{"TLSv1.2", "AES256-GCM-SHA384", tls12("AES256-GCM-SHA384")},
	{"TLSv1.2", "CHACHA20-POLY1305", tls12("CHACHA20-POLY1305")},
}

// tls12 offers a cipher for either kind of certificate.
func tls12(cipher string) []string {
	return []string{"--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-" + cipher + ":ECDHE-RSA-" + cipher}
}

// TestFetch holds the first promise against curl: the same bytes for every version, suite, family and mode.
func TestFetch(t *testing.T) {
	Need(t, "curl")
	root := Root(t)
	name, sum := BigFile(t, root)
	for _, mode := range []string{"user", "inline", "nic"} {
		t.Run(mode, func(t *testing.T) {
			ns := NewNamespace(t)
			s := Start(t, ns, "serve", "--net", "tun", "--tls", mode, root)
			for _, host := range []string{IPv4, IPv6} {
				for _, c := range suites {
					t.Run(fmt.Sprintf("%s/%s/v%c", c.version, c.suite, family(host)), func(t *testing.T) {
						f := MustCurl(t, ns, sum, append(c.args, "--cacert", s.Cert(), URL("https", host, name))...)
						if line := "SSL connection using " + c.version; !strings.Contains(f.Log, line) || !strings.Contains(f.Log, c.suite) {
							t.Errorf("curl does not report %s with %s:\n%s", line, c.suite, tail(f.Log))
						}
					})
				}
				MustCurl(t, ns, sum, URL("http", host, name))
			}
		})
	}
}

func family(host string) byte {
	if strings.HasPrefix(host, "[") {
		return '6'
	}
	return '4'
}

// TestManyAtOnce fetches different files over 64 connections at the same time.
func TestManyAtOnce(t *testing.T) {
	Need(t, "curl")
	root := Root(t)
	const files, clients = 8, 64
	var sums [files]Digest
	for i := range sums {
		sums[i] = WriteRandom(t, filepath.Join(root, fmt.Sprint(i)), 2<<20+int64(i)*777, byte(i))
	}
	ns := NewNamespace(t)
	s := Start(t, ns, "serve", "--net", "tun", "--cache", "8MiB", root) // smaller than the files: pages come and go
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			MustCurl(t, ns, sums[i%files], "--cacert", s.Cert(), URL("https", IPv4, fmt.Sprint(i%files)))
		})
	}
	wg.Wait()
}

// TestRanges reassembles a file from ranges of awkward sizes, fetched over one connection.
func TestRanges(t *testing.T) {
	Need(t, "curl")
	root, out := Root(t), t.TempDir()
	const size = 5<<20 + 4321
	sum := WriteRandom(t, filepath.Join(root, "f"), size, 3)
	ns := NewNamespace(t)
	s := Start(t, ns, "serve", "--net", "tun", root)
	args := []string{"curl", "-sS", "--fail", "--http1.1", "--cacert", s.Cert()}
	var parts []string
	for from, n := 0, 1; from < size; from, n = from+n, n*3+1 {
		part := filepath.Join(out, fmt.Sprintf("%08d", from))
		parts = append(parts, part)
		if len(parts) > 1 {
			args = append(args, "--next", "-sS", "--fail", "--http1.1", "--cacert", s.Cert())
		}
		args = append(args, "-r", fmt.Sprintf("%d-%d", from, min(from+n, size)-1), "-o", part, URL("https", IPv4, "f"))
	}
	ns.MustRun(t, fetchTime(), args...)
	h := sha256.New()
	for _, part := range parts {
		data, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(data)
	}
	if got := Digest(hex.EncodeToString(h.Sum(nil))); got != sum {
		t.Errorf("%d ranges reassemble to sha256 %.12s, want %.12s", len(parts), got, sum)
	}
}
