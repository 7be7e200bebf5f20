package nicoffload

import (
	"sync/atomic"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/stream"
)

const (
	cacheLine = 64
	// maxInline is the longest headers that a descriptor holds itself: 40 bytes of IPv6, 60 of TCP, and a link's.
	maxInline = 128
	// MaxDepth is the most descriptors that a ring can have (ethtool -g: pre-set maximum).
	MaxDepth = 8192
)

// An op is what a descriptor asks for.
type op uint8

const (
	opFrame op = iota // send data and pieces
	opDump            // read pieces, the beginning of a record, to rebuild the cipher's state; send nothing
	opNop             // nothing: the place of a frame that the driver dropped
)

// A run is a stream.Sealing as a descriptor holds it.
type run struct {
	ctx      *context
	record   stream.Record // driver only
	number   uint64
	length   int // wire bytes of the record
	from, to int
}

// A desc is one descriptor. The driver writes it before it moves the tail behind it; then it is the adapter's,
// until a completion covers it.
type desc struct {
	op op

	gso        uint16
	csum       link.Csum
	csumStart  uint16
	csumOffset uint16

	flow uint32 // frames of one flow leave in order
	rate uint64 // bytes of payload per second at which the segments are spread; 0: at once

	data    []byte // headers: inline, or the shard's where they are longer
	pieces  [][]byte
	payload int // bytes in pieces
	runs    []run
	inline  [maxInline]byte

	// plain holds the pieces of opDump, and the bytes that a record makes up for them.
	plain     stream.Gather
	plainRoom bool

	want *expectation // what software would send; nil: nobody checks

	frames uint64 // driver: how many frames are done with this descriptor
}

// dumpScratch is what Record.Plain may make up: a header, an inner content type, the place of a tag.
const dumpScratch = 128

// gather readies d's own gather for a dump.
func (d *desc) gather() *stream.Gather {
	if !d.plainRoom {
		d.plain.Init(make([]byte, dumpScratch), 8)
		d.plainRoom = true
	}
	d.plain.Reset()
	return &d.plain
}

// release drops the references to the shard's memory: pages may be unmapped once they are released.
func (d *desc) release() {
	clear(d.pieces)
	d.pieces = d.pieces[:0]
	clear(d.runs)
	d.runs = d.runs[:0]
	if d.want != nil {
		clear(d.want.pieces)
	}
	d.data, d.want = nil, nil
	if d.plainRoom {
		d.plain.Reset()
	}
}

// A txRing carries descriptors from the driver to the adapter, and completions back. Positions only grow; one
// side moves each.
type txRing struct {
	descs []desc   // a power of two
	cqes  []uint64 // completion queue: each says that all descriptors before this position are done

	_      [cacheLine]byte
	tail   atomic.Uint64 // driver: descriptors posted
	_      [cacheLine]byte
	cqTail atomic.Uint64 // adapter: completions written
	_      [cacheLine]byte
}

// newTxRing makes a ring of n descriptors, a power of two. A faulty adapter may complete twice, so that there are
// two completions for each descriptor.
func newTxRing(n int) *txRing {
	return &txRing{descs: make([]desc, n), cqes: make([]uint64, 2*n)}
}

func (r *txRing) desc(i uint64) *desc { return &r.descs[i&uint64(len(r.descs)-1)] }

// complete writes a completion.
func (r *txRing) complete(done uint64) {
	at := r.cqTail.Load()
	r.cqes[at&uint64(len(r.cqes)-1)] = done
	r.cqTail.Store(at + 1)
}

// powerOfTwo rounds n up.
func powerOfTwo(n int) int {
	p := 1
	for p < n {
		p *= 2
	}
	return p
}
