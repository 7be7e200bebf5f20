package pacing

import (
	"math"
	"math/bits"
	"time"

	"ocaserve/tcpstack/mono"
)

const (
	// MaxQuantum is the most that leaves in one burst: what one superframe carries.
	MaxQuantum = 64 << 10
	// Burst is how much of the rate one burst carries where nobody says otherwise (Linux's sk_pacing_shift: 0.98 ms).
	Burst = time.Millisecond

	// MaxGrain bounds by how much Wake is later than Next: two ticks of the wheel.
	MaxGrain = 1 << (tickBits + 1)

	second = 1e9 // ns
	// maxDebt, in billionths of a byte, is where what a rate change carries over saturates: 4.6 GB.
	maxDebt = math.MaxInt64 / 2
)

// Quantum is the bytes of one burst that carries d of a rate: at most 64 KiB, but at least 2 segments, in whole
// segments of mss bytes. Two segments, so that a receiver that acknowledges every second one (RFC 9293
// section 3.8.6.3) answers each burst.
func Quantum(r Rate, d time.Duration, mss int) int64 {
	m := int64(max(mss, 1))
	n := min(r.Bytes(d), MaxQuantum)
	return max(n-n%m, 2*m)
}

// A Pacer spaces what one connection sends. It keeps an ideal schedule: a burst of n bytes moves the next
// departure by exactly n/rate (the remainder below a nanosecond is kept), so that a late loop makes a
// departure late but never the schedule.
//
// What it guarantees, if what is sent stays within Ready: for all instants s <= t,
//
//	sent[s, t] <= rate*(t-s) + 2*quantum
//	sent[0, t] <= rate*t + quantum                  from the first byte, and from the end of an idle time
//	sent[0, t] >= rate*t                            just after each departure that was in time
//	sent[0, t] >= rate*t - quantum                  backlogged, and woken less than quantum/rate late
//
// The second quantum of the first line is the catch-up: a loop that woke late sends what it missed, up to
// one burst, or what SetCatchUp allows; what it missed beyond is lost. When the rate changes, rate*t is the
// integral of the rates.
//
// The zero value is unpaced. Copying a Pacer copies its schedule.
type Pacer struct {
	rate  Rate      // 0: unpaced
	next  mono.Time // the next departure, rounded down
	rem   int64     // what next lacks, in ns/rate: 0 <= rem < rate
	slack int32     // us that a late loop may make up for, if that is more than one burst
	open  int32     // left of the burst that may leave now
	burst int32     // quantum
	late  bool      // the schedule is waited for: being behind it is the loop's doing, not idleness
}

// Rate is the rate in force; 0: unpaced.
func (p *Pacer) Rate() Rate { return p.rate }

// Quantum is the burst in force, bytes.
func (p *Pacer) Quantum() int64 { return int64(p.burst) }

// SetRate changes the rate, 0 for none, and the burst, in bytes. What was sent ahead of the schedule stays
// owed, in bytes: after a change from slow to fast the wait shrinks with it.
func (p *Pacer) SetRate(now mono.Time, r Rate, quantum int64) {
	if r <= 0 {
		*p = Pacer{}
		return
	}
	if r != p.rate {
		p.convert(now, r)
	}
	p.burst = int32(min(max(quantum, 1), math.MaxInt32))
	p.open = min(p.open, p.burst)
}

// SetCatchUp lets a loop that woke late make up for as much time, at most; one burst in any case. It is for rates
// that nobody asked for: congestion control's stand for a window per round trip, and a loop that is late must not take
// that from it. It holds until the rate is 0.
func (p *Pacer) SetCatchUp(d time.Duration) {
	if p.rate > 0 {
		p.slack = int32(min(max(d, 0), time.Minute) / time.Microsecond)
	}
}

// convert moves the next departure as the new rate asks for.
func (p *Pacer) convert(now mono.Time, r Rate) {
	if p.rate == 0 {
		p.rate, p.next, p.rem = r, now, 0
		return
	}
	p.forget(now)
	owed := int64(maxDebt) // billionths of a byte; below zero: behind the schedule
	if d := int64(p.next - now); d < (maxDebt-p.rem)/int64(p.rate) {
		owed = d*int64(p.rate) + p.rem
	}
	wait, rem := owed/int64(r), owed%int64(r)
	if rem < 0 {
		wait, rem = wait-1, rem+int64(r)
	}
	p.rate, p.next, p.rem = r, now+mono.Time(wait), rem
}

// forget bounds how far the schedule may be behind now: not at all after an idle time, one burst for a loop
// that was late.
func (p *Pacer) forget(now mono.Time) {
	if p.next >= now {
		return
	}
	oldest := now
	if p.late {
		oldest -= mono.Time(max(int64(p.burst)*second/int64(p.rate), int64(p.slack)*1000))
	}
	if p.next < oldest {
		p.next, p.rem = oldest, 0
	}
}

// Ready is how many bytes may leave now: MaxInt64 if unpaced, 0 if none may before Next. It is asked when
// there is something to send; what is left of a burst may leave later.
func (p *Pacer) Ready(now mono.Time) int64 {
	if p.rate == 0 {
		return math.MaxInt64
	}
	return p.ready(now)
}

func (p *Pacer) ready(now mono.Time) int64 {
	if now < p.Next() {
		p.late = true
		return int64(p.open)
	}
	p.forget(now)
	p.open = p.burst
	return int64(p.burst)
}

// Next is the departure time of the next burst. It may have passed.
func (p *Pacer) Next() mono.Time {
	if p.rem > 0 { // the first whole nanosecond at which it may leave
		return p.next + 1
	}
	return p.next
}

// Wake is when to ask for the next burst where others are paced beside it: Next, rounded up to a multiple of a power of
// two ns that is at most a quarter of the time between two bursts, and at most MaxGrain. The bursts of many connections so
// leave at the same instants: a loop wakes for all of them, and the wheel finds a slot due as a whole. It is late by less
// than a burst, so that it costs nothing of the rate.
func (p *Pacer) Wake() mono.Time {
	at := p.Next()
	if p.rate == 0 || at >= mono.Never/2 {
		return at
	}
	grain := mono.Time(1)
	if n := int64(p.burst) * second / int64(p.rate) / 4; n > 1 {
		grain = 1 << min(bits.Len64(uint64(n))-1, bits.Len(MaxGrain)-1)
	}
	return (at + grain - 1) &^ (grain - 1)
}

// Sent books n bytes that leave now. More than Ready is allowed, for what must not wait, and is paid for by
// what comes after.
func (p *Pacer) Sent(now mono.Time, n int64) {
	if p.rate == 0 || n <= 0 {
		return
	}
	if p.next < now && !p.late { // sent without asking, after an idle time
		p.next, p.rem = now, 0
	}
	hi, lo := bits.Mul64(uint64(n), second)
	lo, carry := bits.Add64(lo, uint64(p.rem), 0)
	if hi += carry; hi >= uint64(p.rate) {
		p.next, p.rem = mono.Never/2, 0
		return
	}
	wait, rem := bits.Div64(hi, lo, uint64(p.rate))
	p.next += mono.Time(min(wait, uint64(mono.Never/2-max(p.next, 0))))
	p.rem = int64(rem)
	p.open = int32(max(0, int64(p.open)-n))
	p.late = p.Next() <= now
}
