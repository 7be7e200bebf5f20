package stream

// Records are TLS records, or whatever else a device seals, as the device may have to read them again. The shard that
// owns the connection calls them, while they are queued or a frame with a part of them is in the device.
type Records interface {
	// Plain appends the unsealed image of wire bytes [from, to) of the record with that number to g: header,
	// plaintext, inner content type, and anything where the tag will be. It is what a device reads again that has
	// lost its place in the record.
	Plain(g *Gather, number uint64, from, to int)
}

// A Sealing is a run of a record that stands unsealed in a frame's payload: who transmits the frame must seal
// it, or drop the frame. What is sealed are the bytes [From, To) of the record's wire image. The runs of a frame
// follow each other, and together are all of its payload.
type Sealing struct {
	Records  Records // one of them is sealed
	Context  uint64  // the device's handle for the key
	Number   uint64 // the record's, which the nonce is made from
	Len      int    // wire bytes of the record
	From, To int    // of these
}

// An Offloader is a span that may stand unsealed in a frame. Sealed and unsealed bytes never share a segment:
// a device's context covers all of a frame's payload or nothing.
type Offloader interface {
	// Offload reports whether a gather would leave the span to the device now.
	Offload() bool
}
