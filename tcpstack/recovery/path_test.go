package recovery

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// A path carries segments to a receiver and ACKs back, each with its own fate, on a virtual clock.
type path struct {
	rng                     *rand.Rand
	now                     mono.Time
	s                       Sender
	sack                    bool
	window, total           int64
	loss, reorder, dup      float64 // probabilities, both directions
	events                  []pathEvent
	got                     []stream.Range // what the receiver has, sorted
	latest                  stream.Range
	timeouts, sent, dropped int
	dsack, stamps           bool // the receiver sends D-SACKs, and timestamps
	recent                  mono.Time
	needless                []mono.Time // when bytes arrived that the receiver had
	probes, undone          int
	trust                   bool  // no recount: other runs have it
	reno                    *reno // nil: the window is fixed

	rate           int64     // bytes per second that data takes on the path; 0: no limit
	free           mono.Time // when the path can take more
	entered, again int       // reductions, and segments whose retransmission was lost too
	samples        int       // of the delivery rate,
	highest        float64   // and the highest of them
}

// reno is just enough congestion control for a needless reduction to cost something.
type reno struct {
	ssthresh, prior, limit int64
	prr                    bool // the window of a recovery is PRR's
	rate                   PRR
	window                 int64 // what it allows
}

func (r *reno) respond(p *path, o Outcome) {
	w := p.window
	switch {
	case o.Undo.By != ProofNone:
		w, r.ssthresh = max(w, r.prior), r.limit
	case p.s.State() < CWR && w < r.ssthresh:
		w += o.Delivered
	case p.s.State() < CWR:
		w += o.Delivered * mss / w
	case p.s.State() == Loss && w < r.ssthresh:
		w += o.Acked
	}
	if o.Entered {
		r.prior, r.ssthresh = w, max(w/2, 2*mss)
		w = r.ssthresh
		if o.Kind == TimerRTO {
			w = mss
		}
		p.entered++
	}
	p.again += int(o.LostAgain) / mss
	p.window = min(w, r.limit)
	r.reduce(p, &o)
}

// reduce is PRR, by the steps of its type.
func (r *reno) reduce(p *path, o *Outcome) {
	if o.Exited || p.s.State() != Recovery {
		r.rate = PRR{} // RFC 9937 section 6.2: "cwnd = ssthresh", which window is
	}
	if r.prr && o.Entered && p.s.State() == Recovery {
		r.rate.Enter(p.s.RecoverFS(o), 0, r.ssthresh)
	}
	r.window = 0
	if r.rate.Active() {
		r.window = r.rate.Ack(o.Delivered, p.s.Pipe(), mss, o.Acked > 0 && o.Lost == 0)
	}
}

// cwnd is how much may be in flight.
func (p *path) cwnd() int64 {
	if p.reno != nil && p.reno.rate.Active() {
		return p.reno.window
	}
	return p.window
}

type pathEvent struct {
	at   mono.Time
	data bool
	seg  stream.Range
	sent mono.Time
	ack  AckInfo
}

const pathDelay = 20 * ms

// carry puts an event on the path.
func (p *path) carry(e pathEvent) {
	p.sent++
	for {
		e.at = p.now.Add(pathDelay)
		if e.data && p.rate > 0 {
			p.free = max(p.free, p.now).Add(time.Duration(e.seg.Len() * int64(time.Second) / p.rate))
			e.at = p.free.Add(pathDelay)
		}
		if p.rng.Float64() < p.reorder {
			e.at = e.at.Add(time.Duration(p.rng.Int64N(int64(pathDelay))))
		}
		if p.rng.Float64() < p.loss {
			p.dropped++
		} else {
			i, _ := slices.BinarySearchFunc(p.events, e.at+1, func(a pathEvent, at mono.Time) int { return int(a.at - at) })
			p.events = slices.Insert(p.events, i, e)
		}
		if p.rng.Float64() >= p.dup {
			return
		}
	}
}

// output sends what recovery and the window allow, in bursts of up to 16 segments.
func (p *path) output() {
	for p.s.Pipe() < p.cwnd() || p.s.MustRetransmit() {
		room := min(max(p.cwnd()-p.s.Pipe(), mss), 16*mss)
		r, ok := p.s.Retransmit(room)
		if !ok {
			r = stream.Range{From: p.s.Next(), To: min(p.s.Next()+room, p.total)}
		}
		if r.From == r.To {
			if r, ok = p.s.Rescue(room); !ok {
				return
			}
		}
		p.s.Sent(p.now, r.From, r.To)
		if p.reno != nil {
			p.reno.rate.Sent(r.Len())
		}
		for at := r.From; at < r.To; at += mss {
			p.carry(pathEvent{data: true, sent: p.now, seg: stream.Range{From: at, To: min(at+mss, r.To)}})
		}
	}
}

func (p *path) respond(o Outcome) {
	if p.reno != nil {
		p.reno.respond(p, o)
	}
}

func (p *path) measure(r Rate) {
	if r.Interval > 0 {
		p.samples++
		p.highest = max(p.highest, float64(r.Delivered-r.PriorDelivered)/r.Interval.Seconds())
	}
}

// sendProbe sends what a loss probe should.
func (p *path) sendProbe() {
	if r, _ := p.s.Probe(p.total - p.s.Next()); r.To > 0 {
		p.probes++
		p.s.Sent(p.now, r.From, r.To)
		p.carry(pathEvent{data: true, sent: p.now, seg: r})
	}
}

