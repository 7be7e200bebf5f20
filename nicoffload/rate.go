package nicoffload

import (
	"ocaserve/pacing"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
)

// A spread is a frame in the adapter's own memory, sealed, cut and summed, whose packets leave at a rate
// (FreeBSD: TXRTLMT). Its descriptor has completed.
type spread struct {
	timer  pacing.Timer
	at     mono.Time // when the next packet is due
	rate   pacing.Rate
	head   int // bytes of headers in each packet
	mem    []byte
	frames []link.Frame
	next   int // of frames
}

// A lane is a flow with packets that are still to leave.
type lane struct {
	flow uint32
	free mono.Time // when all that was accepted of the flow is through
}

const (
	maxSpreads = 256 // frames that are being spread: 16 MiB of the adapter's memory
	lanes      = 4096
	laneProbes = 8
)

// A shaper holds the frames of a queue that are being spread.
type shaper struct {
	wheel   pacing.Wheel
	lanes   []lane    // by flow, with a few places to choose from; made when first needed
	idle    []*spread // not in use
	leaving []*spread // all of it is in the outbox
	made    int
	held    bool // a frame waits for a spread
	fire    func(*pacing.Timer)
}

// room reports whether one more frame can be spread.
func (s *shaper) room() bool { return len(s.idle) > 0 || s.made < maxSpreads }

// take returns a spread that is not in use; there must be room.
func (s *shaper) take() *spread {
	if len(s.idle) == 0 {
		s.made++
		p := &spread{}
		p.timer.User = p
		return p
	}
	p := s.idle[len(s.idle)-1]
	s.idle = s.idle[:len(s.idle)-1]
	return p
}

// lane finds the lane of a flow: its own, or one whose flow is through, or the one that will be soonest. In the
// last case a flow loses its place, and its next frame may leave while the one before is still being spread.
func (s *shaper) lane(flow uint32, now mono.Time) *lane {
	if s.lanes == nil {
		s.lanes = make([]lane, lanes)
	}
	best := &s.lanes[flow%lanes]
	for i := range uint32(laneProbes) {
		l := &s.lanes[(flow+i)%lanes]
		if l.flow == flow {
			return l
		}
		if l.free < best.free {
			best = l
		}
	}
	*best = lane{flow: flow, free: now}
	return best
}

// recycle takes back what the link has taken.
func (s *shaper) recycle() {
	for _, p := range s.leaving {
		clear(p.frames)
		p.frames, p.mem, p.next = p.frames[:0], p.mem[:0], 0
		s.idle = append(s.idle, p)
	}
	clear(s.leaving)
	s.leaving = s.leaving[:0]
}

// forget drops all packets.
func (s *shaper) forget() (packets int) {
	for s.wheel.Len() > 0 {
		s.wheel.Advance(max(s.wheel.Next(), 1<<62), func(t *pacing.Timer) {
			p := t.User.(*spread)
			packets += len(p.frames) - p.next
			s.leaving = append(s.leaving, p)
		})
	}
	s.recycle()
	clear(s.lanes)
	s.wheel, s.held = pacing.Wheel{}, false // time went to its end to get all timers
	return packets
}

// spreads reports whether frame d must be spread, or has to wait behind one of its flow that is.
func (n *nic) spreads(d *desc, now mono.Time) bool {
	return d.op == opFrame && d.flow != 0 && (d.rate > 0 || n.shape.lane(d.flow, now).free > now)
}

// hold moves what d became, outbox frames from first on, into a spread.
func (n *nic) hold(d *desc, first int, now mono.Time) {
	frames := n.out.frames[first:]
	if len(frames) == 0 {
		return
	}
	s := &n.shape
	p := s.take()
	p.rate, p.head = pacing.Rate(d.rate), len(d.data)
	for i := range frames {
		p.add(&frames[i])
	}
	n.out.cut(first)
	l := s.lane(d.flow, now)
	p.at = max(now, l.free)
	l.free = p.at.Add(p.rate.Duration(int64(d.payload)))
	n.count.spreadFrames.Add(1)
	s.wheel.Set(&p.timer, p.at)
}

// add copies a frame into the spread's memory. Memory that grows leaves frames before with what they had.
func (p *spread) add(f *link.Frame) {
	at := len(p.mem)
	p.mem = append(p.mem, f.Data...)
	for _, b := range f.Pieces {
		p.mem = append(p.mem, b...)
	}
	c := *f
	c.Data, c.Pieces = p.mem[at:len(p.mem):len(p.mem)], nil
	p.frames = append(p.frames, c)
}

// release puts the packets that are due into the outbox, and reports whether there were any.
func (n *nic) release(now mono.Time) bool {
	s := &n.shape
	if s.wheel.Len() == 0 || s.wheel.Next() > now {
		return false
	}
	if s.fire == nil {
		s.fire = func(t *pacing.Timer) { n.leave(t.User.(*spread)) }
	}
	before := len(n.out.frames)
	n.turnTime = now
	s.wheel.Advance(now, s.fire)
	return len(n.out.frames) > before
}

// leave emits what is due of p and sets its timer for the rest.
func (n *nic) leave(p *spread) {
	for p.next < len(p.frames) && p.at <= n.turnTime {
		f := p.frames[p.next]
		p.next++
		n.out.add(f)
		p.at = p.at.Add(p.rate.Duration(int64(len(f.Data) - p.head)))
	}
	if p.next < len(p.frames) {
		n.shape.wheel.Set(&p.timer, p.at)
		return
	}
	n.shape.leaving = append(n.shape.leaving, p)
}
