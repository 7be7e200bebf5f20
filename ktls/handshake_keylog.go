package ktls

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// A secret is a value of at most 48 bytes (SHA-384, TLS 1.2 master secret) that can be wiped.
type secret struct {
	buf [48]byte
	n   int
}

func (s *secret) bytes() []byte { return s.buf[:s.n] }

func (s *secret) set(text []byte) error {
	if hex.DecodedLen(len(text)) > len(s.buf) {
		return errKeyLog
	}
	n, err := hex.Decode(s.buf[:], text)
	s.n = n
	return err
}

// A keyLog receives the key log of one handshake, lines of "LABEL clientRandom secret" in hex.
type keyLog struct {
	client, server secret    // TLS 1.3: application traffic secrets
	master         secret    // TLS 1.2: the master secret, logged or from the ticket
	also           io.Writer // a copy for Wireshark; nil unless explicitly configured
}

var errKeyLog = errors.New("ktls: crypto/tls logged a key in an unknown form")

// Write implements tls.Config.KeyLogWriter. That `also` fails is no reason to refuse the client.
func (k *keyLog) Write(line []byte) (int, error) {
	fields := bytes.Fields(line)
	if len(fields) != 3 {
		return 0, errKeyLog
	}
	if err := k.take(string(fields[0]), fields[2]); err != nil {
		return 0, errKeyLog
	}
	if k.also != nil {
		k.also.Write(line)
	}
	return len(line), nil
}

func (k *keyLog) take(label string, value []byte) error {
	switch label {
	case "CLIENT_TRAFFIC_SECRET_0":
		return k.client.set(value)
	case "SERVER_TRAFFIC_SECRET_0":
		return k.server.set(value)
	case "CLIENT_RANDOM":
		return k.master.set(value)
	}
	return nil
}

// logResumed writes the line for Wireshark that crypto/tls leaves out when it resumes a TLS 1.2 session.
func (k *keyLog) logResumed(clientRandom []byte) {
	if k.also != nil {
		fmt.Fprintf(k.also, "CLIENT_RANDOM %x %x\n", clientRandom, k.master.bytes())
	}
}

func (k *keyLog) wipe() { *k = keyLog{} }
