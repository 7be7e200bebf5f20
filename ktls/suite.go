package ktls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"
)

// A Version is a TLS protocol version as it stands on the wire.
type Version uint16

const (
	TLS12 Version = 0x0303
	TLS13 Version = 0x0304
)

func (v Version) String() string {
	switch v {
	case TLS12:
		return "TLSv1.2"
	case TLS13:
		return "TLSv1.3"
	}
	return fmt.Sprintf("TLS(%#04x)", uint16(v))
}

// A Suite is a cipher suite by its IANA number. Supported are the three of TLS 1.3 and the six of TLS 1.2
// that pair ECDHE with an AEAD.
type Suite uint16

const (
	AES128GCM        Suite = 0x1301 // TLS 1.3
	AES256GCM        Suite = 0x1302
	ChaCha20Poly1305 Suite = 0x1303

	ECDHE_ECDSA_AES128GCM        Suite = 0xc02b // TLS 1.2
	ECDHE_ECDSA_AES256GCM        Suite = 0xc02c
	ECDHE_RSA_AES128GCM          Suite = 0xc02f
	ECDHE_RSA_AES256GCM          Suite = 0xc030
	ECDHE_RSA_ChaCha20Poly1305   Suite = 0xcca8
	ECDHE_ECDSA_ChaCha20Poly1305 Suite = 0xcca9
)

type aeadKind uint8

const (
	kindGCM aeadKind = iota
	kindChaCha
)

type suiteInfo struct {
	name   string
	kind   aeadKind
	keyLen int
	hash   func() hash.Hash
}

var suites = map[Suite]*suiteInfo{
	AES128GCM:                    {"TLS_AES_128_GCM_SHA256", kindGCM, 16, sha256.New},
	AES256GCM:                    {"TLS_AES_256_GCM_SHA384", kindGCM, 32, sha512.New384},
	ChaCha20Poly1305:             {"TLS_CHACHA20_POLY1305_SHA256", kindChaCha, 32, sha256.New},
	ECDHE_ECDSA_AES128GCM:        {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", kindGCM, 16, sha256.New},
	ECDHE_ECDSA_AES256GCM:        {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", kindGCM, 32, sha512.New384},
	ECDHE_RSA_AES128GCM:          {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", kindGCM, 16, sha256.New},
	ECDHE_RSA_AES256GCM:          {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", kindGCM, 32, sha512.New384},
	ECDHE_RSA_ChaCha20Poly1305:   {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", kindChaCha, 32, sha256.New},
	ECDHE_ECDSA_ChaCha20Poly1305: {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", kindChaCha, 32, sha256.New},
}

// String is the IANA name of the suite.
func (s Suite) String() string {
	if i := suites[s]; i != nil {
		return i.name
	}
	return fmt.Sprintf("Suite(%#04x)", uint16(s))
}

func (s Suite) version() Version {
	if s>>8 == 0x13 {
		return TLS13
	}
	return TLS12
}

// info returns the parameters of a supported (version, suite) pair.
func (s Suite) info(v Version) (*suiteInfo, error) {
	i := suites[s]
	if i == nil || s.version() != v {
		return nil, fmt.Errorf("ktls: no record protection for %v with %v", v, s)
	}
	return i, nil
}

func (i *suiteInfo) newAEAD(key []byte) (cipher.AEAD, error) {
	if i.kind == kindChaCha {
		return chacha20poly1305.New(key)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// ivLen is the length of the implicit IV: TLS 1.2 GCM has a 4-byte salt and sends the other 8 bytes of the
// nonce with each record (RFC 5288, 3); everything else has 12 bytes and xors the record number in.
func (i *suiteInfo) ivLen(v Version) int { return nonceLen - i.explicitLen(v) }

func (i *suiteInfo) explicitLen(v Version) int {
	if v == TLS12 && i.kind == kindGCM {
		return 8
	}
	return 0
}
