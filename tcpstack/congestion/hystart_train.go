package congestion

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// A train is a second way out of slow start. HyStart++ judges the least delay of a whole round, and the pause
// between two flights lets the queue drain that the flight before has filled: by the first round whose least delay
// tells, it has overflown. So parts of a round are looked at, each a sixteenth of what is in flight or more. The pipe
// is full if both hold for one:
//
//   - It came slower than slow start without a queue would have it. What is in flight doubles each round trip, sent at
//     twice the window per round trip or faster; what is acknowledged now left a round trip ago, when the window was
//     half as large: so ACKs come at the rate InFlight/RTT or faster, until the path carries no more.
//   - There is a queue: each RTT of the part is well above the mean of a part before, since the last pause.
//
// That is a round trip after the path was full, at little more than the window that fills it, and the earliest that
// ACKs can tell.
//
// We deviate from HyStart's ACK train, which is after the same (Ha & Rhee, "Taming the elephants: New TCP slow
// start", 2011, section 4.1, and Linux's hystart_update). A train half a round trip long ends slow start there, and
// any sender that paces makes such trains; so for them Linux waits for a whole round trip, which comes at twice the
// window that fills the pipe. And a pause of 2 ms ends a train there, but an ACK of 64 KiB may come 5 ms after the last.
type train struct {
	at     mono.Time // the ACK that the part began with; the next ones belong to it
	last   mono.Time // and the last one
	flight int64     // in flight then
	bytes  int64     // delivered since
	n      int       // RTT samples since
	least  time.Duration
	most   time.Duration
	sum    time.Duration
	before time.Duration // the least mean of a part before; 0: none
	spread time.Duration // the largest less the smallest RTT of that part
}

const (
	trainPart    = 16 // the share of the flight that makes a part, 1/16,
	trainSamples = 8  // and its RTT samples
	trainSlower  = 8  // a rate that is slower by 1/8 is slow
	trainNoise   = 2  // and RTTs are higher if by 1/2 of how far they were apart
	trainPause   = 2 * time.Millisecond
	trainFew     = 128 << 10 // large ACKs: three may do for so much
)

// acked takes an ACK in slow start and reports that the pipe is full. base is the least RTT of this round
// and the last.
func (t *train) acked(now mono.Time, e Ack, base time.Duration) (full bool) {
	// A pause divides flights: what came before it says nothing of the rate after it. Between the ACKs of a full pipe
	// it is little longer than their bytes take at the rate that fills the window.
	fair := time.Duration(mulDiv(e.Delivered, int64(base), max(e.InFlight, 1)))
	gap := now.Sub(t.last)
	t.last = now
	if e.AppLimited || gap > max(4*fair, min(trainPause, base/8)) {
		*t = train{last: now}
		t.begin(now, e)
		return false
	}
	t.bytes += e.Delivered
	if e.RTT > 0 {
		t.n++
		t.sum += e.RTT
		t.least, t.most = smaller(t.least, e.RTT), max(t.most, e.RTT)
	}
	took := now.Sub(t.at)
	// Where RTTs vary for other reasons than a queue, a part must be long against that.
	enough := t.n >= trainSamples || t.n >= 3 && t.bytes >= max(t.flight/4, trainFew)
	if !enough || t.bytes < t.flight/trainPart || took < 4*t.spread {
		return false
	}
	slow := mulDiv(t.bytes, int64(base), max(int64(took), 1)) < t.flight-t.flight/trainSlower
	full = slow && t.before > 0 && t.least > t.before+t.spread/trainNoise
	if mean := t.sum / time.Duration(t.n); t.before == 0 || mean < t.before {
		t.before, t.spread = mean, t.most-t.least
	}
	t.begin(now, e)
	return full
}

func (t *train) begin(now mono.Time, e Ack) {
	t.at, t.flight = now, e.InFlight
	t.bytes, t.n, t.least, t.most, t.sum = 0, 0, 0, 0, 0
}
