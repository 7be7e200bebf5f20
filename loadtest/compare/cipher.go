package compare

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/tls"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// A Cipher is what records are sealed with.
type Cipher uint8

const (
	AES128GCM Cipher = iota
	AES256GCM
	ChaCha20
)

// ciphers describe them: the name on the command line, the suites of TLS 1.3 and of TLS 1.2 with ECDSA.
var ciphers = [...]struct {
	name     string
	suite13  uint16
	suite12  uint16
	keyLen   int
	hash     crypto.Hash
	explicit int // bytes of nonce in each TLS 1.2 record
	aead     func(key []byte) (cipher.AEAD, error)
}{
	AES128GCM: {"aes128gcm", tls.TLS_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 16, crypto.SHA256, 8, newGCM},
	AES256GCM: {"aes256gcm", tls.TLS_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, 32, crypto.SHA384, 8, newGCM},
	ChaCha20: {"chacha20", tls.TLS_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, 32, crypto.SHA256, 0,
		chacha20poly1305.New},
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (c Cipher) String() string { return ciphers[c].name }

// ParseCipher is the inverse of String.
func ParseCipher(s string) (Cipher, error) {
	for c := range ciphers {
		if ciphers[c].name == s {
			return Cipher(c), nil
		}
	}
	return 0, fmt.Errorf("unknown cipher %q: use aes128gcm, aes256gcm or chacha20", s)
}
