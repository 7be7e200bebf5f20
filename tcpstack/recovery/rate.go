package recovery

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// A Rate is a sample of the delivery rate (draft-ietf-ccwg-bbr section 4.1): what arrived over the flight of
// the newest segment that an ACK covers. Without [Config].Rate it is zero; of an ACK that reports nothing new
// only Delivered is set. Interval 0 with TxInFlight > 0 means that the time cannot be trusted; the rest holds.
type Rate struct {
	Delivered      int64         // C.delivered: bytes delivered since the estimation was switched on
	PriorDelivered int64         // C.delivered when that segment was sent
	Interval       time.Duration // what Delivered-PriorDelivered took; 0: no sample of the rate
	TxInFlight     int64         // in flight when that segment had been sent, with it; 0: nothing new
	Lost           int64         // bytes judged lost between its transmission and now
	AppLimited     bool          // the sender had nothing to send for a part of it: the rate is a lower bound
}

// A delivery is the state of the estimator, which only some congestion controls need. It measures as
// draft-cheng-iccrg-delivery-rate-estimation section 3 does, the text that draft-ietf-ccwg-bbr took over:
//
//  1. Each transmission remembers how much had been delivered by then, and when: a [stamp].
//  2. An ACK looks up the stamp of the newest bytes that it reports, by their time of transmission.
//  3. What has been delivered since then, over the longer of the time it took to send and the time it took
//     to acknowledge, is the rate. The longer: neither a burst of ours nor compressed ACKs look like speed.
//
// Stamps are numbered and lie in a ring, and an entry of the scoreboard holds a number. So parts of a burst
// share its stamp without a copy, and cutting or merging entries moves no stamp. Should the ring be too
// short, the oldest stamps are gone and give no sample; nothing else goes wrong.
type delivery struct {
	delivered     int64     // C.delivered
	lost          int64     // C.lost
	deliveredTime mono.Time // C.delivered_time: when delivered last grew
	firstSent     mono.Time // C.first_send_time: when the segment left that was acknowledged last
	appLimited    int64     // C.app_limited: the application is the limit until delivered is above; 0: it is not
	pool          *freeList[stamp]
	ring          []stamp // a power of two; number n lies at n modulo its length
	newest        uint32  // the last number given out
}

// A stamp is what one transmission remembers (section 3.1.2 of the draft): P.delivered and so on.
type stamp struct {
	delivered, lost          int64
	deliveredTime, firstSent mono.Time
	inFlight                 int64 // P.tx_in_flight, less the end offset: a part of a burst adds its own end
	appLimited               bool
}

const (
	minStamps = 16 // what an idle connection keeps
	maxStamps = 2 * maxBursts
)

// SetRate switches the estimation of the delivery rate on or off on a live connection. What is in flight
// then gives no sample.
func (s *Sender) SetRate(on bool) {
	was := s.delivery != nil
	if on == was {
		return
	}
	all := s.board.all()
	for i := range all {
		all[i].stamp = 0 // numbers of another ring
	}
	if was {
		s.delivery.pool.put(s.delivery.ring)
		s.delivery = nil
		return
	}
	s.delivery = new(delivery)
	s.delivery.pool = s.board.pool.rings()
}

// AppLimited notes that there is nothing to send although the window has room: the samples of what is in
// flight, and of what is sent until it has arrived, are lower bounds of the rate (section 3.4 of the draft,
// "C.app_limited = (C.delivered + C.pipe) ? : 1"). It is for output to call whenever it ran out of data.
func (s *Sender) AppLimited() {
	// "All the packets considered lost have been retransmitted."
	if d := s.delivery; d != nil && s.lostBytes <= s.rexmitBytes {
		d.appLimited = max(d.delivered+s.Pipe(), 1)
	}
}

// startFlight is the begin of section 3.2: with nothing in flight, time begins with this transmission, so
// that no sample contains the silence before.
func (s *Sender) startFlight(now mono.Time) {
	if d := s.delivery; d != nil && (s.Flight() == 0 || !d.deliveredTime.IsSet()) {
		d.firstSent, d.deliveredTime = now, now
	}
}

