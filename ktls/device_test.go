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
			number, from, to := s.Record(i)
			one := stream.Sealing{Records: s.Records, Context: s.Context, Number: number, Count: 1, Len: s.Len, From: from, To: to}
			wire = append(wire, n.seal(one, frame[len(wire):len(wire)+one.Size()])...)
		}
		g.Book.Add(ledger.SealedNIC, s.Size())
	}
	if len(wire) != len(frame) {
		n.t.Errorf("a frame of %d bytes has %d sealed and unsealed ones", len(frame), len(frame)-len(wire))
	}
	return wire
}

// seal returns the sealed bytes of s, of which plain is the image in the frame.
func (n *softNIC) seal(s stream.Sealing, plain []byte) []byte {
	c := n.contexts[s.Context]
	if c == nil {
		n.t.Fatalf("record %d is left to context %d, which does not exist", s.Number, s.Context)
	}
	if s.Number < c.first {
		n.t.Errorf("record %d is left to a context that begins at %d", s.Number, c.first)
	}
	var g stream.Gather
	g.Init(make([]byte, maxOverhead+1), 8)
	s.Records.Plain(&g, s.Number, 0, s.Len)
	image := bytes.Join(g.Pieces(), nil)
	if !bytes.Equal(image[s.From:s.To], plain) {
		n.t.Errorf("record %d: the frame differs from the image in [%d,%d)", s.Number, s.From, s.To)
	}
	return c.seal(image, s.Number)[s.From:s.To]
}

// seal seals a whole record, with nothing of this package's own.
func (c *softContext) seal(image []byte, seq uint64) []byte {
	nonce, at := c.iv, 5
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^seq)
	aad := image[:5]
	if c.version == 0x0303 {
		at = 13
		aad = binary.BigEndian.AppendUint64(nil, seq)
		aad = append(aad, image[0], 3, 3)
		aad = binary.BigEndian.AppendUint16(aad, uint16(len(image)-at-16))
	}
	return c.aead.Seal(image[:at:at], nonce[:], image[at:len(image)-16], aad)
}
