package origin

import "math/bits"

const (
	minBuffer = 2 << 10  // the usual request head fits several times
	maxBuffer = 32 << 10 // a head of the largest size and a full TLS record behind it
	classes   = 5        // 2, 4, 8, 16, 32 KiB
	keepFree  = 64       // buffers kept per class
)

// buffers is a shard's stock of receive buffers, in powers of two. A connection holds one only while it has
// bytes that it could not act upon yet.
type buffers struct {
	free [classes][][]byte
	out  int // buffers in use, for tests and statistics
}

func classOf(n int) int {
	return max(bits.Len(uint(max(n, 1)-1)), bits.Len(minBuffer-1)) - bits.Len(minBuffer-1)
}

// get returns an empty buffer with room for at least n bytes, n at most maxBuffer.
func (p *buffers) get(n int) []byte {
	p.out++
	c := classOf(n)
	if l := len(p.free[c]); l > 0 {
		b := p.free[c][l-1]
		p.free[c][l-1] = nil
		p.free[c] = p.free[c][:l-1]
		return b
	}
	return make([]byte, 0, minBuffer<<c)
}

// put takes back a buffer of get; nil is nothing. Nobody may use it any more.
func (p *buffers) put(b []byte) {
	if b == nil {
		return
	}
	p.out--
	if c := classOf(cap(b)); len(p.free[c]) < keepFree {
		p.free[c] = append(p.free[c], b[:0])
	}
}

// An inbox is what a session has received and not yet consumed. Empty, it holds no memory.
type inbox struct {
	b  []byte // from the pool; nil: empty
	at int    // bytes of b already consumed
}

func (q *inbox) bytes() []byte { return q.b[q.at:] }
func (q *inbox) len() int      { return len(q.b) - q.at }

// grow makes room for n more bytes and returns where they go.
func (q *inbox) grow(p *buffers, n int) []byte {
	if cap(q.b)-len(q.b) < n {
		b := p.get(max(q.len()+n, min(2*q.len(), maxBuffer)))
		b = append(b, q.bytes()...)
		p.put(q.b)
		q.b, q.at = b, 0
	}
	return q.b[len(q.b):cap(q.b)]
}

// added says that n bytes of what grow returned were filled.
func (q *inbox) added(p *buffers, n int) {
	q.b = q.b[:len(q.b)+n]
	q.consume(p, 0)
}

// consume drops n bytes from the front, and the buffer with the last of them.
func (q *inbox) consume(p *buffers, n int) {
	if q.at += n; q.at >= len(q.b) {
		q.drop(p)
	}
}

func (q *inbox) drop(p *buffers) {
	p.put(q.b)
	q.b, q.at = nil, 0
}

// A block is memory for the literal bytes of one response: its head, the heads of multipart parts, a short
// body. It counts its holds, as spans of the send queue and of the transfer refer to it, and returns to its
// shard with the last one. Everything happens on that shard, so that nothing is atomic.
type block struct {
	sh    *shard
	b     []byte
	holds int32
}

// blockSize holds a head, not much more: a client can have many of them waiting. The part heads of many ranges
// make a block grow; it is then left to the collector.
const blockSize = 1 << 10

func (sh *shard) block() *block {
	sh.blocksOut++
	if n := len(sh.blocks); n > 0 {
		k := sh.blocks[n-1]
		sh.blocks = sh.blocks[:n-1]
		k.holds = 1
		return k
	}
	return &block{sh: sh, b: make([]byte, 0, blockSize), holds: 1}
}

// Retain adds a hold.
func (k *block) Retain() { k.holds++ }

// Release drops a hold; the last one returns the block to its shard.
func (k *block) Release() {
	if k.holds--; k.holds > 0 {
		return
	}
	if k.holds < 0 {
		panic("origin: block released more often than retained")
	}
	k.sh.blocksOut--
	if k.b = k.b[:0]; cap(k.b) == blockSize && len(k.sh.blocks) < keepFree {
		k.sh.blocks = append(k.sh.blocks, k)
	}
}
