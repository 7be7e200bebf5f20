package recovery

import (
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// Config is fixed when a connection is established. The zero value of each field has a default.
type Config struct {
	MSS        int           // payload bytes per full segment, options deducted; 0: 536 (RFC 9293 section 3.7.1)
	SACK       bool          // both sides sent SACK-permitted
	InitialRTO time.Duration // before the first RTT sample; 0: 1 s (RFC 6298 (2.1)); 3 s if the SYN was lost (5.7)
	MinRTO     time.Duration // what the RTO keeps above SRTT at least; 0: 200 ms

	Detector    Detector      // who judges segments lost; RACK needs SACK and gives way to the base without
	MaxAckDelay time.Duration // TLP.max_ack_delay: what a peer may delay a lone ACK by; 0: 200 ms
	Undo        bool          // find out needless retransmissions: Eifel (RFC 3522), D-SACK, F-RTO (RFC 5682)
	NCR         bool          // RFC 4653 in the base detector: waits longer before it calls a segment lost
	RTORestart  bool          // RFC 7765; needs AckInfo.Unsent
	Rate        bool          // measure the delivery rate: Outcome.Rate
	Pool        *Pool         // where the scoreboard's memory comes from; nil: the heap
}

// A Detector is a way to judge segments lost.
type Detector uint8

const (
	DetectorBase Detector = iota // RFC 6675 with SACK, RFC 6582 without
	DetectorRACK                 // RACK-TLP, RFC 8985
)

func (d Detector) String() string {
	if d == DetectorRACK {
		return "rack"
	}
	return "base"
}

const (
	defaultMSS        = 536
	defaultInitialRTO = time.Second
	defaultMinRTO     = 200 * time.Millisecond
	maxRTO            = 60 * time.Second // RFC 6298 (2.5): "at least 60 seconds"

	dupThresh = 3 // RFC 5681, RFC 6675 section 2

	defaultMaxAckDelay = 200_000 // microseconds: what stacks delay a lone ACK by at most in practice
	rtoRestartThresh   = 4       // rrthresh of RFC 7765 section 4
)

// A Sender is the recovery state of one connection's outgoing stream. It belongs to the connection and is
// not safe for concurrent use. Init makes it ready.
type Sender struct {
	una, next int64 // [una, next) is in flight
	board     scoreboard

	// Bytes of [una, next) by mark: Pipe without a scan.
	sackedBytes, lostBytes, rexmitBytes int64
	dupBytes                            int64 // without SACK: what the duplicate ACKs stand for
	dupEdge                             int64 // and, in Recovery, the end of what they can stand for

	recover  int64 // the recovery point: next at the last entry into CWR, Recovery or Loss
	fack     int64 // end of the highest SACKed byte (FACK's name for it); una if there is none
	lostEdge int64 // RFC 6675 IsLost holds for the unSACKed bytes below it
	cursor   int64 // below it nothing waits for retransmission
	rescued  int64 // RescueRxt of RFC 6675 section 4 rule 4; below una: a rescue is allowed

	rtt     RTT
	timer   mono.Time     // the retransmission timer; mono.Never: off
	rto     time.Duration // without back-off
	minRTO  time.Duration
	mss     int32
	maxAck  int32 // TLP.max_ack_delay in microseconds
	dupAcks uint16
	backoff uint8 // doublings of rto (RFC 6298 (5.5))
	state   State
	sack    bool
	owed    bool // see MustRetransmit
	restart bool // RFC 7765
	auxKind Timer
	aux     mono.Time // RACK's reordering timer or TLP's PTO, as auxKind says; mono.Never: off
	rack    rack
	probe   probe
	undo    undo
	ncr     ncr

	delivery *delivery // nil: delivery rates are not measured
}

// Init makes s ready for a stream of which nothing has been sent.
func (s *Sender) Init(c Config) {
	*s = Sender{timer: mono.Never, aux: mono.Never, recover: -1, rescued: -1, sack: c.SACK, restart: c.RTORestart}
	s.rack = rack{on: c.SACK && c.Detector == DetectorRACK, round: -1, mult: 1}
	s.undo = undo{on: c.Undo, from: -1}
	s.ncr.on = c.NCR && c.SACK
	s.maxAck = defaultMaxAckDelay
	if c.MaxAckDelay > 0 {
		s.maxAck = int32(min(c.MaxAckDelay, maxRTO) / time.Microsecond)
	}
	s.minRTO, s.rto = c.MinRTO, c.InitialRTO
	if s.minRTO <= 0 {
		s.minRTO = defaultMinRTO
	}
	if s.rto <= 0 {
		s.rto = defaultInitialRTO
	}
	s.SetMSS(c.MSS)
	s.board.pool = c.Pool
	s.SetRate(c.Rate)
}

// SetMSS changes the segment size, as a path MTU does. Entries keep their cuts: only thresholds change.
func (s *Sender) SetMSS(mss int) {
	if mss <= 0 {
		mss = defaultMSS
	}
	s.mss = int32(mss)
}

// Una is SND.UNA: the first byte that is not acknowledged.
func (s *Sender) Una() int64 { return s.una }

// Next is SND.NXT: the byte after the last that was ever sent.
func (s *Sender) Next() int64 { return s.next }

// Flight is FlightSize (RFC 5681 section 2): bytes sent and not cumulatively acknowledged. It is zero
// exactly when nothing is outstanding, unlike Pipe, which is also zero when all of it is lost.
func (s *Sender) Flight() int64 { return s.next - s.una }

// Pipe is RFC 6675's estimate of the bytes in the network: sent, minus what was SACKed or lost, plus what
// was retransmitted. It never exceeds Flight by more than the rescue retransmissions.
//
// Limited transmit (RFC 3042) needs nothing else: each of the first two duplicate ACKs lowers Pipe by what
// it reported, or by one segment without SACK, and so makes room for that much new data.
//
// With NCR, Skipped counts as if it were in flight (RFC 4653 section 3.3, equation (1)): "(pipe + Skipped) <=
// (FlightSizePrev - SMSS)".
func (s *Sender) Pipe() int64 {
	n := max(0, s.Flight()-s.sackedBytes-s.lostBytes-s.dupBytes) + s.rexmitBytes
	if s.extended() {
		n += int64(s.ncr.skipped)
	}
	return n
}

// State is where recovery stands.
func (s *Sender) State() State { return s.state }

// RecoveryPoint is the offset whose acknowledgment ends the current CWR, Recovery or Loss; of no meaning
// in other states.
func (s *Sender) RecoveryPoint() int64 { return s.recover }

// RTT is the estimator, for reading.
func (s *Sender) RTT() *RTT { return &s.rtt }

// Sent notes that [from, to) went out at now. What lies below Next is a retransmission, the rest is new
// data; from must not lie above Next.
func (s *Sender) Sent(now mono.Time, from, to int64) {
	if from > s.next {
		panic("recovery: Sent leaves a gap above Next")
	}
	s.startFlight(now)
	old := s.next
	if from < s.next {
		s.resent(now, max(from, s.una), min(to, s.next))
		from = s.next
	}
	if from < to {
		s.sentNew(now, to)
		s.skip(to - old)
	}
	// RFC 6298 (5.1): "if the timer is not running, start it running so that it will expire after RTO
	// seconds".
	if s.timer == mono.Never && s.Flight() > 0 {
		s.timer = now.Add(s.RTO())
	}
	if s.probe.due {
		s.probeSent(old)
	} else if s.next > old {
		s.armProbe(now)
	}
}

// sentNew adds [next, to) to the scoreboard: as an entry of its own, or, when there are too many, to the
// last one, which then keeps the older time and so overstates the RTT rather than the opposite.
func (s *Sender) sentNew(now mono.Time, to int64) {
	now = s.rack.stamp(now, false)
	all := s.board.all()
	if n := len(all); n >= maxBursts && all[n-1].mark == 0 && all[n-1].xmit == 1 {
		all[n-1].end = to
		s.next = to
		return
	}
	id := s.newStamp()
	s.board.push(burst{end: to, sent: now, xmit: 1, stamp: id})
	s.next = to
	s.fillStamp(id, to)
}

// EnterCWR notes that the congestion window is being reduced without loss (an ECN echo, RFC 3168 section
// 6.1.2: "once per window of data"). It reports false, and the caller leaves the window alone, if a
// reduction is still under way.
func (s *Sender) EnterCWR() bool {
	if !s.move(evReduced) {
		return false
	}
	// One byte more than what is in flight: only an ACK of what is sent from now on, with CWR, cannot be one of those
	// that repeat this very echo.
	s.recover = s.next + 1
	return true
}

// start is the first byte of entry i.
func (s *Sender) start(all []burst, i int) int64 {
	if i == 0 {
		return s.una
	}
	return all[i-1].end
}

// span returns entry i's bytes.
func (s *Sender) span(all []burst, i int) stream.Range {
	return stream.Range{From: s.start(all, i), To: all[i].end}
}
