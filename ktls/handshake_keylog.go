package ktls

import (
	"bytes"
	"encoding/hex"
	"errors"
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
	client, server secret // TLS 1.3: application traffic secrets
	master, random secret // TLS 1.2: master secret and client random
	lines          int
	also           io.Writer // a copy for Wireshark; nil unless explicitly configured
}

var errKeyLog = errors.New("ktls: crypto/tls logged a key in an unknown form")

// Write implements tls.Config.KeyLogWriter. crypto/tls serialises all key logs of the process, so `also` needs
// no lock; that it fails is no reason to refuse the client.
func (k *keyLog) Write(line []byte) (int, error) {
	k.lines++
	label, rest, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	random, value, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return 0, errKeyLog
	}
	if err := k.take(string(label), random, value); err != nil {
		return 0, errKeyLog
	}
	if k.also != nil {
		k.also.Write(line)
	}
	return len(line), nil
}

func (k *keyLog) take(label string, random, value []byte) error {
	switch label {
	case "CLIENT_TRAFFIC_SECRET_0":
		return k.client.set(value)
	case "SERVER_TRAFFIC_SECRET_0":
		return k.server.set(value)
	case "CLIENT_RANDOM":
		if err := k.random.set(random); err != nil {
			return err
		}
		return k.master.set(value)
	}
	return nil
}

// silent reports that no key has been derived, so that records still go out in the clear.
func (k *keyLog) silent() bool { return k.lines == 0 }

func (k *keyLog) wipe() { *k = keyLog{} }
