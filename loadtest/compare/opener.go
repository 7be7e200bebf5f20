package compare

import (
	"crypto"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
)

// The clients' records are made from the standard library's ciphers and from nothing of the server's: who checks
// the server's bytes must not share its mistakes.

const (
	headerLen = 5
	tagLen    = 16
	nonceLen  = 12
	typeData  = 23
	maxRecord = headerLen + 1<<14 + 256 // RFC 8446, 5.2
)

// A direction is one side's key: of a connection's records that come, or of those that go.
type direction struct {
	aead     cipher.AEAD
	iv       [nonceLen]byte
	seq      uint64
	inner    int // bytes of inner content type: 1 in TLS 1.3
	explicit int // bytes of nonce in the record: 8 in TLS 1.2 with GCM
}

// overhead is what a record is longer than its plaintext, header included.
func (d *direction) overhead() int { return headerLen + d.explicit + d.inner + tagLen }

// nonce is that of the next record (RFC 8446, 5.3; RFC 5288, 3; RFC 7905, 2).
func (d *direction) nonce(explicit []byte) (n [nonceLen]byte) {
	n = d.iv
	if len(explicit) > 0 {
		copy(n[4:], explicit)
		return n
	}
	tail := n[nonceLen-8:]
	binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^d.seq)
	return n
}

// additional is the additional data of the next record (RFC 8446, 5.2; RFC 5246, 6.2.3.3).
func (d *direction) additional(header []byte, plain int) []byte {
	if d.inner > 0 {
		return header
	}
	aad := binary.BigEndian.AppendUint64(make([]byte, 0, 13), d.seq)
	return binary.BigEndian.AppendUint16(append(aad, header[:3]...), uint16(plain))
}

var errRecord = errors.New("a record does not open: it is not what the server's key and number make")

// open opens a whole record in place and counts it.
func (d *direction) open(rec []byte) ([]byte, error) {
	if len(rec) < d.overhead() {
		return nil, errRecord
	}
	nonce := d.nonce(rec[headerLen : headerLen+d.explicit])
	body := rec[headerLen+d.explicit:]
	plain, err := d.aead.Open(body[:0], nonce[:], body, d.additional(rec[:headerLen], len(body)-tagLen))
	d.seq++
	if err != nil {
		return nil, errRecord
	}
	typ := rec[0]
	if d.inner > 0 {
		typ, plain = plain[len(plain)-1], plain[:len(plain)-1]
	}
	if typ != typeData {
		return nil, fmt.Errorf("a record of type %d where only data is expected: %x", typ, plain[:min(len(plain), 16)])
	}
	return plain, nil
}

// seal returns one record with plain in it.
func (d *direction) seal(plain []byte) []byte {
	n := len(plain) + d.inner
	rec := make([]byte, headerLen, d.overhead()+len(plain))
	rec[0], rec[1], rec[2] = typeData, 3, 3
	binary.BigEndian.PutUint16(rec[3:], uint16(d.explicit+n+tagLen))
	if d.explicit > 0 {
		rec = binary.BigEndian.AppendUint64(rec, d.seq)
	}
	at := len(rec)
	rec = append(rec, plain...)
	if d.inner > 0 {
		rec = append(rec, typeData)
	}
	nonce := d.nonce(rec[headerLen:at])
	rec = rec[:at+len(d.aead.Seal(rec[at:at], nonce[:], rec[at:], d.additional(rec[:headerLen], n)))]
	d.seq++
	return rec
}

// direction13 makes a direction from an application traffic secret (RFC 8446, 7.3).
func (c Cipher) direction13(secret []byte) (*direction, error) {
	info := &ciphers[c]
	expand := func(label string, n int) ([]byte, error) {
		return hkdf.Expand(info.hash.New, secret, hkdfLabel(label, n), n)
	}
	key, err := expand("key", info.keyLen)
	if err != nil {
		return nil, err
	}
	iv, err := expand("iv", nonceLen)
	if err != nil {
		return nil, err
	}
	d := &direction{inner: 1}
	copy(d.iv[:], iv)
	d.aead, err = info.aead(key)
	return d, err
}

// hkdfLabel is HkdfLabel with an empty context (RFC 8446, 7.1).
func hkdfLabel(label string, n int) string {
	label = "tls13 " + label
	b := binary.BigEndian.AppendUint16(nil, uint16(n))
	b = append(append(b, byte(len(label))), label...)
	return string(append(b, 0))
}

// directions12 makes both directions from the master secret (RFC 5246, 6.3). Each side's Finished was its record
// number 0.
func (c Cipher) directions12(master, clientRandom, serverRandom []byte) (client, server *direction, err error) {
	info := &ciphers[c]
	ivLen := nonceLen - info.explicit
	block := prf12(info.hash, master, "key expansion", append(serverRandom[:32:32], clientRandom...), 2*(info.keyLen+ivLen))
	take := func(n int) (b []byte) { b, block = block[:n], block[n:]; return b }
	clientKey, serverKey := take(info.keyLen), take(info.keyLen)
	if client, err = c.direction12(clientKey, take(ivLen)); err != nil {
		return nil, nil, err
	}
	server, err = c.direction12(serverKey, take(ivLen))
	return client, server, err
}

func (c Cipher) direction12(key, iv []byte) (*direction, error) {
	d := &direction{seq: 1, explicit: ciphers[c].explicit}
	copy(d.iv[:], iv)
	var err error
	d.aead, err = ciphers[c].aead(key)
	return d, err
}

// prf12 is the PRF of TLS 1.2 (RFC 5246, 5).
func prf12(h crypto.Hash, secret []byte, label string, seed []byte, n int) (out []byte) {
	sum := func(parts ...[]byte) []byte {
		m := hmac.New(func() hash.Hash { return h.New() }, secret)
		for _, p := range parts {
			m.Write(p)
		}
		return m.Sum(nil)
	}
	labelled := append([]byte(label), seed...)
	for a := sum(labelled); len(out) < n; a = sum(a) {
		out = append(out, sum(a, labelled)...)
	}
	return out[:n]
}
