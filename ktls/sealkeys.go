package ktls

import (
	"encoding/binary"

	"ocaserve/ktls/aesgcm"
)

// sealKeys seal what goes out, under one key. A KeyUpdate makes new ones; records that were framed before keep
// the old ones, which are wiped when the last of these is released.
//
// Bytes are sealed for the first time in stream order. So one running cipher serves all records of a key: it
// stands in the record at the front, and no record carries any state but its tag.
//
// Fields stand in the order of their use: what an interface leaves to do is in the first two cache lines, with the lengths
// in the keyset.
type sealKeys struct {
	pool     *Pool
	lease    lease
	guard    guard
	front    place  // one past the last byte gathered
	released uint64 // records below this number are released
	records  int32  // framed and not released
	keyLen   uint8  // 0: no interface seals for this cipher
	retired  bool   // nothing more will be framed

	keyset

	gcm      *aesgcm.Key   // the engine; nil: whole records are sealed by keyset.aead
	streamOf uint64        // the number of the running cipher's record, plus 1; 0: of none
	stream   aesgcm.Stream // the running cipher

	key [32]byte // for an interface that seals
	_   [32]byte // an allocation of five cache lines begins with one
}

// A place is a byte of a key's stream of records.
type place struct {
	seq uint64
	off int // wire bytes of that record
}

// newEngine expands a key for the engine of this CPU, and returns nil where there is none. A variable because
// tests try every path.
var newEngine = func(key []byte) *aesgcm.Key {
	k, err := aesgcm.New(key)
	if err != nil {
		return nil
	}
	return k
}

func newSealKeys(v Version, i *suiteInfo, p keyPair, seq uint64) (k *sealKeys, err error) {
	k = &sealKeys{front: place{seq: seq}, released: seq}
	k.init(v, i, p.iv)
	k.guard.next = seq
	if i.kind == kindGCM {
		k.keyLen = uint8(copy(k.key[:], p.key))
		k.gcm = newEngine(p.key)
	}
	if k.gcm == nil {
		k.aead, err = i.newAEAD(p.key)
	}
	return k, err
}

// protect seals the record number seq that stands in rec, header and body, in place, and writes its tag.
func (k *sealKeys) protect(rec []byte, seq uint64) {
	at, end := k.prefixLen(), len(rec)-tagLen
	body := rec[at:end]
	k.setNonce(seq)
	aad := k.additional(rec, seq, len(body)-int(k.inner))
	if k.gcm == nil {
		k.aead.Seal(body[:0], k.nonce[:], body, aad)
		return
	}
	var s aesgcm.Stream
	k.gcm.Begin(&s, &k.nonce, aad)
	k.gcm.Seal(&s, body, body)
	k.gcm.Tag(&s, (*[tagLen]byte)(rec[end:]))
}

// seal makes a record of msg, outside of any framer.
func (k *sealKeys) seal(seq uint64, typ contentType, msg []byte) []byte {
	k.guard.claim(seq)
	rec := make([]byte, k.wireLen(len(msg)))
	k.putPrefix(rec, typ, seq, len(msg))
	n := k.prefixLen() + copy(rec[k.prefixLen():], msg)
	if k.inner > 0 {
		rec[n] = byte(typ)
	}
	k.protect(rec, seq)
	return rec
}

// putPrefix writes what stands before the ciphertext of a record with n bytes of plaintext.
func (k *sealKeys) putPrefix(b []byte, typ contentType, seq uint64, n int) {
	if k.version == TLS13 {
		typ = typeData // RFC 8446, 5.2: opaque_type is always 23
	}
	putHeader(b, typ, k.wireLen(n)-headerLen)
	if k.explicit > 0 {
		binary.BigEndian.PutUint64(b[headerLen:], seq) // any unique value; the record number is one (RFC 5288, 3)
	}
}

// retire says that nothing more will be framed under k.
func (k *sealKeys) retire() {
	k.retired = true
	k.maybeWipe()
}

// gone notes the release of record number seq.
func (k *sealKeys) gone(seq uint64) {
	k.records--
	k.released = max(k.released, seq+1)
	k.maybeEndLease()
	k.maybeWipe()
}

// maybeWipe forgets the key once nobody can want it any more.
func (k *sealKeys) maybeWipe() {
	if !k.retired || k.records > 0 {
		return
	}
	k.dropLease()
	if k.gcm != nil {
		k.gcm.Wipe()
	}
	clear(k.key[:])
	clear(k.iv[:])
	clear(k.nonce[:])
	k.stream, k.streamOf, k.keyLen, k.aead = aesgcm.Stream{}, 0, 0, nil
}
