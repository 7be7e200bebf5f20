package ktls

import (
	"crypto/cipher"
	"encoding/binary"
)

const (
	headerLen = 5
	tagLen    = 16
	nonceLen  = 12

	maxPlaintext    = 1 << 14            // RFC 8446, 5.1
	maxCiphertext13 = maxPlaintext + 256 // RFC 8446, 5.2
	maxCiphertext12 = maxPlaintext + 2048

	// maxPrefix is the most that stands before the ciphertext: header, explicit nonce (TLS 1.2 GCM).
	maxPrefix = headerLen + 8
	// maxOverhead is the most a record adds to its plaintext.
	maxOverhead = maxPrefix + tagLen
)

type contentType uint8

const (
	typeCCS       contentType = 20
	typeAlert     contentType = 21
	typeHandshake contentType = 22
	typeData      contentType = 23
)

// A keyset is what protecting and opening records have in common: one key of one direction.
type keyset struct {
	version  Version
	explicit uint8 // bytes of nonce sent with each record: 8 in TLS 1.2 GCM, else 0
	inner    uint8 // bytes of inner content type behind the plaintext: 1 in TLS 1.3 (RFC 8446, 5.2), else 0
	aead     cipher.AEAD
	iv       [nonceLen]byte // TLS 1.2 GCM: 4 bytes of salt, then zeros

	// Arguments of the AEAD live here because they would escape to the heap from a stack frame.
	nonce [nonceLen]byte
	aad   [13]byte
}

func (k *keyset) init(v Version, i *suiteInfo, iv []byte) {
	k.version, k.explicit = v, uint8(i.explicitLen(v))
	if v == TLS13 {
		k.inner = 1
	}
	copy(k.iv[:], iv)
}

// prefixLen is the number of bytes before the ciphertext.
func (k *keyset) prefixLen() int { return headerLen + int(k.explicit) }

// wireLen is the length of the record that carries n bytes of plaintext.
func (k *keyset) wireLen(n int) int { return k.prefixLen() + n + int(k.inner) + tagLen }

// setNonce computes the per-record nonce: IV xor record number (RFC 8446, 5.3; RFC 7905, 2), or the salt
// followed by the record number (RFC 5288, 3), which is the same sum because the IV ends in zeros there.
func (k *keyset) setNonce(seq uint64) {
	k.nonce = k.iv
	tail := k.nonce[nonceLen-8:]
	binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^seq)
}

// additional is the additional data of record number seq with n bytes of plaintext: its header (RFC 8446,
// 5.2), or seq_num + type + version + plaintext length (RFC 5246, 6.2.3.3).
func (k *keyset) additional(header []byte, seq uint64, n int) []byte {
	if k.version == TLS13 {
		return header[:headerLen]
	}
	binary.BigEndian.PutUint64(k.aad[:], seq)
	putHeader(k.aad[8:], contentType(header[0]), n)
	return k.aad[:]
}

// putHeader writes a record header. Both versions carry 0x0303 (RFC 8446, 5.1).
func putHeader(b []byte, typ contentType, n int) {
	_ = b[4]
	b[0], b[1], b[2], b[3], b[4] = byte(typ), 3, 3, byte(n>>8), byte(n)
}

// openKeys open what comes in.
type openKeys struct{ keyset }

func newOpenKeys(v Version, i *suiteInfo, p keyPair) (k *openKeys, err error) {
	k = new(openKeys)
	k.init(v, i, p.iv)
	k.aead, err = i.newAEAD(p.key)
	return k, err
}

// open authenticates the whole record rec as number seq and decrypts it in place. ok is false when the
// record is forged, damaged or too short. In TLS 1.3 plain still ends with inner type and padding.
func (k *openKeys) open(rec []byte, seq uint64) (plain []byte, ok bool) {
	prefix := k.prefixLen()
	if len(rec) < prefix+tagLen {
		return nil, false
	}
	k.setNonce(seq)
	if k.explicit > 0 {
		copy(k.nonce[4:], rec[headerLen:prefix])
	}
	plain, err := k.aead.Open(rec[prefix:prefix], k.nonce[:], rec[prefix:],
		k.additional(rec, seq, len(rec)-prefix-tagLen))
	return plain, err == nil
}
