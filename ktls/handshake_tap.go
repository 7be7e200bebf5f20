package ktls

import (
	"encoding/binary"
	"errors"
	"net"
)

var (
	errTornWrite = errors.New("crypto/tls wrote a torn record")
	errLostCount = errors.New("cannot tell the number of the next record")
)

// A tap stands between crypto/tls and the connection. It reads no further than the record that crypto/tls is
// asking for, counts records where their numbers matter later, and lets one alert through.
type tap struct {
	net.Conn
	secrets keyLog

	header  [headerLen]byte // of the record being read
	headerN int
	body    int // bytes of its body still to be read
	in, out direction

	hello        [helloRandom + 32]byte // the beginning of the ClientHello, up to and including its random
	helloN       int
	serverRandom [32]byte
	haveRandom   bool
	suite        Suite
	trial        trial

	alerted bool  // an alert went out: nothing may follow it (RFC 8446, 6.2)
	err     error // the tap lost track
	ioErr   error // the connection failed
}

// helloRandom is where the random stands in a ClientHello or ServerHello: behind message header and version.
const helloRandom = 4 + 2

// A direction counts records after a change_cipher_spec: in TLS 1.2 they are the protected ones.
type direction struct {
	ccs            bool
	sinceCCS       uint64
	handshakeBytes int // body bytes of handshake records among them
}

func (d *direction) record(typ contentType, n int) {
	switch {
	case typ == typeCCS:
		d.ccs = true
	case d.ccs:
		d.sinceCCS++
		if typ == typeHandshake {
			d.handshakeBytes += n
		}
	}
}

// Read implements net.Conn. It never returns bytes of two records, so that crypto/tls cannot hold any byte
// of a record it does not process.
func (t *tap) Read(p []byte) (int, error) {
	want := t.body
	if want == 0 {
		want = headerLen - t.headerN
	}
	n, err := t.Conn.Read(p[:min(want, len(p))])
	if err != nil {
		t.ioErr = err
	}
	if t.body > 0 {
		if contentType(t.header[0]) == typeHandshake {
			t.helloN += copy(t.hello[t.helloN:], p[:n])
		}
		t.body -= n
		return n, err
	}
	t.headerN += copy(t.header[t.headerN:], p[:n])
	if t.headerN == headerLen {
		t.body = int(binary.BigEndian.Uint16(t.header[3:]))
		t.headerN = 0
		t.in.record(contentType(t.header[0]), t.body)
	}
	return n, err
}

// Write implements net.Conn for whole records, which is what crypto/tls writes.
func (t *tap) Write(p []byte) (int, error) {
	pass := 0
	for pass < len(p) && !t.alerted && t.err == nil {
		rec := p[pass:]
		if need, err := RecordLen(rec); err != nil || need > len(rec) || len(rec) < headerLen {
			t.err = errTornWrite
			return 0, t.err
		} else {
			rec = rec[:need]
		}
		t.written(rec)
		pass += len(rec)
	}
	if t.err != nil {
		return 0, t.err
	}
	if _, err := t.Conn.Write(p[:pass]); err != nil {
		t.ioErr = err
		return 0, err
	}
	return len(p), nil
}

func (t *tap) written(rec []byte) {
	typ, body := contentType(rec[0]), rec[headerLen:]
	t.out.record(typ, len(body))
	switch {
	case typ == typeAlert:
		t.alerted = true
	case typ == typeHandshake && !t.out.ccs:
		t.serverHello(body)
	case typ == typeData:
		// Two bytes, the inner type and the tag: no handshake message is that short, so this is an alert
		// under TLS 1.3's cover.
		t.alerted = len(body) == 2+1+tagLen
		if err := t.trial.count(&t.secrets, t.suite, rec); err != nil {
			t.err = err
		}
	}
}

// serverHello picks random and suite from a ServerHello, which crypto/tls writes as one record. Of a
// HelloRetryRequest the suite is the same, and the random is overwritten by the real one.
func (t *tap) serverHello(b []byte) {
	const sessionID = helloRandom + 32
	if len(b) < sessionID+1 || b[0] != 2 {
		return
	}
	copy(t.serverRandom[:], b[helloRandom:])
	t.haveRandom = true
	if at := sessionID + 1 + int(b[sessionID]); len(b) >= at+2 {
		t.suite = Suite(binary.BigEndian.Uint16(b[at:]))
	}
}

func (t *tap) wipe() {
	t.secrets.wipe()
	clear(t.trial.scratch)
}

// A trial counts the records that crypto/tls has sent under the application key of TLS 1.3: its session
// tickets leave in the same write as the records under the handshake key, and nothing outside tells them
// apart. So each record is tried: under the wrong key it opens with probability 2^-128.
type trial struct {
	keys    *openKeys
	seq     uint64
	scratch []byte
}

func (t *trial) count(secrets *keyLog, suite Suite, rec []byte) error {
	secret := secrets.server.bytes()
	if len(secret) == 0 {
		return nil // there is no application key yet
	}
	if t.keys == nil {
		var r ReadState
		if err := r.initSecret(suite, secret, 0); err != nil {
			return err
		}
		clear(r.secret[:])
		t.keys = r.keys
	}
	t.scratch = append(t.scratch[:0], rec...) // opening is in place, rec is still to be sent
	if _, ok := t.keys.open(t.scratch, t.seq); ok {
		t.seq++
		return nil
	}
	if t.seq > 0 {
		return errLostCount
	}
	return nil
}
