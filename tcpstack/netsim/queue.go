package netsim

import (
	"math"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/mono"
)

// BDP is the bandwidth-delay product in bytes: what a path holds without any queue.
func BDP(rate pacing.Rate, rtt time.Duration) int64 { return rate.Bytes(rtt) }

// A DropTail queue refuses what does not fit.
type DropTail struct {
	Bytes   int64 // 0: no limit
	Packets int   // 0: no limit
	// MarkAbove is the queue in bytes from which on arriving packets get CE instead of being let pass as
	// they are: DCTCP's step (RFC 8257 section 3.1). 0: never.
	MarkAbove int64

	fifo
}

func (q *DropTail) put(_ mono.Time, p *Packet) {
	if q.full(p, q.Bytes, q.Packets) {
		q.env.drop(p)
		return
	}
	if q.MarkAbove > 0 && q.bytes >= q.MarkAbove && markCE(p.Data) {
		q.env.count.Marked++
	}
	q.push(p)
}

func (q *DropTail) get(mono.Time) *Packet { return q.pop() }

// RED drops at random, the more the longer the queue was on average (Floyd and Jacobson 1993), with the
// "gentle" slope up to twice Max.
type RED struct {
	Min, Max int64   // bytes of average queue between which the share of drops rises from 0 to MaxP
	MaxP     float64 // 0: 0.1
	Weight   float64 // of a new sample in the average; 0: 0.002
	Limit    int64   // hard limit, bytes; 0: none
	ECN      bool    // mark packets that can be marked (RFC 3168), below Max

	fifo
	average float64
	count   int       // packets since the last drop; -1: the average is below Min
	idle    mono.Time // since when the queue is empty; zero: it is not
}

func (q *RED) init(env *queueEnv) {
	q.fifo.init(env)
	if q.MaxP == 0 {
		q.MaxP = 0.1
	}
	if q.Weight == 0 {
		q.Weight = 0.002
	}
	q.count = -1
}

func (q *RED) put(now mono.Time, p *Packet) {
	q.sample(now)
	hit := q.decide()
	switch {
	case q.full(p, q.Limit, 0):
		q.env.drop(p)
		return
	case hit && q.ECN && q.average < float64(q.Max) && markCE(p.Data):
		q.env.count.Marked++
	case hit:
		q.env.drop(p)
		return
	}
	q.idle = 0
	q.push(p)
}

// redPacket is the size that an idle line is assumed to have sent packets of.
const redPacket = 1500

// sample updates the average. Over an idle time it decays as if small packets had found the queue empty.
func (q *RED) sample(now mono.Time) {
	if q.len() == 0 && q.idle.IsSet() {
		missed := float64(now.Sub(q.idle)) / float64(max(1, q.env.rate.Duration(redPacket)))
		q.average *= math.Pow(1-q.Weight, missed)
		q.idle = 0
		return
	}
	q.average += q.Weight * (float64(q.bytes) - q.average)
}

// decide says whether the arriving packet is hit. Hits are spread evenly: the share rises with the
// packets since the last one (Floyd and Jacobson, section 7, method 2).
func (q *RED) decide() bool {
	lo, hi := float64(q.Min), float64(q.Max)
	var share float64
	switch {
	case q.average < lo:
		q.count = -1
		return false
	case q.average < hi:
		share = q.MaxP * (q.average - lo) / (hi - lo)
	case q.average < 2*hi:
		share = q.MaxP + (1-q.MaxP)*(q.average-hi)/hi
	default:
		share = 1
	}
	q.count++
	even := share / max(1e-9, 1-float64(q.count)*share)
	if share < 1 && even >= 0 && even < 1 && q.env.random.Float64() >= even {
		return false
	}
	q.count = 0
	return true
}

func (q *RED) get(now mono.Time) *Packet {
	p := q.pop()
	if q.len() == 0 && !q.idle.IsSet() {
		q.idle = now
	}
	return p
}

// CoDel drops by how long packets have waited (RFC 8289).
type CoDel struct {
	Target   time.Duration // standing delay that is tolerated; 0: 5 ms
	Interval time.Duration // for how long; 0: 100 ms
	Limit    int64         // hard limit, bytes; 0: none
	ECN      bool          // mark packets that can be marked instead

	fifo
	firstAbove mono.Time // when the delay will have been above Target for an Interval; zero: it is below
	dropNext   mono.Time
	count      int // drops since dropping began
	lastCount  int
	dropping   bool
}

func (q *CoDel) init(env *queueEnv) {
	q.fifo.init(env)
	if q.Target == 0 {
		q.Target = 5 * time.Millisecond
	}
	if q.Interval == 0 {
		q.Interval = 100 * time.Millisecond
	}
}

func (q *CoDel) put(now mono.Time, p *Packet) {
	if q.full(p, q.Limit, 0) {
		q.env.drop(p)
		return
	}
	p.queued = now
	q.push(p)
}

// take removes the head and reports whether the delay has been too long for an interval (RFC 8289
// section 5.6, dodequeue). A queue of at most one packet is never too long.
func (q *CoDel) take(now mono.Time) (p *Packet, tooLong bool) {
	if p = q.pop(); p == nil {
		q.firstAbove = 0
		return nil, false
	}
	switch waited := now.Sub(p.queued); {
	case waited < q.Target || q.bytes <= codelMTU:
		q.firstAbove = 0
	case !q.firstAbove.IsSet():
		q.firstAbove = now.Add(q.Interval)
	default:
		tooLong = now >= q.firstAbove
	}
	return p, tooLong
}

// codelMTU is the queue in bytes below which the link would starve if packets were dropped.
const codelMTU = 1500

// get is RFC 8289 section 5.5, dequeue.
func (q *CoDel) get(now mono.Time) *Packet {
	p, tooLong := q.take(now)
	switch {
	case q.dropping && !tooLong:
		q.dropping = false
	case q.dropping:
		for now >= q.dropNext && q.dropping {
			q.count++
			if q.hit(p) {
				q.dropNext = q.law(q.dropNext)
				return p
			}
			if p, tooLong = q.take(now); !tooLong {
				q.dropping = false
			} else {
				q.dropNext = q.law(q.dropNext)
			}
		}
	case tooLong:
		p = q.startDropping(now, p)
	}
	return p
}

// startDropping drops the first packet of an episode. If the last one was not long ago, its drop rate
// was about right and is taken up again.
func (q *CoDel) startDropping(now mono.Time, p *Packet) *Packet {
	if !q.hit(p) {
		p, _ = q.take(now)
	}
	q.dropping = true
	delta := q.count - q.lastCount
	q.count = 1
	if delta > 1 && now.Sub(q.dropNext) < 16*q.Interval {
		q.count = delta
	}
	q.dropNext = q.law(now)
	q.lastCount = q.count
	return p
}

// law is the next time to drop: drops come closer together with the square root of their count.
func (q *CoDel) law(t mono.Time) mono.Time {
	return t.Add(time.Duration(float64(q.Interval) / math.Sqrt(float64(q.count))))
}

// hit marks p, which it reports, or else drops it.
func (q *CoDel) hit(p *Packet) (marked bool) {
	if q.ECN && markCE(p.Data) {
		q.env.count.Marked++
		return true
	}
	q.env.drop(p)
	return false
}
