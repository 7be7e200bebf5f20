package compare

import (
	"math"
	"runtime"
	"slices"
	"time"

	"ocaserve/ktls"
	"ocaserve/tcpstack/ledger"
)

// A Round is one measurement of one cell: what was counted, and the figures that follow from it. A figure that is
// not known is NaN, and absent from JSON.
type Round struct {
	Cell Key

	Wall      time.Duration
	Body      uint64 // plaintext of bodies that clients received, bytes: the bytes of every "per byte"
	Verified  uint64 // of them, bytes that were opened and compared with the file
	Responses uint64 // that ended
	Samples   int    // times to first byte
	HostCPU   time.Duration
	NICCPU    time.Duration
	Ledger    map[string]uint64 // the server's book, by the names of its events, bytes
	Records   uint64            // that were framed
	Adapter   map[string]uint64 // the adapter's counters

	Measures  ledger.Measures
	Record    float64 // mean length of the record that a byte of the stream is in, bytes on the wire
	Predicted float64 // of Measures.Amplification, for what was retransmitted and what the adapter sealed
	AllSealed float64 // of it, for the loss that was asked for, if the adapter sealed everything
	Retained  float64 // bytes kept for each byte of the send queue, beside references to pages
	Heap      float64 // bytes of live heap that the measurement added, server and clients together
	Cycles    float64 // of the host, per byte
	P50, P99  float64 // seconds to the first byte
	Offloaded float64 // share of record bytes that the adapter sealed
	Resyncs   float64 // times that the adapter had to fetch a record's beginning again
	// Switches of records between adapter and CPU: ToInline by reason, Failed are attempts to use the adapter.
	ToNIC            uint64
	ToInline, Failed map[string]uint64
	Others           float64 // share of the machine's processors that other programs used meanwhile
}

// round makes the figures from what was counted between two snapshots.
func (s *stage) round(k Key, from, to *snapshot) (r Round) {
	r = Round{
		Cell: k, Wall: to.at.Sub(from.at),
		Body: to.tally.Bytes - from.tally.Bytes, Verified: to.tally.Verified - from.tally.Verified,
		Responses: to.tally.Responses - from.tally.Responses,
		HostCPU:   to.host - from.host, NICCPU: to.nic - from.nic,
		Ledger: make(map[string]uint64), Adapter: make(map[string]uint64),
	}
	book := since(&from.book, &to.book)
	for e := range ledger.NumEvents {
		if e != ledger.Records {
			r.Ledger[e.String()] = book.Sum(e)
		}
	}
	r.Records = book.Sum(ledger.Records)
	for name, v := range to.adapter {
		if name != "tx_tls_ctx" { // a gauge
			v -= from.adapter[name]
		}
		r.Adapter[name] = v
	}
	r.Measures = book.Measures()
	r.Resyncs = float64(r.Adapter["tx_tls_ooo"])
	r.Offloaded = share(book.Sum(ledger.SealedNIC), book.Sum(ledger.Sent)+book.Sum(ledger.Retransmitted))
	a, b := &from.records.Switches, &to.records.Switches
	r.ToNIC, r.ToInline, r.Failed = b.ToIfnet-a.ToIfnet, reasons(&a.ToSW, &b.ToSW), reasons(&a.Failed, &b.Failed)
	r.Others = from.load.others(to.load, r.Wall, runtime.NumCPU())
	r.Record = recordAround(&from.tally, &to.tally)
	r.predict()
	r.Cycles = math.NaN()
	if hz := clockRate(); hz > 0 {
		r.Cycles = r.HostCPU.Seconds() * hz / float64(max(r.Body, 1))
	}
	r.waits(to.tally.Waits[len(from.tally.Waits):])
	return r
}

// predict says what the adapter would have fetched by the arithmetic. What a connection
// retransmits while the CPU seals costs the adapter nothing: the refetched part is in proportion to what the adapter seals.
func (r *Round) predict() {
	r.Predicted, r.AllSealed = math.NaN(), math.NaN()
	if r.Cell.Mode == ktls.ModeNIC {
		r.Predicted = 1 + r.Offloaded*(amplification(r.Measures.Retransmits, r.Record, segment)-1)
		r.AllSealed = amplification(r.Cell.Loss, r.Record, segment)
	}
}

