package ledger

import "math"

// A Resync predicts what an adapter reads again because of losses, for a stream of records of one size over a
// path that loses segments independently. docs/offload.md derives the formulas.
//
// An adapter's context stands at one place in the stream of records. A frame that begins elsewhere, x bytes into a
// record, has what of the x bytes before it is plaintext read again. That happens when a run of lost segments is sent
// again, and when new data goes on behind it in the middle of a record. All sizes are wire bytes: of what is read, once
// or again, the plaintext is nearly the same share.
type Resync struct {
	Record  int     // wire bytes of a record
	Segment int     // payload of a segment
	Burst   int     // bytes of new data that leave between two looks at what is lost; what of them is lost goes in one go
	Loss    float64 // share of transmitted segments that are lost
}

// PerRetransmission is how many bytes are gone over again for each segment retransmitted.
//
// With n = Burst/Segment, p = Loss, and a place in a record being as likely as any other that can occur, which are
// the multiples of the greatest common divisor of Record and Segment (for retransmissions) or Burst (for new data):
//
//	(1 - p(n-1)/n) * (Record - gcd(Record, Segment)) / 2        runs of losses: one reading for each
//	+ (1 - (1-p)^n) / np * (Record - gcd(Record, Burst)) / 2    returns to new data: one for each burst with losses
func (r Resync) PerRetransmission() float64 {
	n, p := float64(r.Burst)/float64(r.Segment), r.Loss
	runs, returns := 1-p*(n-1)/n, 1.0
	if p > 0 {
		returns = (1 - math.Pow(1-p, n)) / (n * p)
	}
	return runs*meanPlace(r.Record, r.Segment) + returns*meanPlace(r.Record, r.Burst)
}

// Amplification is Measures.Amplification as predicted: 1 + p * PerRetransmission / Segment, because each lost
// transmission is followed by one retransmission, so that p of all segments transmitted are retransmissions.
func (r Resync) Amplification() float64 {
	return 1 + r.Loss*r.PerRetransmission()/float64(r.Segment)
}

// meanPlace is the mean of the multiples of gcd(record, step) below record.
func meanPlace(record, step int) float64 {
	a, b := record, step
	for b > 0 {
		a, b = b, a%b
	}
	return float64(record-a) / 2
}
