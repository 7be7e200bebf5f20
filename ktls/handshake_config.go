package ktls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// A ServerConfig is what all handshakes of a server share. It must not be copied or changed after the first
// Handshake. Certificates may be reloaded at any time (Store.Reload); ticket keys outlive that.
type ServerConfig struct {
	// Certs chooses the certificate; required.
	Certs *Store
	// MinVersion is TLS12 (the default) or TLS13.
	MinVersion Version
	// ALPN lists the protocols served; empty means http/1.1. A client that offers only others is refused.
	ALPN []string
	// TicketRotation is how often a new key encrypts session tickets; two older ones still decrypt. Zero
	// means 12 hours, negative no tickets and so no resumption.
	TicketRotation time.Duration
	// KeyLog receives the secrets of every connection in the NSS format that Wireshark reads. It defeats
	// the purpose of TLS; set it only on explicit request. Calls are serialised.
	KeyLog io.Writer
	// Time is the wall clock; nil means time.Now.
	Time func() time.Time

	logMu   sync.Mutex
	once    sync.Once
	conf    *tls.Config
	err     error
	tickets ticketKeys
}

// suites12 are the TLS 1.2 suites we serve: forward secret, authenticated encryption. The three of TLS 1.3
// are always on.
var suites12 = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// base returns the configuration that each handshake clones, with ticket keys of the hour.
func (c *ServerConfig) base() (*tls.Config, error) {
	c.once.Do(func() { c.conf, c.err = c.build() })
	if c.err != nil {
		return nil, c.err
	}
	if c.TicketRotation >= 0 {
		c.tickets.rotate(c.now(), c.TicketRotation, c.conf.SetSessionTicketKeys)
	}
	return c.conf, nil
}

func (c *ServerConfig) build() (*tls.Config, error) {
	if c.Certs == nil {
		return nil, errors.New("ktls: ServerConfig needs a certificate store")
	}
	version := max(c.MinVersion, TLS12)
	if version > TLS13 || c.MinVersion != 0 && c.MinVersion < TLS12 {
		return nil, fmt.Errorf("ktls: minimum version %v: use TLS 1.2 or 1.3", c.MinVersion)
	}
	alpn := c.ALPN
	if len(alpn) == 0 {
		alpn = []string{"http/1.1"}
	}
	return &tls.Config{
		GetCertificate:         c.Certs.get,
		MinVersion:             uint16(version),
		MaxVersion:             tls.VersionTLS13,
		CipherSuites:           suites12,
		NextProtos:             alpn,
		SessionTicketsDisabled: c.TicketRotation < 0,
		Time:                   c.Time,
	}, nil
}

// keyLog is the configured key log behind a lock, or nil.
func (c *ServerConfig) keyLog() io.Writer {
	if c.KeyLog == nil {
		return nil
	}
	return lockedWriter{c}
}

type lockedWriter struct{ c *ServerConfig }

func (w lockedWriter) Write(p []byte) (int, error) {
	w.c.logMu.Lock()
	defer w.c.logMu.Unlock()
	return w.c.KeyLog.Write(p)
}
