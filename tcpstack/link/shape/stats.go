package shape

import (
	"math/bits"
	"time"

	"ocaserve/tcpstack/mono"
)

// Counters tell what has happened to one direction. Packets are wire packets; sizes have no link-layer header
// on a TUN and have it on a TAP. At any time
//
//	Packets + Duplicated = Delivered + Policed + QueueDrops + Lost + Held
type Counters struct {
	Frames     uint64 `json:"frames"` // taken from the device; superframes count once
	Bad        uint64 `json:"bad"`    // of them, malformed superframes
	Packets    uint64 `json:"packets"`
	Bytes      uint64 `json:"bytes"`
	Delivered  uint64 `json:"delivered"`
	Policed    uint64 `json:"policed"`
	QueueDrops uint64 `json:"queue_drops"`
	Marked     uint64 `json:"marked"` // CE set by the queue instead of a drop
	Lost       uint64 `json:"lost"`
	Reordered  uint64 `json:"reordered"` // held back so that others may overtake
	Duplicated uint64 `json:"duplicated"`
	Held       uint64 `json:"held"` // still on the link
	MaxQueue   uint64 `json:"max_queue_bytes"`
	Refused    uint64 `json:"refused"` // delivered, but the device took no more
}

// Counters returns what has happened to what came from a side; Refused is the loop's to fill in.
func (e *Engine) Counters(from Side) Counters {
	d := &e.from[from]
	wire := d.wire.Counters()
	c := Counters{
		Frames: d.frames, Bad: d.bad, Packets: wire.Packets, Bytes: wire.Bytes,
		Delivered: d.outlet.Counters().Out, Lost: wire.Lost, Reordered: wire.Reordered, Duplicated: wire.Duplicated, Held: wire.Held,
	}
	if d.queue != nil {
		q := d.queue.Counters()
		c.Packets, c.Bytes = q.Packets, q.Bytes
		c.QueueDrops, c.Marked, c.MaxQueue = q.Dropped, q.Marked, q.MaxHeldBytes
		c.Held += q.Held
	}
	if d.policer != nil {
		p := d.policer.Counters()
		c.Packets, c.Bytes, c.Policed = p.Packets, p.Bytes, p.Dropped
	}
	return c
}

// Lateness is how long after its due time each packet left: a histogram with a resolution of 1/16 of the
// value, at least 1 us.
type Lateness struct {
	buckets [26 * 16]uint64 // 16 per power of two of microseconds
	count   uint64
	max     time.Duration
}

// Record books a packet that was due and has left.
func (l *Lateness) Record(due, left mono.Time) {
	late := max(0, left.Sub(due))
	l.buckets[bucket(late)]++
	l.count++
	l.max = max(l.max, late)
}

// bucket is linear up to 16 us and then logarithmic with 16 steps per octave.
func bucket(d time.Duration) int {
	us := uint64(d / time.Microsecond)
	if us < 16 {
		return int(us)
	}
	octave := bits.Len64(us) - 5 // the top five bits say where
	return min(octave*16+int(us>>octave), len(Lateness{}.buckets)-1)
}

// upper is the least time that no longer falls into a bucket.
func upper(i int) time.Duration {
	if i < 16 {
		return time.Duration(i+1) * time.Microsecond
	}
	octave := i/16 - 1
	return time.Duration(i%16+17) << octave * time.Microsecond
}

// Quantile is a bound that a share q of the packets kept, from 0 to 1.
func (l *Lateness) Quantile(q float64) time.Duration {
	need := uint64(q * float64(l.count))
	for i, n := range l.buckets {
		if n > need {
			return min(upper(i), l.max)
		}
		need -= n
	}
	return l.max
}

// Count is how many packets were booked.
func (l *Lateness) Count() uint64 { return l.count }

// Max is the latest of all.
func (l *Lateness) Max() time.Duration { return l.max }
