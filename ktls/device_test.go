package ktls

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"testing"

	"ocaserve/ktls/offload"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/stream"
)

// A softNIC is an interface that seals with crypto/cipher. It keeps the contract: it knows a record by its
// context, its number and its unsealed image, and nothing else.
type softNIC struct {
	t        testing.TB
	contexts map[uint64]*softContext
	added    int
	limit    int            // contexts at once
	health   offload.Health // of all contexts
	off      bool           // it supports nothing
	turn     uint64
}

func (n *softNIC) Prefetch(uint64) {}

// Turn says that anything may have changed.
func (n *softNIC) Turn() uint64 {
	n.turn++
	return n.turn
}

type softContext struct {
	version uint16
	aead    cipher.AEAD
	iv      [12]byte
	first   uint64
}

func newSoftNIC(t testing.TB) *softNIC {
	return &softNIC{t: t, contexts: map[uint64]*softContext{}, limit: 1 << 20}
}

func (n *softNIC) AddContext(c *offload.Crypto) (uint64, error) {
	if n.off {
		return 0, offload.ErrUnsupported
	}
	if len(n.contexts) >= n.limit {
		return 0, offload.ErrNoContext
	}
	block, err := aes.NewCipher(c.Key)
	if err != nil {
		n.t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		n.t.Fatal(err)
	}
	n.added++
	n.contexts[uint64(n.added)] = &softContext{c.Version, aead, c.IV, c.Number}
	return uint64(n.added), nil
}

func (n *softNIC) DelContext(id uint64) {
	if n.contexts[id] == nil {
		n.t.Errorf("context %d is deleted and does not exist", id)
	}
	delete(n.contexts, id)
}

func (n *softNIC) Health(id uint64) offload.Health {
	if n.contexts[id] == nil {
		n.t.Errorf("asked for the health of context %d, which does not exist", id)
	}
	return n.health
}

// transmit returns what leaves the interface for a frame's payload.
func (n *softNIC) transmit(g *stream.Gather) []byte {
	frame := bytes.Join(g.Pieces(), nil)
	if len(g.Sealings()) == 0 {
		return frame
	}
	var wire []byte
	for _, s := range g.Sealings() {
		for i := range s.Count {
			one := s
			one.Number, one.From, one.To = s.Record(i)
			one.Count = 1
			sealed, used := n.seal(one, frame)
			wire, frame = append(wire, sealed...), frame[used:]
		}
		g.Book.Add(ledger.SealedNIC, s.Size())
	}
	if len(frame) != 0 || len(wire) != g.Len() {
		n.t.Errorf("a frame of %d bytes: %d are sealed, %d of plaintext are left", g.Len(), len(wire), len(frame))
	}
	return wire
}

// seal returns the sealed bytes of s, of which plain begins with the plaintext, and how long that is.
func (n *softNIC) seal(s stream.Sealing, plain []byte) (sealed []byte, used int) {
	c := n.contexts[s.Context]
	if c == nil {
		n.t.Fatalf("record %d is left to context %d, which does not exist", s.Number, s.Context)
	}
	if s.Number < c.first {
		n.t.Errorf("record %d is left to a context that begins at %d", s.Number, c.first)
	}
	var g stream.Gather
	g.Init(nil, 8)
	s.Records.Plain(&g, s.Number, 0, s.Len)
	whole := bytes.Join(g.Pieces(), nil)
	g.Reset()
	s.Records.Plain(&g, s.Number, s.From, s.To)
	part := bytes.Join(g.Pieces(), nil)
	if !bytes.HasPrefix(plain, part) {
		n.t.Errorf("record %d: the frame differs from what the record says of [%d,%d)", s.Number, s.From, s.To)
	}
	sealed = c.seal(whole, s.Type, s.Number)
	if len(sealed) != s.Len {
		n.t.Fatalf("record %d has %d bytes, %d were declared", s.Number, len(sealed), s.Len)
	}
	return sealed[s.From:s.To], len(part)
}

// seal makes a whole record, with nothing of this package's own.
func (c *softContext) seal(plain []byte, typ uint8, seq uint64) []byte {
	nonce := c.iv
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^seq)
	if c.version == 0x0303 {
		aad := append(binary.BigEndian.AppendUint64(nil, seq), typ, 3, 3)
		aad = binary.BigEndian.AppendUint16(aad, uint16(len(plain)))
		head := binary.BigEndian.AppendUint16([]byte{typ, 3, 3}, uint16(8+len(plain)+16))
		return c.aead.Seal(binary.BigEndian.AppendUint64(head, seq), nonce[:], plain, aad)
	}
	head := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(plain)+1+16))
	return c.aead.Seal(head, nonce[:], append(plain[:len(plain):len(plain)], typ), head)
}
