package nicoffload

import (
	"sync/atomic"
	"unsafe"

	"ocaserve/internal/prefetch"
	"ocaserve/tcpstack/link"
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
	opFrame op = iota // send data and pieces, or what is made of these
	opDump            // read pieces, the beginning of a record, to rebuild the cipher's state; send nothing
	opNop             // nothing: the place of a frame that the driver dropped
)

// A run is a stream.Sealing as a descriptor holds it: half a cache line. A superframe bounds each number in it.
type run struct {
	ctx      *context
	number   uint64 // of the first record
	row      int32  // index of the context; driver only
	count    uint16 // records
	length   uint16 // wire bytes of each record
	from, to uint16 // of the first and of the last
	seal     uint16 // index of the Sealing in the frame; driver only
	typ      uint8  // content type of the records
}

// size is the number of wire bytes that r seals.
func (r *run) size() int { return (int(r.count)-1)*int(r.length) + int(r.to) - int(r.from) }

// one is what r has of its i-th record.
func (r *run) one(i uint16) run {
	o := *r
	o.number, o.count = r.number+uint64(i), 1
	if i > 0 {
		o.from = 0
	}
	if i < r.count-1 {
		o.to = r.length
	}
	return o
}

// A desc is one descriptor. The driver writes it before it moves the tail behind it; then it is the adapter's,
// until a completion covers it. Each of its cache lines crosses between two processors, there and back: what every
// frame needs stands together.
type desc struct {
	op op

	csum       link.Csum
	gso        uint16
	csumStart  uint16
	csumOffset uint16

	rate    uint64 // bytes of payload per second at which the segments are spread; 0: at once
	flow    uint32 // frames of one flow leave in order
	payload int    // bytes on the wire behind data
	fetch   int    // bytes in pieces: payload, or the plaintext in it
	pieces  [][]byte
	runs    []run
	data    []byte       // headers: inline, or the shard's where they are longer
	want    *expectation // what software would send; nil: nobody checks
	frames  uint64       // driver: how many frames are done with this descriptor
	inline  [maxInline]byte
}

// release drops the references to the shard's memory: pages may be unmapped once they are released. The headers of the slices
// are the driver's alone to write: it reads them while a descriptor is the adapter's, see txRing.prefetch.
func (d *desc) release() {
	clear(d.pieces)
	if d.want != nil {
		clear(d.want.pieces)
		d.want = nil
	}
	d.data = nil
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

// Each descriptor begins with room for a superframe of whole records, and keeps more once it needed it. Both are whole cache
// lines.
const usualPieces, usualRuns = 16, 6

// newTxRing makes a ring of n descriptors, a power of two. A faulty adapter may complete twice, so that there are
// two completions for each descriptor.
func newTxRing(n int) *txRing {
	r := &txRing{descs: make([]desc, n), cqes: make([]uint64, 2*n)}
	pieces, runs := make([][]byte, n*usualPieces), make([]run, n*usualRuns)
	for i := range r.descs {
		p, k := i*usualPieces, i*usualRuns
		r.descs[i].pieces = pieces[p : p : p+usualPieces]
		r.descs[i].runs = runs[k : k : k+usualRuns]
	}
	return r
}

func (r *txRing) desc(i uint64) *desc { return &r.descs[i&uint64(len(r.descs)-1)] }

// prefetch asks for what is written after the descriptor at position i: the adapter had it last.
func (r *txRing) prefetch(i uint64) {
	prefetch.Pair(unsafe.Pointer(unsafe.SliceData(r.desc(i).runs))) // the next one's, see Device.fillWhole
	prefetch.Pair(unsafe.Pointer(unsafe.SliceData(r.desc(i + 1).pieces)))
	prefetch.Range(unsafe.Pointer(r.desc(i+2)), unsafe.Sizeof(desc{}))
}

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
