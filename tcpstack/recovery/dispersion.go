package recovery

import (
	"math"
	"time"

	"ocaserve/tcpstack/mono"
)

// A Dispersion measures what the narrowest link of the path carries. Segments that leave closer together than that link
// sends them arrive at its distance, and so come their ACKs: a packet train (Dovrolis, Ramanathan and Moore, "What do
// packet dispersion techniques measure?", 2001). It takes no queue and no full window to find out, and the initial
// window, which leaves at once, tells within the first round trip. Other traffic that comes in between counts as a
// slower link. The delivery rate of [Rate] is a lower bound instead, and as low as our own pace.
//
// It is the mean over the last 64 KiB that came so, or twice that. It errs on either side: what holds ACKs up makes it
// lower, and if it holds up the first one of a train, higher. So it is a hint, to be used within bounds.
type Dispersion struct {
	last  mono.Time // the newest ACK
	rtt   uint32    // ns that the newest segment took which that one covers; 0: not known
	bytes uint32    // acknowledged at the link's distance from the ACK before
	took  uint32    // ns, the sum of these distances
}

const (
	trainCloser = 2        // segments left twice as close together as their ACKs come
	trainHole   = 8        // and these are no further apart than an eighth of the round trip: they did not wait for something else
	trainEnough = 6 << 10  // bytes that tell something: of an initial window, all but what its first ACK covers
	trainMemory = 64 << 10 // bytes
)

// Acked takes an ACK that reports n bytes for the first time, the newest of them sent rtt ago; 0: unknown.
func (d *Dispersion) Acked(now mono.Time, n int64, rtt time.Duration) {
	gap, before := now.Sub(d.last), time.Duration(d.rtt)
	d.last, d.rtt = now, 0
	if rtt <= 0 || rtt > math.MaxUint32 {
		return
	}
	d.rtt = uint32(rtt)
	apart := gap - (rtt - before)
	if before == 0 || apart < 0 || gap < 0 || apart*trainCloser > gap || gap > rtt/trainHole || n > trainMemory {
		return // below zero: reordered, or of clocks that do not agree
	}
	d.bytes, d.took = d.bytes+uint32(n), d.took+uint32(gap)
	if d.bytes > 2*trainMemory || d.took > math.MaxUint32/2 {
		d.bytes, d.took = d.bytes/2, d.took/2
	}
}

// Rate is what the narrowest link carries, in bytes of payload per second; 0: not known.
func (d *Dispersion) Rate() int64 {
	if d.bytes < trainEnough {
		return 0
	}
	return int64(d.bytes) * int64(time.Second) / int64(max(d.took, 1))
}
