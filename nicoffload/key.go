package nicoffload

import (
	"crypto/aes"
	"crypto/cipher"

	"ocaserve/ktls/aesgcm"
)

const (
	nonceLen = 12
	tagLen   = 16
)

// A sealKey seals the records of one context, one record at a time and piece by piece. It stands for the cipher
// unit of the adapter.
type sealKey interface {
	// begin starts a record; what was under way is forgotten. Both arguments stay unchanged until tag.
	begin(nonce *[nonceLen]byte, aad []byte)
	// seal enciphers and hashes the next bytes. dst and src are the same bytes or do not overlap.
	seal(dst, src []byte)
	// tag ends the record.
	tag(t *[tagLen]byte)
	wipe()
}

func newSealKey(key []byte) (sealKey, error) {
	if aesgcm.Available() {
		k, err := aesgcm.New(key)
		return &engineKey{key: k}, err
	}
	return newPortableKey(key)
}

// engineKey seals with the streaming engine: each byte is passed over once.
type engineKey struct {
	key    *aesgcm.Key
	stream aesgcm.Stream
}

func (k *engineKey) begin(nonce *[nonceLen]byte, aad []byte) { k.key.Begin(&k.stream, nonce, aad) }
func (k *engineKey) seal(dst, src []byte)                    { k.key.Seal(&k.stream, dst, src) }
func (k *engineKey) tag(t *[tagLen]byte)                     { k.key.Tag(&k.stream, t) }
func (k *engineKey) wipe()                                   { k.key.Wipe(); k.stream = aesgcm.Stream{} }

// portableKey is for CPUs without an engine. The standard AEAD seals whole messages only, so it seals all of the
// record so far each time and takes the new part of it: right, and slow where a record comes in many pieces.
type portableKey struct {
	aead   cipher.AEAD
	nonce  *[nonceLen]byte
	aad    []byte
	plain  []byte // of the record so far
	sealed []byte // the same, and the tag that the record would have if it ended here
}

func newPortableKey(key []byte) (*portableKey, error) {
	aead, err := newAEAD(key)
	return &portableKey{aead: aead}, err
}

// newAEAD is what software seals with; crypto/cipher keeps no other state than the key.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (k *portableKey) begin(nonce *[nonceLen]byte, aad []byte) {
	k.nonce, k.aad = nonce, aad
	k.plain = k.plain[:0]
	k.sealed = k.aead.Seal(k.sealed[:0], nonce[:], nil, aad)
}

func (k *portableKey) seal(dst, src []byte) {
	at := len(k.plain)
	k.plain = append(k.plain, src...)
	k.sealed = k.aead.Seal(k.sealed[:0], k.nonce[:], k.plain, k.aad)
	copy(dst[:len(src)], k.sealed[at:])
}

func (k *portableKey) tag(t *[tagLen]byte) { copy(t[:], k.sealed[len(k.plain):]) }

// wipe overwrites what it can reach; the expanded key is the collector's.
func (k *portableKey) wipe() {
	clear(k.plain)
	*k = portableKey{}
}
