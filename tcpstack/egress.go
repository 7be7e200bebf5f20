package tcpstack

import (
	"sync/atomic"

	"ocaserve/pacing"
	"ocaserve/tcpstack/mono"
)

// The egress cap bounds what a whole stack sends: payload, and headerCost for
// each segment. Every shard has a share of it.
//
//  1. A shard that is about to build a frame asks mayEgress. When its share is used up the pending list stays as it
//     is, in order: who is first in line goes first when the next frame may depart.
//  2. Each shard counts what it sent and whether it was held back.
//  3. Every pacing.ShareInterval whichever shard comes first divides the cap anew among all, by those counts.
//
// What leaves within any time t is at most cap*t, twice a shard's quantum and one superframe per shard, and what the
// shards' shares of two divisions differ by within one turn of the loop.

// egressQuantum is a shard's burst: 250 us of its share, at least a superframe, so that the loop's wake-ups stay few
// at any rate.
func egressQuantum(share pacing.Rate) int64 { return max(int64(share)/4000, pacing.MaxQuantum) }

// egressCap is what the shards share.
type egressCap struct {
	total  pacing.Rate
	due    atomic.Int64 // mono.Time of the next division; whoever moves it on makes it
	last   mono.Time    // of the last one; the divider's
	shards []egressUse
	demand []pacing.Rate // the divider's scratch
	shares []pacing.Rate
}

// egressUse is one shard's line: it writes sent and held, the divider takes them and writes share.
type egressUse struct {
	sent  atomic.Int64 // bytes since the last division
	held  atomic.Bool  // it had more to send than it might
	share atomic.Int64 // bytes per second
	_     [40]byte     // a cache line each
}

// newEgressCap returns nil for no cap.
func newEgressCap(total pacing.Rate, shards int) *egressCap {
	if total <= 0 {
		return nil
	}
	e := &egressCap{
		total: total, shards: make([]egressUse, shards),
		demand: make([]pacing.Rate, shards), shares: make([]pacing.Rate, shards),
	}
	for i := range e.shards {
		e.shards[i].share.Store(max(1, int64(total)/int64(shards)))
	}
	return e
}

// divide makes the shares anew if it is time.
func (e *egressCap) divide(now mono.Time) {
	due := e.due.Load()
	if int64(now) < due || !e.due.CompareAndSwap(due, int64(now.Add(pacing.ShareInterval))) {
		return
	}
	since := now.Sub(e.last)
	e.last = now
	if due == 0 {
		return
	}
	// A shard that sends nothing keeps a little, to begin with.
	least := e.total / pacing.Rate(16*len(e.shards))
	for i := range e.shards {
		u := &e.shards[i]
		e.demand[i] = max(least, pacing.Demand(u.sent.Swap(0), since, u.held.Swap(false)))
	}
	pacing.Share(e.total, e.demand, e.shares)
	for i, r := range e.shares {
		e.shards[i].share.Store(max(1, int64(r)))
	}
}

// egress is a shard's side of the cap.
type egress struct {
	cap  *egressCap // nil: none
	use  *egressUse
	pace pacing.Pacer
	wake mono.Time // when to try again, while the cap holds connections back; mono.Never: it does not
}

func (e *egress) init(cap *egressCap, id int) {
	e.wake = mono.Never
	if cap != nil {
		e.cap, e.use = cap, &cap.shards[id]
	}
}

// mayEgress reports whether the shard may build a frame now. If not, wake is when.
func (e *egress) mayEgress(now mono.Time) bool {
	e.wake = mono.Never
	if e.cap == nil {
		return true
	}
	e.cap.divide(now)
	if share := pacing.Rate(e.use.share.Load()); share != e.pace.Rate() {
		e.pace.SetRate(now, share, egressQuantum(share))
	}
	if e.pace.Ready(now) > 0 {
		return true
	}
	e.use.held.Store(true)
	// A share may have grown by the next division.
	e.wake = min(e.pace.Next(), mono.Time(e.cap.due.Load()))
	return false
}

// sent books a frame.
func (e *egress) sent(now mono.Time, n int64) {
	if e.cap != nil {
		e.pace.Sent(now, n)
		e.use.sent.Add(n)
	}
}