// receive is a receiver that acknowledges every segment.
func (p *path) receive(seg stream.Range) {
	p.latest = seg
	twice := slices.ContainsFunc(p.got, func(r stream.Range) bool { return r.From <= seg.From && seg.To <= r.To })
	if twice {
		p.needless = append(p.needless, p.now)
	}
	i := 0
	for i < len(p.got) && p.got[i].To < seg.From {
		i++
	}
	j := i
	for j < len(p.got) && p.got[j].From <= seg.To {
		seg = stream.Range{From: min(seg.From, p.got[j].From), To: max(seg.To, p.got[j].To)}
		j++
	}
	p.got = slices.Replace(p.got, i, j, seg)
	a := AckInfo{}
	blocks := p.got
	if p.got[0].From == 0 {
		a.Ack, blocks = p.got[0].To, p.got[1:]
	}
	if twice && p.dsack {
		a.SACK = append(a.SACK, p.latest)
	}
	if p.stamps {
		a.Echo = p.recent
	}
	if p.sack {
		// RFC 2018 section 4: the block of the segment that triggered the ACK first, then others.
		for _, b := range blocks {
			if b.From <= p.latest.From && p.latest.To <= b.To {
				a.SACK = append(a.SACK, b)
			}
		}
		for k := len(blocks) - 1; k >= 0 && len(a.SACK) < 3; k-- {
			if !slices.Contains(a.SACK, blocks[k]) {
				a.SACK = append(a.SACK, blocks[k])
			}
		}
	}
	p.carry(pathEvent{ack: a})
}

// run transfers everything, or fails: no stall may be longer than the time-out explains.
func (p *path) run(t *testing.T) {
	progress := p.now
	for p.s.Una() < p.total {
		p.output()
		if !p.trust {
			if err := recount(&p.s); err != nil {
				t.Fatal(err)
			}
		}
		if len(p.events) > 0 && p.events[0].at <= p.s.Deadline() {
			e := p.events[0]
			p.events = p.events[1:]
			p.now = max(p.now, e.at)
			if e.data {
				if in := int64(0); p.stamps { // RFC 7323 section 4.3: what advances the left edge is echoed
					if len(p.got) > 0 && p.got[0].From == 0 {
						in = p.got[0].To
					}
					if e.seg.From <= in {
						p.recent = max(p.recent, e.sent)
					}
				}
				p.receive(e.seg)
				continue
			}
			e.ack.IsDup = e.ack.Ack == p.s.Una()
			o := p.s.Ack(p.now, e.ack)
			if o.Acked > 0 {
				progress = p.now
			}
			if o.Undo.By != ProofNone {
				p.undone++
			}
			p.measure(o.Rate)
			p.respond(o)
			continue
		}
		if p.s.Deadline() == mono.Never {
			t.Fatal("stuck: nothing on the path, no timer")
		}
		p.now = max(p.now, p.s.Deadline())
		o := p.s.Timeout(p.now)
		p.respond(o)
		switch o.Kind {
		case TimerRTO:
			p.timeouts++
		case TimerProbe:
			p.sendProbe()
		}
		if p.now.Sub(progress) > 3*time.Minute {
			t.Fatalf("no progress for %v at %d of %d", p.now.Sub(progress), p.s.Una(), p.total)
		}
	}
}

func newPath(seed uint64, sack bool, total int64) *path {
	p := &path{rng: rand.New(rand.NewPCG(seed, 1)), now: mono.Time(time.Hour), sack: sack, window: 64 * mss, total: total}
	p.s.Init(Config{MSS: mss, SACK: sack})
	return p
}

// Over any path everything arrives, with SACK and without.
func TestPathDelivers(t *testing.T) {
	for seed := range uint64(60) {
		p := newPath(seed, seed%2 == 0, 1_000_000+1) // the odd byte is the FIN
		p.loss = float64(seed%5) * 0.03
		p.reorder = float64(seed%3) * 0.05
		p.dup = float64(seed%7) * 0.02
		p.run(t)
		if f := p.s.Flight(); f != 0 || p.s.board.heap != nil || p.s.Deadline() != mono.Never {
			t.Fatalf("seed %d: not idle at the end", seed)
		}
	}
}

// Fast recovery does what it is for: scattered single losses cost no time-out, and nothing is sent needlessly.
// The tail is kept whole, since a lost last segment has nothing above it to be SACKed (TLP is for that).
func TestPathScatteredLoss(t *testing.T) {
	p := newPath(7, true, 2_000_000)
	p.loss = 0
	n := 0
	for p.s.Una() < p.total {
		p.output()
		e := p.events[0]
		p.events = p.events[1:]
		p.now = max(p.now, e.at)
		if !e.data {
			p.s.Ack(p.now, e.ack)
			continue
		}
		if n++; n%50 == 0 && n < 1900 {
			p.dropped++
			continue
		}
		p.receive(e.seg)
		if p.now > p.s.Deadline() {
			t.Fatal("a time-out became due")
		}
	}
	segments := n
	if needless := segments - int(p.total/mss) - p.dropped; needless != 0 {
		t.Errorf("%d segments for %d and %d lost: %d needless", segments, p.total/mss, p.dropped, needless)
	}
	// 2 MB in windows of 64 kB are 32 round trips of 40 ms; each loss holds the window's left edge for one
	// round trip, not the flow.
	if d := time.Duration(p.now) - time.Hour; d > 1500*ms {
		t.Errorf("took %v", d)
	}
}