// reasons lists what was counted between two states, by reason.
func reasons(from, to *[ktls.NumReasons]uint64) map[string]uint64 {
	list := make(map[string]uint64)
	for why := range ktls.NumReasons {
		if n := to[why] - from[why]; n > 0 {
			list[why.String()] = n
		}
	}
	return list
}

// since is what was booked between two states of a book.
func since(from, to *ledger.Book) *ledger.Book {
	d := new(ledger.Book)
	for e := range ledger.NumEvents {
		d.Add(e, int(to.Sum(e)-from.Sum(e)))
	}
	return d
}

// waits takes the times to first byte.
func (r *Round) waits(all []time.Duration) {
	all = slices.Clone(all)
	slices.Sort(all)
	r.Samples = len(all)
	r.P50, r.P99 = quantile(all, 0.50), quantile(all, 0.99)
}

// quantile of sorted values, by the nearest rank; NaN if there are none.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[max(rank, 1)-1].Seconds()
}

// keep turns what was seen in the send queues into Retained. A page that is referred to is charged an eighth of its
// bytes there (stream.PinCharge), which is not memory of the connection: it comes off again.
func (r *Round) keep(k *kept) {
	r.Retained = math.NaN()
	if k.queued == 0 {
		return
	}
	charged := float64(k.charged)
	if r.Cell.Mode != ktls.ModeUser {
		charged -= float64(k.queued) * r.plainShare() / 8
	}
	r.Retained = max(0, charged/float64(k.queued))
}

// plainShare is how much of the bytes sent is plaintext.
func (r *Round) plainShare() float64 {
	framed, wire := r.Ledger["plain_framed"], r.Ledger["record_bytes"]
	if wire == 0 {
		return 1
	}
	return float64(framed) / float64(wire)
}

// gb is the bytes delivered, in GB.
func (r *Round) gb() float64 { return float64(max(r.Body, 1)) / 1e9 }

func share(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// segment is the payload of a packet with timestamps at an MTU of 1500, bytes.
const segment = 1448

// recordAround is the mean length, over all bytes received between two states, of the record that the byte is in: the sum of
// squares by the sum. It is more than the mean record where some are short. NaN if none was received.
func recordAround(from, to *tally) float64 {
	if n := to.Records - from.Records; n > 0 {
		return float64(to.Square-from.Square) / float64(n)
	}
	return math.NaN()
}

// amplification predicts (fetched + refetched) / fetched where a share p of the bytes sent are retransmissions, for records
// of r bytes in segments of s, if the adapter seals everything. A lost segment is sent again by itself, and the order of the
// stream is broken twice: before the retransmission and behind it. Each time the adapter reads the record again from its
// start to the place where it has to go on, which is somewhere in it: r/2 on average, less half a segment where segments
// begin at a record's start. Lost neighbours break the order once for both, and what a window of n segments loses is sent
// before new data is: there is one way back for all of it. What is read, once or again, is the plaintext of these bytes, of
// which the share is the same but for a thousandth.
//
//	1 + p * (1 - p(n-1)/n + (1 - (1-p)^n)/np) * (r - s)/2 / s, at most 1 + p * (r - s)/s
//
// It is ledger.Resync with bursts of a window that end anywhere. Where records differ in length, r is that of the record that
// a lost byte is in, which is a long one more often: see recordAround. The window at a share p of losses is what TCP that
// halves it has on average, sqrt(3/2p) segments (Mathis, Semke, Mahdavi, Ott: The Macroscopic Behavior of the TCP
// Congestion Avoidance Algorithm, 1997), which CUBIC is close to where round trips are short.
func amplification(p, r, s float64) float64 {
	if p == 0 {
		return 1
	}
	n := math.Sqrt(1.5 / p)
	breaks := 1 - p*(n-1)/n + (1-math.Pow(1-p, n))/(n*p)
	return 1 + p*breaks*max(r-s, 0)/2/s
}
