package ktls

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// A RecordPolicy chooses how much plaintext goes into a record. Small records at the start let a client use
// the first segment without waiting for the rest of 16 KiB; large ones cost the least once data flows.
//
// Once the framer knows the segments (Framer.SetSegment), records end where segments end: a small one is a
// segment, a large one as many as fit in Large, or fewer if that is what it takes for a whole number of records
// to fill a burst. Then a lost segment belongs to one record, and that is all an interface that seals has to
// read again.
//
// The zero value means DefaultPolicy.
type RecordPolicy struct {
	Small      int           // plaintext bytes of an early record, while segments are not known
	SmallBytes int64         // plaintext bytes sent in small records before large ones begin; negative: none
	Large      int           // plaintext bytes of a record in full flow, at most 16384
	Idle       time.Duration // silence after which a connection starts small again
}

// DefaultPolicy: 1369 bytes and 22 of overhead (29 in TLS 1.2) fit a segment of a 1500-byte path with room
// for IPv6 and timestamps; 64 KiB is roughly what IW10 and its first ACKs carry.
var DefaultPolicy = RecordPolicy{Small: 1369, SmallBytes: 64 << 10, Large: maxPlaintext, Idle: time.Second}

// withDefaults fills zero fields and bounds the sizes.
func (p RecordPolicy) withDefaults() RecordPolicy {
	d := DefaultPolicy
	if p.Small <= 0 {
		p.Small = d.Small
	}
	if p.SmallBytes == 0 {
		p.SmallBytes = d.SmallBytes
	}
	if p.Large <= 0 {
		p.Large = d.Large
	}
	if p.Idle <= 0 {
		p.Idle = d.Idle
	}
	p.Small, p.Large = min(p.Small, maxPlaintext), min(p.Large, maxPlaintext)
	return p
}

// A ramp applies a policy to one connection.
type ramp struct {
	policy RecordPolicy
	last   mono.Time // when the connection was last active; zero: never told
	mss    int32     // payload of a segment; 0: not known
	segs   int32     // segments of a large record; 0: a segment is longer than a record
	state  rampState
}

// A rampState is what moves with each record.
type rampState struct {
	sent int64 // plaintext bytes framed since the start, or since the last silence
	grid int32 // where the next record begins in its segment
}

// together is up to how many segments are one record even at the start: they leave together, in any window.
const together = 4

// touch notes activity at now, and starts over after a silence.
func (r *ramp) touch(now mono.Time) {
	if r.last.IsSet() && now.Sub(r.last) > r.policy.Idle {
		r.state.sent = 0
	}
	r.last = now
}

// setSegment takes the segments of the path: mss bytes of payload, of which burst bytes leave at once. A record
// adds over bytes to its plaintext.
func (r *ramp) setSegment(mss, burst, over int) {
	if int(r.mss) != mss {
		r.mss, r.state.grid = int32(mss), 0
	}
	r.segs = int32(segments((r.policy.Large+over)/mss, burst/mss))
}

// segments is how long a record of at most max segments should be so that a whole number of them fills a burst;
// max if they would have to be much shorter for that.
func segments(max, burst int) int {
	for n := max; n > 0 && 2*n > max; n-- {
		if burst%n == 0 && burst > 0 {
			return n
		}
	}
	return max
}

// next is the plaintext length of the next record when n bytes are waiting, and counts it. A record adds over
// bytes to its plaintext.
func (r *ramp) next(n, over int) int {
	size := min(r.size(n, over), n)
	r.state.sent += int64(size)
	return size
}

func (r *ramp) size(n, over int) int {
	small := r.state.sent < r.policy.SmallBytes
	switch {
	case r.segs == 0 && small:
		return r.policy.Small
	case r.segs == 0:
		return r.policy.Large
	case n <= r.policy.Large && (!small || n+over <= together*int(r.mss)):
		return n // what ends here is not worth two records
	case small:
		return r.aligned(1, over)
	}
	return r.aligned(int(r.segs), over)
}

// row takes the next records that are all of one size but for the last, which may be shorter: n of them, `most` at most.
// left bytes are waiting, of which the records must lie in the first `near`. A record adds over bytes to its plaintext.
func (r *ramp) row(left, near, most, over int) (n, size, last int) {
	if size = r.steady(over); size > 0 {
		return r.steadyRow(left, near, most, over, size)
	}
	for total := 0; n < most && total < left; n++ {
		before := r.state
		next := r.next(left-total, over)
		if n == 0 {
			size = next
		}
		if next > size || total+next > near {
			r.state = before
			break
		}
		r.framed(next + over)
		last, total = next, total+next
		if next < size {
			return n + 1, size, last
		}
	}
	return n, size, last
}

// steadyRow is row in full flow, by arithmetic: records are of that size as long as more than Large bytes wait.
func (r *ramp) steadyRow(left, near, most, over, size int) (n, _, last int) {
	if left > r.policy.Large {
		n = divide(left-r.policy.Large+size-1, size)
	}
	n, last = min(n, divide(near, size), most), size
	if rest := left - n*size; n < most && rest > 0 && rest <= size && n*size+rest <= near {
		n, last = n+1, rest
	}
	if n > 0 {
		r.state.sent += int64((n-1)*size + last)
		r.framed(last + over)
	}
	return n, size, last
}

// divide is n/m, or at least as many as a train has records: 32 bits take half the time.
func divide(n, m int) int { return int(uint32(min(n, maxTrain*maxPlaintext)) / uint32(m)) }

// steady is the plaintext of every record from here on, in full flow: they are all alike if they begin and end with a
// segment. 0: they may differ.
func (r *ramp) steady(over int) int {
	if r.state.grid != 0 || r.segs == 0 || r.state.sent < r.policy.SmallBytes {
		return 0
	}
	if size := int(r.segs)*int(r.mss) - over; size <= r.policy.Large {
		return size
	}
	return 0
}

// aligned is the plaintext of a record that ends with the segs-th segment from here, the one that has begun
// included. If that leaves less than half a segment, one more is taken.
func (r *ramp) aligned(segs, over int) int {
	mss := int(r.mss)
	wire := segs*mss - int(r.state.grid)
	if wire < mss/2 {
		wire += mss
	}
	return min(max(wire-over, 1), r.policy.Large)
}

// framed notes that a record of n wire bytes was queued.
func (r *ramp) framed(n int) {
	if r.mss > 0 {
		r.state.grid = int32(uint32(int(r.state.grid)+n) % uint32(r.mss))
	}
}
