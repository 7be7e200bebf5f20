package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"ocaserve/ktls"
)

// openCerts loads the user's certificates, or makes one for every name the server may be called by.
func (s *server) openCerts() (err error) {
	if s.https == portOff {
		return nil
	}
	if len(s.opts.tls.Cert) > 0 {
		var pairs []ktls.CertPair
		for i, cert := range s.opts.tls.Cert {
			pairs = append(pairs, ktls.CertPair{Cert: cert, Key: s.opts.tls.Key[i]})
		}
		if s.certs, err = ktls.NewStore(pairs...); err != nil {
			return fmt.Errorf("--tls-cert and --tls-key: %w; give a readable PEM chain and the private key of its first certificate", err)
		}
		return nil
	}
	pair, public, err := selfSigned(s.names())
	if err != nil {
		return err
	}
	s.selfSigned = public
	s.certs, err = ktls.NewStore(pair)
	return err
}

// names are what a client may call this server.
func (s *server) names() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	for _, a := range s.opts.link.plan.addrs() {
		names = append(names, a.String())
	}
	if s.net != "relay" {
		return names
	}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	if h := s.opts.link.listenName(); h != "" && h != "localhost" {
		return append(names, h)
	}
	addrs, _ := net.InterfaceAddrs() // best effort: a name too few only means a warning in the client
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() && !p.Addr().IsLoopback() {
			names = append(names, p.Addr().String())
		}
	}
	return names
}

// certFolders bounds what servers of ever new names leave behind; the last folder is used again and again.
const certFolders = 16

// selfSigned makes or finds a certificate for names: in the folder tls, or in tls-2 and so on where another
// server's certificate for other names must stay, because its clients were told to trust that file.
func selfSigned(names []string) (pair ktls.CertPair, public string, err error) {
	for n, folder := 1, "tls"; ; n++ {
		if n > 1 {
			folder = "tls-" + strconv.Itoa(n)
		}
		dir, err := stateDir(folder)
		if err != nil {
			return ktls.CertPair{}, "", err
		}
		if n == certFolders || mayHold(filepath.Join(dir, "self-signed.crt"), names) {
			return ktls.SelfSigned(dir, names)
		}
	}
}

// mayHold is whether a certificate for names may be written to file: there is none, or none for other names.
func mayHold(file string, names []string) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return os.IsNotExist(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return true // broken, of no use to anybody
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return true
	}
	for _, name := range names {
		if cert.VerifyHostname(name) != nil {
			return false
		}
	}
	return true
}
