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
// It is the most that any train showed: what holds ACKs up in the middle of a train makes a train slower. ACKs that
// were held up at its beginning make it faster than the link, so it is a hint, to be used within bounds.
type Dispersion struct {
	last  mono.Time // the newest ACK of the train under way
	took  uint32    // ns since its first one
	rtt   uint32    // ns that the newest segment took which the newest ACK covers; 0: no train is under way
	bytes uint32    // acknowledged since its first ACK
	rate  uint32    // KiB per second; 0: none
}

const (
	trainCloser = 2       // segments left twice as close together as their ACKs come
	trainEnough = 6 << 10 // bytes that tell something: of an initial window, all but what its first ACK covers
	trainLength = 1 << 20 // bytes: then the next train begins
	trainTime   = math.MaxUint32
)

// Acked takes an ACK that reports n bytes for the first time, the newest of them sent rtt ago; 0: unknown.
func (d *Dispersion) Acked(now mono.Time, n int64, rtt time.Duration) {
	gap, before := now.Sub(d.last), time.Duration(d.rtt)
	d.last, d.rtt = now, 0
	if rtt <= 0 || rtt > trainTime {
		return
	}
	d.rtt = uint32(rtt)
	took := time.Duration(d.took) + gap
	apart := gap - (rtt - before)
	if before == 0 || apart*trainCloser > gap || d.bytes > trainLength || took > trainTime {
		d.took, d.bytes = 0, 0
		return
	}
	d.took = uint32(took)
	d.bytes += uint32(min(n, trainLength))
	if d.bytes >= trainEnough && took > 0 {
		d.rate = max(d.rate, uint32(min(int64(d.bytes)*int64(time.Second)/int64(took)>>10, math.MaxUint32)))
	}
}

// Rate is what the narrowest link carries, in bytes of payload per second; 0: not known.
func (d *Dispersion) Rate() int64 { return int64(d.rate) << 10 }
