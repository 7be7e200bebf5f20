package ktls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

const (
	selfSignedLife  = 397 * 24 * time.Hour // the longest that browsers accept
	selfSignedSpare = 30 * 24 * time.Hour  // replaced when less than this is left
)

// SelfSigned returns a certificate for names (host names and IP addresses) that it made itself and keeps
// under dir, which is created if needed. An earlier one is used again while it covers every name and is
// valid for another month.
//
// Key and certificate of pair are in one file, readable by the owner only, so that they can never be of two
// generations; public is the certificate alone, for clients that want to trust it (curl --cacert).
func SelfSigned(dir string, names []string) (pair CertPair, public string, err error) {
	if len(names) == 0 {
		return pair, "", errors.New("a certificate needs at least one host name or address")
	}
	private := filepath.Join(dir, "self-signed.pem")
	pair = CertPair{Cert: private, Key: private}
	public = filepath.Join(dir, "self-signed.crt")
	now := time.Now()
	cert, ok := reusable(pair, names, now)
	var key []byte
	if !ok {
		if cert, key, err = newSelfSigned(names, now); err == nil {
			err = os.MkdirAll(dir, 0o700)
		}
		if err == nil {
			err = writeFile(private, append(key, cert...), 0o600)
		}
	}
	if old, readErr := os.ReadFile(public); err == nil && (readErr != nil || !bytes.Equal(old, cert)) {
		err = writeFile(public, cert, 0o644)
	}
	if err != nil {
		return CertPair{}, "", fmt.Errorf("self-signed certificate under %s: %w", dir, err)
	}
	return pair, public, nil
}

// reusable returns the stored certificate in PEM if it still serves.
func reusable(pair CertPair, names []string, now time.Time) ([]byte, bool) {
	c, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil || now.Before(c.Leaf.NotBefore) || c.Leaf.NotAfter.Sub(now) < selfSignedSpare {
		return nil, false
	}
	for _, name := range names {
		if c.Leaf.VerifyHostname(name) != nil {
			return nil, false
		}
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Leaf.Raw}), true
}

// newSelfSigned makes an ECDSA P-256 key and a certificate for it, both in PEM. It is a server certificate
// and no authority: whoever trusts it trusts these names only.
func newSelfSigned(names []string, now time.Time) (cert, key []byte, err error) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"ocaserve self-signed"}}, // names are in the SAN (RFC 9525)
		NotBefore:             now.Add(-time.Hour),                                       // clocks of clients differ
		NotAfter:              now.Add(selfSignedLife - time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip, err := netip.ParseAddr(name); err == nil {
			template.IPAddresses = append(template.IPAddresses, ip.AsSlice())
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, priv.Public(), priv)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return nil, nil, err
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	return cert, key, nil
}

// writeFile replaces name as a whole, so that a reader sees the old or the new content.
func writeFile(name string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails harmlessly once renamed
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	return err
}
