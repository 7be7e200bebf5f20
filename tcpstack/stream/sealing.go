package stream

// A Record is a TLS record, or whatever else a device seals, as the device sees it. Its methods are called by the
// shard that owns the connection, while the record is queued or a frame with a part of it is in the device.
type Record interface {
	// Context is the device's handle for the key.
	Context() uint64
	// Number is the record number, which the nonce is made from.
	Number() uint64
	// Len is the number of wire bytes.
	Len() int
	// Plain appends the unsealed image of wire bytes [from, to) to g: header, plaintext, inner content type,
	// and anything where the tag will be. It is what a device reads again that has lost its place in the record.
	Plain(g *Gather, from, to int)
}

// A Sealing is a run of a record that stands unsealed in a frame's payload: who transmits the frame must seal
// it, or drop the frame. What is sealed are the bytes [From, To) of the record's wire image. The runs of a frame
// follow each other, and together are all of its payload.
type Sealing struct {
	Record   Record
	From, To int // wire bytes of the record
}

// An Offloader is a span that may stand unsealed in a frame. Sealed and unsealed bytes never share a segment:
// a device's context covers all of a frame's payload or nothing.
type Offloader interface {
	// Offload reports whether a gather would leave the span to the device now.
	Offload() bool
}
