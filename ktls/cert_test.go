package ktls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// makePair writes a self-made certificate for names with an RSA or ECDSA key.
func makePair(t testing.TB, useRSA bool, life time.Duration, names ...string) CertPair {
	t.Helper()
	var priv any
	var pub any
	if useRSA {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		priv, pub = k, k.Public()
	} else {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		priv, pub = k, k.Public()
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, priv)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "pair.pem")
	data := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return CertPair{name, name}
}

// served returns the certificate that a client asking for name gets.
func served(t *testing.T, server *ServerConfig, conf *tls.Config, name string) *x509.Certificate {
	t.Helper()
	conf = conf.Clone()
	conf.ServerName, conf.InsecureSkipVerify = name, true
	_, _, client := shake(t, &testCA{server: server}, conf)
	return client.ConnectionState().PeerCertificates[0]
}

func TestCertificateByName(t *testing.T) {
	store, err := NewStore(
		makePair(t, false, time.Hour, "default.test"),
		makePair(t, false, time.Hour, "Video.Test", "*.cdn.test"),
		makePair(t, false, time.Hour, "edge.cdn.test"),
		makePair(t, true, time.Hour, "both.test"),
		makePair(t, false, time.Hour, "both.test"),
	)
	if err != nil {
		t.Fatal(err)
	}
	server := &ServerConfig{Certs: store}
	for name, want := range map[string]string{
		"video.test":      "Video.Test",
		"a.cdn.test":      "Video.Test",
		"edge.cdn.test":   "edge.cdn.test", // exact before wildcard
		"a.b.cdn.test":    "default.test",  // a wildcard is one label (RFC 6125, 6.4.3)
		"unknown.test":    "default.test",
		"":                "default.test",
		"both.test":       "both.test",
		"DEFAULT.test":    "default.test",
		"198.18.0.2":      "default.test",
		"cdn.test":        "default.test",
		"xvideo.test":     "default.test",
		"video.test.evil": "default.test",
	} {
		if got := served(t, server, &tls.Config{}, name); got.Subject.CommonName != want {
			t.Errorf("%q got the certificate of %q, want %q", name, got.Subject.CommonName, want)
		}
	}
	// A client that cannot verify RSA, or ECDSA, gets the one it can.
	for suite, alg := range map[Suite]x509.PublicKeyAlgorithm{
		ECDHE_RSA_AES128GCM: x509.RSA, ECDHE_RSA_AES256GCM: x509.RSA, ECDHE_RSA_ChaCha20Poly1305: x509.RSA,
		ECDHE_ECDSA_AES128GCM: x509.ECDSA, ECDHE_ECDSA_ChaCha20Poly1305: x509.ECDSA,
	} {
		conf := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{uint16(suite)}}
		if got := served(t, server, conf, "both.test"); got.PublicKeyAlgorithm != alg {
			t.Errorf("%v got a certificate with %v", suite, got.PublicKeyAlgorithm)
		}
	}
	if infos := store.Certs(); len(infos) != 5 || !slices.Equal(infos[1].Names, []string{"Video.Test", "*.cdn.test"}) ||
		infos[0].NotAfter.IsZero() {
		t.Errorf("Certs: %+v", infos)
	}
}

func TestReload(t *testing.T) {
	live := makePair(t, false, time.Hour, "one.test")
	store, err := NewStore(live)
	if err != nil {
		t.Fatal(err)
	}
	server := &ServerConfig{Certs: store}
	conf := &tls.Config{ServerName: "x.test", InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	fetchTicket(t, &testCA{server: server}, conf)

	replace := func(data []byte) {
		if err := os.WriteFile(live.Cert, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replace([]byte("half a cert"))
	if err := store.Reload(); err == nil || !strings.Contains(err.Error(), live.Cert) || !strings.Contains(err.Error(), "stay in use") {
		t.Fatalf("error %v", err)
	}
	if got := served(t, server, &tls.Config{}, ""); got.Subject.CommonName != "one.test" {
		t.Fatalf("after the failed reload %q is served", got.Subject.CommonName)
	}
	data, err := os.ReadFile(makePair(t, false, time.Hour, "two.test").Cert)
	if err != nil {
		t.Fatal(err)
	}
	replace(data)
	if err := store.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := served(t, server, &tls.Config{}, ""); got.Subject.CommonName != "two.test" {
		t.Fatalf("after the reload %q is served", got.Subject.CommonName)
	}
	if s := fetchTicket(t, &testCA{server: server}, conf); !s.Resumed {
		t.Fatal("a new certificate ended resumption")
	}
}

func TestNewStoreErrors(t *testing.T) {
	if _, err := NewStore(); err == nil {
		t.Error("an empty store")
	}
	a, b := makePair(t, false, time.Hour, "a.test"), makePair(t, false, time.Hour, "b.test")
	for _, p := range []CertPair{{a.Cert, b.Key}, {a.Cert, a.Key + ".missing"}, {"missing", a.Key}} {
		if _, err := NewStore(a, p); err == nil || !strings.Contains(err.Error(), p.Key) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func TestSelfSigned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "tls")
	names := []string{"localhost", "198.18.0.2", "::1"}
	pair, public, err := SelfSigned(dir, names)
	if err != nil {
		t.Fatal(err)
	}
	leaf := func() *x509.Certificate {
		c, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf
	}
	first := leaf()
	for _, n := range names {
		if err := first.VerifyHostname(n); err != nil {
			t.Error(err)
		}
	}
	if k, ok := first.PublicKey.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() || first.IsCA {
		t.Errorf("key %T, CA %v", first.PublicKey, first.IsCA)
	}
	for name, mode := range map[string]os.FileMode{pair.Key: 0o600, dir: os.ModeDir | 0o700, public: 0o644} {
		if st, err := os.Stat(name); err != nil || st.Mode() != mode {
			t.Errorf("%s has mode %v, want %v (%v)", name, st.Mode(), mode, err)
		}
	}
	pub, err := os.ReadFile(public)
	if err != nil || strings.Contains(string(pub), "PRIVATE") || !strings.Contains(string(pub), "CERTIFICATE") {
		t.Errorf("public file: %q, %v", pub, err)
	}

	again := func(names ...string) *x509.Certificate {
		t.Helper()
		if _, _, err := SelfSigned(dir, names); err != nil {
			t.Fatal(err)
		}
		return leaf()
	}
	if got := again("localhost"); !got.Equal(first) {
		t.Error("made anew although it covers the name")
	}
	second := again("localhost", "media.test")
	if second.Equal(first) {
		t.Error("not made anew for another name")
	}
	if err := os.WriteFile(pair.Key, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := again("media.test"); got.Equal(second) {
		t.Error("damaged file served")
	}
	old, err := os.ReadFile(makePair(t, false, selfSignedSpare-time.Minute, "media.test").Cert)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pair.Key, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := again("media.test"); time.Until(got.NotAfter) < selfSignedSpare {
		t.Error("about to expire, and still used")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
	if _, _, err := SelfSigned(dir, nil); err == nil {
		t.Error("a certificate for nobody")
	}
	if _, _, err := SelfSigned(pair.Key, []string{"a"}); err == nil || !strings.Contains(err.Error(), pair.Key) {
		t.Errorf("a file as folder: %v", err)
	}
}
