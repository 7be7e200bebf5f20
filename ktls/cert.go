package ktls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A CertPair names the PEM files of a certificate chain, leaf first, and of its private key. Both may be the
// same file.
type CertPair struct{ Cert, Key string }

// A Store holds the certificates of a server and chooses one by the name the client asks for. Handshakes read
// it without a lock; Reload replaces its content as a whole.
type Store struct {
	mu    sync.Mutex // one Reload at a time
	pairs []CertPair
	set   atomic.Pointer[certSet]
}

// A certSet is one generation of certificates.
type certSet struct {
	all    []*tls.Certificate            // in the order given; the first is the default
	byName map[string][]*tls.Certificate // lower-case DNS names, wildcards as "*.example.org", IP addresses
}

// NewStore loads the pairs. The first one serves clients whose name matches none, or that send no name.
func NewStore(pairs ...CertPair) (*Store, error) {
	if len(pairs) == 0 {
		return nil, errors.New("no certificate: name a certificate file and its key")
	}
	s := &Store{pairs: pairs}
	set, err := loadCerts(pairs)
	if err != nil {
		return nil, err
	}
	s.set.Store(set)
	return s, nil
}

// Reload reads all files again. On an error, which names the file, the old certificates stay in use.
func (s *Store) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	set, err := loadCerts(s.pairs)
	if err != nil {
		return fmt.Errorf("certificates not reloaded, the previous ones stay in use: %w", err)
	}
	s.set.Store(set)
	return nil
}

// A CertInfo describes a loaded certificate, for logs.
type CertInfo struct {
	Names    []string // DNS names and IP addresses
	NotAfter time.Time
}

// Certs lists what is in use, the default first.
func (s *Store) Certs() []CertInfo {
	var infos []CertInfo
	for _, c := range s.set.Load().all {
		infos = append(infos, CertInfo{Names: certNames(c.Leaf), NotAfter: c.Leaf.NotAfter})
	}
	return infos
}

func loadCerts(pairs []CertPair) (*certSet, error) {
	set := &certSet{byName: make(map[string][]*tls.Certificate)}
	for _, p := range pairs {
		c, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s: %w", p.Cert, p.Key, err)
		}
		set.all = append(set.all, &c)
		for _, name := range certNames(c.Leaf) {
			name = strings.ToLower(name)
			set.byName[name] = append(set.byName[name], &c)
		}
	}
	return set, nil
}

func certNames(leaf *x509.Certificate) []string {
	names := append([]string(nil), leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// get implements tls.Config.GetCertificate: the certificates for the exact name, then those for its
// wildcard, then all of them; of these the first that the client can verify (its signature algorithms may
// exclude ECDSA or RSA). A name nobody serves gets the default rather than an alert, as elsewhere.
func (s *Store) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	set := s.set.Load()
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	_, parent, _ := strings.Cut(name, ".")
	able := *hello
	able.ServerName = "" // only what the client can verify: the name is looked up here
	for _, list := range [][]*tls.Certificate{set.byName[name], set.byName["*."+parent], set.all} {
		for _, c := range list {
			if able.SupportsCertificate(c) == nil {
				return c, nil
			}
		}
	}
	return set.all[0], nil
}
