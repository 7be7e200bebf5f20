package compare

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"

	"ocaserve/ktls"
)

// secrets receives the key log of one handshake: lines of "LABEL clientRandom secret" in hex.
type secrets struct {
	client, server []byte // TLS 1.3: application traffic secrets
	master         []byte // TLS 1.2
	clientRandom   []byte
}

// Write implements tls.Config.KeyLogWriter.
func (s *secrets) Write(line []byte) (int, error) {
	fields := bytes.Fields(line)
	if len(fields) != 3 {
		return 0, errors.New("crypto/tls logged a key in an unknown form")
	}
	value := make([]byte, hex.DecodedLen(len(fields[2])))
	if _, err := hex.Decode(value, fields[2]); err != nil {
		return 0, err
	}
	switch string(fields[0]) {
	case "CLIENT_TRAFFIC_SECRET_0":
		s.client = value
	case "SERVER_TRAFFIC_SECRET_0":
		s.server = value
	case "CLIENT_RANDOM":
		s.master = value
		s.clientRandom, _ = hex.DecodeString(string(fields[1]))
	}
	return len(line), nil
}

// listener remembers the server's first bytes: the random in its ServerHello, which crypto/tls does not tell.
type listener struct {
	net.Conn
	head []byte
}

// Where the random stands: behind the headers of record and message and the version (RFC 5246, 7.4.1.3).
const randomAt, randomLen = headerLen + 4 + 2, 32

func (l *listener) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if missing := randomAt + randomLen - len(l.head); missing > 0 {
		l.head = append(l.head, p[:min(n, missing)]...)
	}
	return n, err
}

// Handshake runs the client's side of a TLS 1.3 handshake over nc, with AES-128-GCM, and returns what makes a record of
// each request. It is for measurements that look at no byte of the responses.
func Handshake(ctx context.Context, nc net.Conn) (seal func(plain []byte) []byte, err error) {
	send, _, err := shake(ctx, nc, ktls.TLS13, AES128GCM)
	if err != nil {
		return nil, err
	}
	return send.seal, nil
}

// shake runs the client's side of a handshake and returns the keys of the records that follow.
func shake(ctx context.Context, nc net.Conn, version ktls.Version, c Cipher) (send, receive *direction, err error) {
	var log secrets
	l := &listener{Conn: nc}
	conn := tls.Client(l, &tls.Config{
		InsecureSkipVerify: true, // the server is in this process, and its certificate a moment old
		MinVersion:         uint16(version), MaxVersion: uint16(version),
		CipherSuites: []uint16{ciphers[c].suite12},
		NextProtos:   []string{"http/1.1"},
		KeyLogWriter: &log,
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, nil, fmt.Errorf("handshake: %w", err)
	}
	if version == ktls.TLS12 {
		if len(l.head) < randomAt+randomLen || log.master == nil {
			return nil, nil, errors.New("handshake: no secrets")
		}
		return c.directions12(log.master, log.clientRandom, l.head[randomAt:])
	}
	if got := conn.ConnectionState().CipherSuite; got != ciphers[c].suite13 {
		return nil, nil, fmt.Errorf("handshake: agreed on %s, wanted %v", tls.CipherSuiteName(got), c)
	}
	if send, err = c.direction13(log.client); err != nil {
		return nil, nil, err
	}
	receive, err = c.direction13(log.server)
	return send, receive, err
}
