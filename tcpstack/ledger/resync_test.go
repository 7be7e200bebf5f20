package ledger

import (
	"math"
	"math/rand/v2"
	"testing"
)

// adapter is what a driver knows: where its context stands, and what it had to read again.
type adapter struct {
	record, place      int
	fetched, refetched int
}

func (a *adapter) frame(from, n int) {
	if from != a.place {
		a.refetched += from % a.record
	}
	a.place = from + n
	a.fetched += n
}

// simulate sends bursts over a path that loses segments; what is lost goes out again some bursts later, in runs,
// in order, and may be lost again. It returns bytes read again per retransmission, and the amplification.
func (r Resync) simulate(rnd *rand.Rand, bursts int) (per, amplification float64) {
	const later = 7 // bursts in flight
	a := adapter{record: r.Record}
	lost := make([][]int, bursts+1)
	again := 0
	lose := func(i, seg int) {
		if rnd.Float64() < r.Loss {
			lost[min(i+later, bursts)] = append(lost[min(i+later, bursts)], seg)
		}
	}
	for i := range bursts {
		for at, list := 0, lost[i]; at < len(list); {
			end := at + 1
			for end < len(list) && list[end] == list[end-1]+1 {
				end++
			}
			a.frame(list[at]*r.Segment, (end-at)*r.Segment)
			for _, seg := range list[at:end] {
				again++
				lose(i, seg)
			}
			at = end
		}
		a.frame(i*r.Burst, r.Burst)
		for seg := range r.Burst / r.Segment {
			lose(i, i*r.Burst/r.Segment+seg)
		}
	}
	return float64(a.refetched) / float64(again), 1 + float64(a.refetched)/float64(a.fetched)
}

// The formula and a simulation that knows only what an adapter does agree within 5 %.
func TestResyncBySimulation(t *testing.T) {
	const mss = 1448
	for _, r := range []Resync{
		{Record: 16406, Segment: mss, Burst: 44 * mss},    // of the largest size: at any place of a segment
		{Record: 11 * mss, Segment: mss, Burst: 44 * mss}, // whole records in bursts: new data begins with one
		{Record: 11 * mss, Segment: mss, Burst: 10 * mss}, // aligned to segments, not to bursts
		{Record: 11 * mss, Segment: mss, Burst: 2 * mss},  // clocked by ACKs
		{Record: 4 * mss, Segment: mss, Burst: 7 * mss},
		{Record: mss, Segment: mss, Burst: 10 * mss},          // a record for each segment: nothing to read
		{Record: 16406, Segment: 8948, Burst: 7 * 8948},       // jumbo frames
		{Record: 16406, Segment: 1220, Burst: 1220},           // without TSO
		{Record: 4 * mss, Segment: mss, Burst: 4 * mss * 100}, // long bursts: many losses share a return
	} {
		for _, p := range []float64{0.001, 0.01, 0.03} {
			r.Loss = p
			bursts := int(4e3/p) / (r.Burst / r.Segment) // four thousand losses
			per, amplification := r.simulate(rand.New(rand.NewPCG(1, uint64(r.Record))), bursts)
			t.Logf("%+v: %.0f bytes per retransmission, formula %.0f; amplification %.4f, formula %.4f",
				r, per, r.PerRetransmission(), amplification, r.Amplification())
			if want := r.PerRetransmission(); math.Abs(per-want) > 0.05*want {
				t.Errorf("%+v: %.0f bytes per retransmission, the formula says %.0f", r, per, want)
			}
			if want := r.Amplification(); math.Abs(amplification-want) > 0.05*(want-1) {
				t.Errorf("%+v: amplification %.4f, the formula says %.4f", r, amplification, want)
			}
		}
	}
}

func TestResyncWithoutLoss(t *testing.T) {
	r := Resync{Record: 16406, Segment: 1448, Burst: 14480}
	if a := r.Amplification(); a != 1 {
		t.Errorf("amplification %v", a)
	}
	if per, want := r.PerRetransmission(), 16404.0; math.Abs(per-want) > 2 { // a lone loss: half a record, twice
		t.Errorf("%v bytes per retransmission, want %v", per, want)
	}
}
