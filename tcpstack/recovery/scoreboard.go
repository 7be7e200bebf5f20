package recovery

import (
	"sort"

	"ocaserve/tcpstack/mono"
)

// A burst is one entry of the scoreboard: bytes that were last sent together. Entries cover [una, next)
// without gaps, so each begins where the one before ends, and the order of the entries is the order of
// their ends. Two SACKed entries never stand side by side.
type burst struct {
	end  int64     // the offset after its last byte
	sent mono.Time // its last transmission
	xmit uint8     // transmissions, at most 255; more than one: no RTT sample (Karn)
	mark mark

	stamp uint32 // number of the delivery stamp of the last transmission; 0: none
}

// A mark says what is known of a burst's bytes.
type mark uint8

const (
	sacked mark = 1 << iota // the receiver has them; excludes the other two
	lost                    // a detector judged the original lost
	rexmit                  // a retransmission is under way
)

const (
	// inlineBursts stand in the Sender itself: what a short exchange needs, without the heap.
	inlineBursts = 2
	minBoard     = 16 // entries on the heap, at least
	// maxBursts is where new data joins the last entry instead of opening another: 256 MiB in full bursts.
	maxBursts = 4096
)

// A scoreboard is a deque of bursts with insertion and removal in the middle, which move the shorter side.
// The zero value is empty, and takes its memory from the heap alone. It may be copied: it holds no pointer into
// itself.
type scoreboard struct {
	pool   *Pool   // nil: none
	heap   []burst // entries from head on, when more than the inline ones are needed; else nil
	head   int32
	n      int32 // entries in inline, when heap is nil
	inline [inlineBursts]burst
}

// all returns the entries in order. The slice is valid until the next push or splice.
func (b *scoreboard) all() []burst {
	if b.heap != nil {
		return b.heap[b.head:]
	}
	return b.inline[:b.n]
}

func (b *scoreboard) len() int {
	if b.heap != nil {
		return len(b.heap) - int(b.head)
	}
	return int(b.n)
}

// find returns the index of the entry that contains off: the first that ends after it, or len.
func (b *scoreboard) find(off int64) int {
	all := b.all()
	if len(all) > 0 && all[0].end > off {
		return 0
	}
	return sort.Search(len(all), func(i int) bool { return all[i].end > off })
}

// push appends an entry.
func (b *scoreboard) push(e burst) {
	if b.heap == nil && b.n < inlineBursts {
		b.inline[b.n] = e
		b.n++
		return
	}
	b.room(1)
	b.heap = append(b.heap, e)
}

// room makes sure that k more entries fit on the heap: by closing the gap in front if that is wide, else
// by doubling.
func (b *scoreboard) room(k int) {
	if b.heap != nil && len(b.heap)+k <= cap(b.heap) {
		return
	}
	live := b.all()
	if b.heap != nil && int(b.head) >= max(k, cap(b.heap)/4) {
		b.heap = b.heap[:copy(b.heap, live)]
	} else {
		old := b.heap
		b.heap = append(b.pool.boards().get(max(minBoard, 2*len(live))), live...)
		b.pool.boards().put(old)
	}
	b.head, b.n = 0, 0
}

// pop drops the first k entries. An empty scoreboard holds no memory.
func (b *scoreboard) pop(k int) {
	switch {
	case k == b.len():
		b.drop()
	case b.heap != nil:
		b.head += int32(k)
	default:
		b.n = int32(copy(b.inline[:], b.inline[k:b.n]))
	}
}

// drop empties the scoreboard.
func (b *scoreboard) drop() {
	b.pool.boards().put(b.heap)
	b.heap, b.head, b.n = nil, 0, 0
}

// splice replaces entries [i, j) by with, and moves whichever side is shorter.
func (b *scoreboard) splice(i, j int, with ...burst) {
	grow := len(with) - (j - i)
	if b.heap == nil && int(b.n)+grow <= inlineBursts {
		copy(b.inline[i+len(with):], b.inline[j:b.n])
		b.n += int32(grow)
		copy(b.inline[i:], with)
		return
	}
	b.room(max(grow, 0))
	head := int(b.head)
	if i < b.len()-j && head >= grow {
		copy(b.heap[head-grow:head-grow+i], b.heap[head:])
		b.head -= int32(grow)
	} else {
		n := len(b.heap)
		b.heap = b.heap[:max(n, n+grow)]
		copy(b.heap[head+j+grow:], b.heap[head+j:n])
		b.heap = b.heap[:n+grow]
	}
	copy(b.heap[int(b.head)+i:], with)
}
