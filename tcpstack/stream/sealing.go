package stream

// Records are TLS records, or whatever else a device seals, as the device may have to read them again. The shard that
// owns the connection calls them, while they are queued or a frame with a part of them is in the device.
type Records interface {
	// Plain appends to g, by reference, what of wire bytes [from, to) of the record with that number is plaintext:
	// nothing of the header, the explicit nonce, the inner content type or the tag. It is what a device reads again
	// that has lost its place in the record.
	Plain(g *Gather, number uint64, from, to int)
}

// A Sealing is a run of records in a row, all of one length and type, that a frame's payload is to be: who transmits the
// frame must make and seal them, or drop the frame. It begins with byte From of the first record's wire image and ends
// before byte To of the last one's. The runs of a frame follow each other, and together are all of its payload. The
// frame's pieces are the plaintext in it; header, explicit nonce, inner content type and tag are the device's to make.
type Sealing struct {
	Records  Records
	Context  uint64 // the device's handle for the key
	Number   uint64 // of the first record, which the nonce is made from
	Count    int    // records
	Len      int    // wire bytes of each record
	From, To int
	Type     uint8 // content type of the records
}

// Size is the number of wire bytes of the run.
func (s *Sealing) Size() int { return (s.Count-1)*s.Len + s.To - s.From }

// Record returns what the run has of its i-th record: wire bytes [from, to) of record number.
func (s *Sealing) Record(i int) (number uint64, from, to int) {
	if i == 0 {
		from = s.From
	}
	if to = s.Len; i == s.Count-1 {
		to = s.To
	}
	return s.Number + uint64(i), from, to
}

// An Offloader is a span that may stand unsealed in a frame. Sealed and unsealed bytes never share a segment:
// a device's context covers all of a frame's payload or nothing.
type Offloader interface {
	// Offload reports whether a gather would leave the span to the device now.
	Offload() bool
}