// newStamp makes the stamp of a transmission and returns its number; 0: none.
func (s *Sender) newStamp() uint32 {
	d := s.delivery
	if d == nil {
		return 0
	}
	if want := s.board.len() + 8; len(d.ring) < min(want, maxStamps) {
		d.grow(want)
	}
	d.newest++
	if d.newest == 0 { // wrapped around: 0 means none
		d.newest++
	}
	*d.at(d.newest) = stamp{
		delivered: d.delivered, lost: d.lost,
		deliveredTime: d.deliveredTime, firstSent: d.firstSent,
		appLimited: d.appLimited > 0,
	}
	return d.newest
}

// fillStamp completes it once the transmission, which ended at end, is part of Pipe.
func (s *Sender) fillStamp(id uint32, end int64) {
	if id != 0 {
		s.delivery.at(id).inFlight = s.Pipe() - end
	}
}

func (d *delivery) at(id uint32) *stamp { return &d.ring[int(id)&(len(d.ring)-1)] }

// has reports whether the ring still holds that number: a ring that has grown has slots that nobody filled.
func (d *delivery) has(id uint32) bool {
	return id != 0 && d.newest-id < uint32(len(d.ring)) && d.at(id).deliveredTime.IsSet()
}

// grow makes the ring hold so many stamps, or maxStamps.
func (d *delivery) grow(want int) {
	n := max(minStamps, len(d.ring))
	for n < want && n < maxStamps {
		n *= 2
	}
	old := *d
	d.ring = d.pool.get(n)[:n]
	clear(d.ring) // of what another connection left there
	for k := range old.ring {
		id := d.newest - uint32(k)
		*d.at(id) = *old.at(id)
	}
	d.pool.put(old.ring)
}

// shrink gives memory back when nothing is in flight.
func (d *delivery) shrink() {
	if len(d.ring) > minStamps {
		d.pool.put(d.ring)
		d.ring = nil
	}
}

// newest finds the newest of the transmissions that one ACK reports.
type newest struct {
	sent  mono.Time
	end   int64
	stamp uint32 // 0: none
}

// reported is a part of UpdateRateSample (section 3.3 of the draft): bytes of e, up to end, are acknowledged
// for the first time.
func (n *newest) reported(e *burst, end int64) {
	if e.stamp != 0 && (n.stamp == 0 || sentAfter(e.sent, end, n.sent, n.end)) {
		*n = newest{e.sent, end, e.stamp}
	}
}

// sampleRate is GenerateRateSample, after the ACK has been digested: what it led us to judge lost counts.
func (s *Sender) sampleRate(now mono.Time, n newest, o *Outcome) {
	d := s.delivery
	if d == nil {
		return
	}
	d.countLost(o.Lost)
	if d.delivered += o.Delivered; o.Delivered > 0 {
		d.deliveredTime = now
	}
	if d.appLimited > 0 && d.delivered > d.appLimited { // "Clear app-limited field if bubble is ACKed and gone."
		d.appLimited = 0
	}
	o.Rate.Delivered = d.delivered
	if d.has(n.stamp) {
		d.firstSent = n.sent
		o.Rate = d.rate(now, n)
		// "if (rs.interval < MinRTT(tp)) return false": what came back sooner than any ACK can was the
		// original of the retransmission that we took it for. The rate would be far too high.
		if o.Rate.Interval < s.rtt.MinRTT() {
			o.Rate.Interval = 0
		}
	}
	if s.Flight() == 0 {
		d.shrink()
	}
}

// rate is what the stamp of the newest transmission that an ACK reports says now.
func (d *delivery) rate(now mono.Time, n newest) Rate {
	p := d.at(n.stamp)
	return Rate{
		Delivered:      d.delivered,
		PriorDelivered: p.delivered,
		Interval:       max(n.sent.Sub(p.firstSent), now.Sub(p.deliveredTime)),
		TxInFlight:     max(p.inFlight+n.end, 1),
		Lost:           d.lost - p.lost,
		AppLimited:     p.appLimited,
	}
}

// countLost adds to C.lost.
func (d *delivery) countLost(n int64) {
	if d != nil {
		d.lost += n
	}
}
