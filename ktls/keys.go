package ktls

import (
	"crypto/cipher"
	"encoding/binary"

	"ocaserve/tcpstack/stream"
)

const (
	headerLen = 5
	tagLen    = 16
	nonceLen  = 12

	maxPlaintext    = 1 << 14            // RFC 8446, 5.1
	maxCiphertext13 = maxPlaintext + 256 // RFC 8446, 5.2
	maxCiphertext12 = maxPlaintext + 2048

	// maxOverhead is the most a record adds to its plaintext: header, explicit nonce (TLS 1.2 GCM), tag.
	maxOverhead = headerLen + 8 + tagLen
)

type contentType uint8

const (
	typeCCS       contentType = 20
	typeAlert     contentType = 21
	typeHandshake contentType = 22
	typeData      contentType = 23
)

// A keyset protects the records of one direction under one key. A KeyUpdate makes a new one; records that
// were framed before keep the old one until they are released.
type keyset struct {
	version  Version
	info     *suiteInfo
	explicit int // bytes of nonce sent with each record: 8 in TLS 1.2 GCM, else 0
	aead     cipher.AEAD
	iv       [nonceLen]byte // TLS 1.2 GCM: 4 bytes of salt, then zeros
	guard    guard

	// Arguments of the AEAD live here because they would escape to the heap from a stack frame.
	nonce [nonceLen]byte
	aad   [13]byte
}

func newKeyset(v Version, i *suiteInfo, key, iv []byte) (*keyset, error) {
	aead, err := i.newAEAD(key)
	if err != nil {
		return nil, err
	}
	k := &keyset{version: v, info: i, explicit: i.explicitLen(v), aead: aead}
	copy(k.iv[:], iv)
	return k, nil
}

// prefixLen is the number of bytes before the ciphertext.
func (k *keyset) prefixLen() int { return headerLen + k.explicit }

// wireLen is the length of the record that carries n bytes of plaintext.
func (k *keyset) wireLen(n int) int {
	n += k.prefixLen() + tagLen
	if k.version == TLS13 {
		n++ // the inner content type (RFC 8446, 5.2)
	}
	return n
}

// seal writes the record number seq with the n bytes of pieces to dst, which has wireLen(n) bytes, and
// returns how many plaintext bytes it had to copy. It panics if seq was sealed before under this key.
func (k *keyset) seal(dst []byte, seq uint64, typ contentType, pieces []stream.Piece, n int) (copied int) {
	k.guard.claim(seq)
	k.setNonce(seq)
	outer := typ
	if k.version == TLS13 {
		outer = typeData // RFC 8446, 5.2: opaque_type is always 23
	}
	putHeader(dst, outer, len(dst)-headerLen)
	if k.explicit > 0 {
		binary.BigEndian.PutUint64(dst[headerLen:], seq) // any unique value; the record number is one (RFC 5288, 3)
	}
	body := dst[k.prefixLen() : k.prefixLen()+n]
	if k.version == TLS12 && len(pieces) == 1 {
		// Sealing is the copy: TLS 1.2 needs nothing behind the plaintext.
		k.aead.Seal(body[:0], k.nonce[:], pieces[0].Data, k.aad12(seq, typ, n))
		return 0
	}
	at := 0
	for i := range pieces {
		at += copy(body[at:], pieces[i].Data)
	}
	if k.version == TLS12 {
		k.aead.Seal(body[:0], k.nonce[:], body, k.aad12(seq, typ, n))
		return at
	}
	body = body[:n+1]
	body[n] = byte(typ)
	k.aead.Seal(body[:0], k.nonce[:], body, dst[:headerLen])
	return at
}

// open authenticates the whole record rec as number seq and decrypts it in place. ok is false when the
// record is forged, damaged or too short. In TLS 1.3 plain still ends with inner type and padding.
func (k *keyset) open(rec []byte, seq uint64) (plain []byte, ok bool) {
	prefix := k.prefixLen()
	if len(rec) < prefix+tagLen {
		return nil, false
	}
	k.setNonce(seq)
	aad := rec[:headerLen]
	if k.version == TLS12 {
		if k.explicit > 0 {
			copy(k.nonce[4:], rec[headerLen:prefix])
		}
		aad = k.aad12(seq, contentType(rec[0]), len(rec)-prefix-tagLen)
	}
	plain, err := k.aead.Open(rec[prefix:prefix], k.nonce[:], rec[prefix:], aad)
	return plain, err == nil
}

// setNonce computes the per-record nonce: IV xor record number (RFC 8446, 5.3; RFC 7905, 2), or the salt
// followed by the record number (RFC 5288, 3), which is the same sum because the IV ends in zeros there.
func (k *keyset) setNonce(seq uint64) {
	k.nonce = k.iv
	tail := k.nonce[nonceLen-8:]
	binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^seq)
}

// aad12 is the additional data of TLS 1.2: seq_num + type + version + plaintext length (RFC 5246, 6.2.3.3).
func (k *keyset) aad12(seq uint64, typ contentType, n int) []byte {
	binary.BigEndian.PutUint64(k.aad[:], seq)
	putHeader(k.aad[8:], typ, n)
	return k.aad[:]
}

// putHeader writes a record header. Both versions carry 0x0303 (RFC 8446, 5.1).
func putHeader(b []byte, typ contentType, n int) {
	_ = b[4]
	b[0], b[1], b[2], b[3], b[4] = byte(typ), 3, 3, byte(n>>8), byte(n)
}
