package ktls

import (
	"crypto/hkdf"
	"crypto/hmac"
	"hash"
)

// expandLabel is HKDF-Expand-Label with an empty context (RFC 8446, 7.1).
func expandLabel(h func() hash.Hash, secret []byte, label string, n int) ([]byte, error) {
	const prefix = "tls13 "
	info := make([]byte, 0, 4+len(prefix)+len(label))
	info = append(info, byte(n>>8), byte(n), byte(len(prefix)+len(label)))
	info = append(info, prefix...)
	info = append(info, label...)
	info = append(info, 0)
	return hkdf.Expand(h, secret, string(info), n)
}

// trafficKeys derives the key and IV of a TLS 1.3 traffic secret (RFC 8446, 7.3).
func (i *suiteInfo) trafficKeys(secret []byte) (key, iv []byte, err error) {
	if key, err = expandLabel(i.hash, secret, "key", i.keyLen); err != nil {
		return nil, nil, err
	}
	iv, err = expandLabel(i.hash, secret, "iv", nonceLen)
	return key, iv, err
}

// nextSecret is the secret after a KeyUpdate (RFC 8446, 7.2).
func (i *suiteInfo) nextSecret(secret []byte) ([]byte, error) {
	return expandLabel(i.hash, secret, "traffic upd", len(secret))
}

// prf12 fills out with the TLS 1.2 PRF: P_hash(secret, label + seed) (RFC 5246, 5).
func prf12(h func() hash.Hash, out, secret []byte, label string, seed ...[]byte) {
	mac := hmac.New(h, secret)
	feed := func() {
		mac.Write([]byte(label))
		for _, s := range seed {
			mac.Write(s)
		}
	}
	feed()
	a := mac.Sum(nil) // A(1)
	for len(out) > 0 {
		mac.Reset()
		mac.Write(a)
		feed()
		out = out[copy(out, mac.Sum(nil)):]
		mac.Reset()
		mac.Write(a)
		a = mac.Sum(a[:0]) // A(i+1)
	}
}

// A keyPair is the key and IV of one direction.
type keyPair struct{ key, iv []byte }

func (p keyPair) wipe() {
	clear(p.key)
	clear(p.iv)
}

// keyBlock cuts the TLS 1.2 key block (RFC 5246, 6.3); AEADs have no MAC keys.
func (i *suiteInfo) keyBlock(master, clientRandom, serverRandom []byte) (client, server keyPair) {
	ivLen := i.ivLen(TLS12)
	block := make([]byte, 2*i.keyLen+2*ivLen)
	prf12(i.hash, block, master, "key expansion", serverRandom, clientRandom)
	take := func(n int) []byte {
		b := block[:n:n]
		block = block[n:]
		return b
	}
	client.key, server.key = take(i.keyLen), take(i.keyLen)
	client.iv, server.iv = take(ivLen), take(ivLen)
	return client, server
}
