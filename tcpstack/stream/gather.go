package stream

import "ocaserve/tcpstack/ledger"

// A Gather collects the pieces of one batch of frames: references to stable memory, and scratch for bytes
// that are produced at transmit time (sealed records, headers). It belongs to a shard and is reset when
// the link is done with the batch; until then every piece stays valid and unchanged.
type Gather struct {
	pieces  [][]byte
	scratch []byte // len: bytes reserved so far; cap: all there is
	length  int    // bytes in pieces since the last Mark
	mark    int    // index of the first piece since the last Mark
	joint   int    // the last piece ends at this index of the scratch; -1: elsewhere

	// Book is the ledger of the connection whose frame is being gathered, for those who seal or copy; the
	// stack sets it for each frame. Nil: none.
	Book *ledger.Book

	sealings []Sealing // runs that the device is to seal
	markSeal int       // index of the first of them since the last Mark
	unsealed int       // wire bytes of those
}

// Init gives g its scratch memory and room for n pieces. Both stay with g.
func (g *Gather) Init(scratch []byte, n int) {
	g.scratch = scratch[:0]
	g.pieces = make([][]byte, 0, n)
	g.sealings = nil
	g.mark, g.length, g.markSeal, g.unsealed, g.joint = 0, 0, 0, 0, -1
}

// Reset forgets all pieces and frees the scratch for the next batch.
func (g *Gather) Reset() {
	clear(g.pieces)
	g.pieces = g.pieces[:0]
	g.scratch = g.scratch[:0]
	clear(g.sealings)
	g.sealings = g.sealings[:0]
	g.mark, g.length, g.markSeal, g.unsealed, g.joint = 0, 0, 0, 0, -1
}

// Next forgets all pieces, but keeps what was taken of the scratch: whoever took the last batch still reads it.
func (g *Gather) Next() {
	used := g.scratch
	g.Reset()
	g.scratch = used
}

// SwapScratch gives g other scratch memory and returns what it had.
func (g *Gather) SwapScratch(scratch []byte) (old []byte) {
	old = g.scratch
	g.scratch, g.joint = scratch[:0], -1
	return old
}

// Mark begins a new frame: Pieces and Len speak of what is added after it.
func (g *Gather) Mark() {
	g.mark, g.length, g.markSeal, g.unsealed = len(g.pieces), 0, len(g.sealings), 0
}

// Add appends p by reference. p must stay unchanged until the batch has been transmitted.
func (g *Gather) Add(p []byte) {
	if len(p) == 0 {
		return
	}
	g.pieces = append(g.pieces, p)
	g.length += len(p)
	g.joint = -1
}

// Reserve appends n bytes of scratch, as the next piece or to the last one if they lie behind it, and returns them for
// the caller to fill now. The caller checks Free first; asking for more than is free breaks that contract and panics.
func (g *Gather) Reserve(n int) []byte {
	if n == 0 {
		return nil
	}
	at := len(g.scratch)
	p := g.Scratch(n)
	if last := len(g.pieces) - 1; last >= g.mark && g.joint == at {
		g.pieces[last] = g.scratch[at-len(g.pieces[last]) : at+n : at+n]
		g.length += n
	} else {
		g.Add(p)
	}
	g.joint = at + n
	return p
}

// Scratch takes n bytes of scratch without adding them as a piece: room for a frame's headers.
func (g *Gather) Scratch(n int) []byte {
	at := len(g.scratch)
	g.scratch = g.scratch[: at+n : cap(g.scratch)]
	return g.scratch[at : at+n : at+n]
}

// Free is the scratch left in this batch, in bytes.
func (g *Gather) Free() int { return cap(g.scratch) - len(g.scratch) }

// Count is the number of pieces in this batch.
func (g *Gather) Count() int { return len(g.pieces) }

// Unsealed declares that the next n wire bytes are records for the device to seal, and returns what the caller fills in:
// which. Of these bytes the caller adds the plaintext alone.
func (g *Gather) Unsealed(n int) *Sealing {
	g.Book.Add(ledger.LeftNIC, n)
	g.unsealed += n
	g.sealings = append(g.sealings, Sealing{})
	return &g.sealings[len(g.sealings)-1]
}

// Sealings returns what was declared by Unsealed since the last Mark. The slice stays valid until Reset.
func (g *Gather) Sealings() []Sealing {
	return g.sealings[g.markSeal:len(g.sealings):len(g.sealings)]
}

// Pieces returns what was added since the last Mark. The slice stays valid until Reset.
func (g *Gather) Pieces() [][]byte { return g.pieces[g.mark:len(g.pieces):len(g.pieces)] }

// Len is the number of wire bytes added since the last Mark: those of the pieces, or of the records that a device makes
// of them.
func (g *Gather) Len() int {
	if g.unsealed > 0 {
		return g.unsealed
	}
	return g.length
}
