package recovery

import (
	"math/rand/v2"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// A rackModel is RFC 8985 the way it is written: each byte is a segment, and each step visits all of them.
type rackModel struct {
	una, next, recover, mss int64
	b                       map[int64]*rackByte
	state                   State
	dupAcks                 int

	xmit          mono.Time
	end           int64
	rtt           time.Duration
	fack          int64
	seen          bool
	round         int64
	expired       int64
	mult, persist int

	reorder, pto           mono.Time // 0: off
	tlpEnd                 int64
	retrans, sampled, due  bool
	minRTT, srtt, reoFloor time.Duration
}

type rackByte struct {
	sacked, lost, rexmit bool
	sent                 mono.Time // 0: INFINITE_TS
	xmits                int
}

func (m *rackModel) after(t1 mono.Time, e1 int64, t2 mono.Time, e2 int64) bool {
	if t1 > t2 {
		return true
	}
	return t1 == t2 && e1 > e2
}

func (m *rackModel) count(f func(*rackByte) bool) (n int64) {
	for i := m.una; i < m.next; i++ {
		if f(m.b[i]) {
			n++
		}
	}
	return n
}

func (m *rackModel) sacked() int64 { return m.count(func(b *rackByte) bool { return b.sacked }) }
func (m *rackModel) lost() int64   { return m.count(func(b *rackByte) bool { return b.lost }) }

func (m *rackModel) pipe() int64 {
	return m.count(func(b *rackByte) bool { return !b.sacked && !b.lost }) + m.count(func(b *rackByte) bool { return b.rexmit })
}

// Section 6.1.
func (m *rackModel) send(now mono.Time, from, to int64) {
	old := m.next
	for i := from; i < to; i++ {
		switch b := m.b[i]; {
		case b == nil:
			m.b[i] = &rackByte{sent: now, xmits: 1}
		case !b.sacked && i >= m.una:
			b.rexmit, b.sent = true, now
			b.xmits++
		}
	}
	m.next = max(m.next, to)
	if m.due {
		m.due, m.sampled, m.retrans, m.tlpEnd = false, false, m.next == old, m.next
	}
}

func (m *rackModel) reoWnd() time.Duration {
	if !m.seen {
		if m.state == Recovery || m.state == Loss {
			return 0
		}
		if n := m.sacked(); n > 2*m.mss || n > 0 && m.dupAcks >= 3 {
			return 0
		}
	}
	return min(max(time.Duration(m.mult)*m.minRTT/4, m.reoFloor), m.srtt)
}

// Section 6.2 step 5.
func (m *rackModel) detect(now mono.Time) (lost, again int64) {
	if m.xmit == 0 {
		return
	}
	m.reorder = 0
	reo := m.reoWnd()
	for i := m.una; i < m.next; i++ {
		b := m.b[i]
		if b.sacked || b.sent == 0 || !m.after(m.xmit, m.end, b.sent, i+1) {
			continue
		}
		if at := b.sent.Add(m.rtt + reo); at <= now {
			lost++
			if b.lost {
				again++
			}
			*b = rackByte{lost: true, xmits: b.xmits}
		} else {
			m.reorder = max(m.reorder, at)
		}
	}
	if m.reorder > 0 {
		m.pto = 0
	}
	return lost, again
}

func (m *rackModel) settle() {
	if m.state < Recovery && m.lost() > 0 {
		m.state, m.recover = Recovery, m.next
		m.tlpEnd, m.retrans, m.due, m.pto = 0, false, false, 0
	} else if m.state == Open && (m.dupAcks > 0 || m.sacked() > 0) {
		m.state = Disorder
	} else if m.state == Disorder && m.dupAcks == 0 && m.sacked() == 0 {
		m.state = Open
	}
}

// newly visits the bytes that an ACK covers first, in ascending order.
func (m *rackModel) newly(ack int64, blocks []stream.Range, dsack bool) (fresh []int64, news bool) {
	old := m.una
	for i := m.una; i < ack; i++ {
		if !m.b[i].sacked {
			fresh = append(fresh, i)
		}
	}
	m.una = max(m.una, ack)
	hit := map[int64]bool{}
	for i, r := range blocks {
		if r.From >= r.To || r.To > m.next || r.From <= m.una || i == 0 && dsack {
			continue
		}
		for j := r.From; j < r.To; j++ {
			hit[j] = !m.b[j].sacked
		}
	}
	for i := m.una; i < m.next; i++ {
		if hit[i] {
			fresh, news = append(fresh, i), true
			m.b[i].sacked = true
		}
	}
	if m.una > old {
		m.dupAcks = 0
	}
	if news {
		m.dupAcks++
	}
	return fresh, news
}

// ack takes the RTT figures from the sender, which other tests check.
func (m *rackModel) ack(now mono.Time, s *Sender, a AckInfo, o *Outcome, minBefore time.Duration) (lost, again int64) {
	if a.Ack > m.next {
		return
	}
	old, fack := m.una, m.fack
	dsack := len(a.SACK) > 0 && a.SACK[0].From >= 0 && a.SACK[0].From < a.SACK[0].To && a.SACK[0].To <= m.next && (a.SACK[0].To <= a.Ack ||
		len(a.SACK) > 1 && a.SACK[1].From <= a.SACK[0].From && a.SACK[0].To <= a.SACK[1].To && a.SACK[1].To <= m.next)
	inner := len(a.SACK) > 1 && a.SACK[1].From <= a.SACK[0].From && a.SACK[0].To <= a.SACK[1].To
	fresh, news := m.newly(a.Ack, a.SACK, inner)
	m.minRTT, m.srtt = s.rtt.MinRTT(), s.rtt.SRTT() // step 1
	m.sampled = m.sampled || o.RTT > 0
	var best mono.Time
	var bestEnd int64
	for _, i := range fresh { // steps 2 and 3
		b := m.b[i]
		if b.xmits == 1 {
			m.seen = m.seen || i+1 < fack
		}
		m.fack = max(m.fack, i+1)
		sent := b.sent
		if b.sent == 0 {
			sent = s0[i]
		}
		if b.xmits > 1 && (i < m.una && a.Echo.IsSet() && a.Echo < sent || now.Sub(sent) < minBefore) {
			continue
		}
		if m.after(sent, i+1, best, bestEnd) {
			best, bestEnd = sent, i+1
		}
	}
	for _, i := range fresh {
		if i >= m.una {
			*m.b[i] = rackByte{sacked: true, xmits: m.b[i].xmits}
		}
	}
	m.fack = max(m.fack, m.una)
	m.merge()
	was := m.state
	if m.state >= CWR && m.una >= m.recover {
		m.state = Open
	}
	// Step 4.
	if m.round >= 0 && m.una >= m.round {
		m.round = -1
	}
	if m.round < 0 && dsack && !(m.tlpEnd > 0 && m.retrans && a.SACK[0].To == m.tlpEnd) {
		m.round, m.persist = m.next, 16
		m.mult++
		m.seen = m.seen || m.mult > 5 && a.SACK[0].From >= m.expired
	} else if was >= Recovery && m.state < Recovery && m.persist > 0 {
		if m.persist--; m.persist == 0 {
			m.mult = 1
		}
	}
	if best > 0 {
		m.rtt = now.Sub(best)
		if m.after(best, bestEnd, m.xmit, m.end) {
			m.xmit, m.end = best, bestEnd
		}
	}
	lost, again = m.detect(now)
	m.settle()
	m.tlpAck(now, s, a, dsack, old < m.una, news)
	return lost, again
}

// merge gives a SACKed run the latest time of its bytes, as the scoreboard does; it matters only when the
// receiver reneges on them.
func (m *rackModel) merge() {
	join := func(i, j int64) {
		if m.b[i].sacked && m.b[j].sacked {
			s0[i], m.b[i].xmits = max(s0[i], s0[j]), max(m.b[i].xmits, m.b[j].xmits)
		}
	}
	for i := m.una + 1; i < m.next; i++ {
		join(i, i-1)
	}
	for i := m.next - 2; i >= m.una; i-- {
		join(i, i+1)
	}
}

// tlpAck is section 7.4.2, then 7.2.
func (m *rackModel) tlpAck(now mono.Time, s *Sender, a AckInfo, dsack, advanced, news bool) {
	if m.tlpEnd > 0 && a.Ack >= m.tlpEnd {
		switch {
		case !m.retrans, dsack && a.SACK[0].To == m.tlpEnd, a.Ack > m.tlpEnd, a.IsDup && len(a.SACK) == 0 && !advanced:
			m.tlpEnd = 0
		}
	}
	if advanced {
		m.due = false
		m.arm(now, s)
	} else if m.sacked() > 0 {
		m.pto = 0
	}
}

func (m *rackModel) arm(now mono.Time, s *Sender) {
	if m.reorder > 0 {
		return
	}
	m.pto = 0
	if m.state >= Recovery || m.sacked() > 0 || m.una == m.next {
		return
	}
	d := 2 * m.srtt
	if m.next-m.una <= m.mss {
		d += 200 * ms
	}
	if m.srtt == 0 {
		d = time.Second
	}
	m.pto = min(now.Add(d), s.timer)
}

// s0 remembers the last transmission of bytes that the model has at INFINITE_TS: when such a byte arrives
// after all, RACK_update has its transmission time.
var s0 map[int64]mono.Time

// Section 6.3.
func (m *rackModel) timeout(now mono.Time, backoff uint8) (lost, again int64) {
	renege := m.sacked() > 0 && (m.b[m.una].sacked || backoff > 0)
	reo := m.reoWnd()
	first, head := m.b[m.una], m.una
	for head < m.next && head < m.una+m.mss && m.b[head].sent == first.sent && m.b[head].sacked == first.sacked {
		head++
	}
	for i := m.una; i < m.next; i++ {
		b := m.b[i]
		if renege && b.sacked {
			*b = rackByte{xmits: max(b.xmits, 2)}
			lost++
			b.lost = true
			continue
		}
		if renege {
			if !b.lost {
				lost++
			}
			*b = rackByte{lost: true, xmits: b.xmits}
			continue
		}
		if b.sacked || b.sent == 0 || i >= head && b.sent.Add(m.rtt+reo) > now {
			continue
		}
		lost++
		if b.lost {
			again++
		}
		*b = rackByte{lost: true, xmits: b.xmits}
	}
	if renege {
		m.fack = m.una
	}
	m.state, m.recover, m.expired, m.dupAcks = Loss, m.next, m.next, 0
	m.tlpEnd, m.retrans, m.due, m.pto, m.reorder = 0, false, false, 0, 0
	return lost, again
}

// FuzzRACK holds the Sender with RACK-TLP against the model.
func FuzzRACK(f *testing.F) {
	f.Add([]byte{0, 40, 0, 40, 2, 1, 10, 20, 2, 0, 30, 60, 3, 50, 3, 50, 1, 100})
	f.Add([]byte{0, 90, 8, 20, 2, 0, 10, 10, 2, 0, 30, 10, 2, 0, 50, 10, 3, 5, 4, 3, 90, 0, 60, 1, 9, 4, 4})
	f.Add([]byte{0, 9, 8, 9, 1, 9, 0, 9, 0, 9, 6, 0, 7, 0, 2, 0, 10, 1, 2, 0, 12, 1, 5, 5, 1, 99, 6, 70, 0, 3})
	f.Fuzz(againstRACK)
}

func againstRACK(t *testing.T, ops []byte) {
	const mss = 10
	var s Sender
	s.Init(Config{MSS: mss, SACK: true, Detector: DetectorRACK})
	m := &rackModel{mss: mss, b: map[int64]*rackByte{}, recover: -1, round: -1, mult: 1, reoFloor: granularity}
	s0 = map[int64]mono.Time{}
	now := mono.Time(time.Hour)
	arg := func() int64 {
		if len(ops) == 0 {
			return 0
		}
		v := int64(ops[0])
		ops = ops[1:]
		return v
	}
	send := func(from, to int64) {
		probe, old := m.due, m.next
		for i := from; i < to; i++ {
			if b := m.b[i]; b == nil || !b.sacked {
				s0[i] = now
			}
		}
		m.send(now, from, to)
		s.Sent(now, from, to)
		if !probe && m.next > old {
			m.arm(now, &s)
		}
	}
	ack := func(a AckInfo) {
		before := s.rtt.MinRTT()
		before -= before / minSlack
		o := s.Ack(now, a)
		una := m.una
		lost, again := m.ack(now, &s, a, &o, before)
		if o.Lost != lost || o.LostAgain != again || o.Acked != m.una-una {
			t.Fatalf("ack %v: lost %d again %d acked %d; the model %d, %d, %d", a, o.Lost, o.LostAgain, o.Acked, lost, again, m.una-una)
		}
	}
	for n := 0; len(ops) > 0 && n < 80; n++ {
		now = now.Add(time.Millisecond)
		switch arg() % 9 {
		case 0: // new data
			if to := s.Next() + arg()%128 + 1; to-s.Una() < 1000 {
				send(s.Next(), to)
			}
		case 1: // a cumulative ACK, sometimes too high or too low
			a := AckInfo{Ack: s.Una() + arg() - 5}
			a.IsDup = a.Ack == s.Una()
			if v := arg(); v%4 == 0 {
				a.Echo = now.Add(-time.Duration(v) * time.Millisecond)
			}
			ack(a)
		case 2: // SACK
			a := AckInfo{Ack: s.Una(), Echo: now.Add(-10 * time.Millisecond)}
			for range arg()%3 + 1 {
				from := s.Una() + arg()*4 - 4
				a.SACK = append(a.SACK, stream.Range{From: from, To: from + arg()%64})
			}
			ack(a)
		case 3, 4: // retransmit
			if r, ok := s.Retransmit(arg() + 1); ok {
				for i := r.From; i < r.To; i++ {
					if b := m.b[i]; b.sacked || !b.lost || b.rexmit {
						t.Fatalf("Retransmit = %v, and byte %d is %+v", r, i, *b)
					}
				}
				send(r.From, r.To)
			}
		case 5: // a D-SACK with an ACK
			a := AckInfo{Ack: s.Una() + arg()%16}
			from := max(0, a.Ack-arg()%32)
			a.SACK = []stream.Range{{From: from, To: min(from+mss, a.Ack)}}
			ack(a)
		case 6, 7: // silence until a timer
			if s.Flight() == 0 {
				continue
			}
			kind, at := s.auxKind, s.Deadline()
			now = max(now, at).Add(time.Duration(arg()%2) * time.Millisecond)
			var lost, again int64
			rto := s.aux > s.timer
			if rto {
				lost, again = m.timeout(now, s.backoff)
			} else if kind == TimerReorder {
				lost, again = m.detect(m.reorder)
				m.settle()
			} else {
				m.pto, m.due = 0, m.tlpEnd == 0 && m.sampled
			}
			o := s.Timeout(now)
			if o.Lost != lost || o.LostAgain != again || (o.Kind == TimerRTO) != rto {
				t.Fatalf("%v: lost %d again %d, the model %d %d", o.Kind, o.Lost, o.LostAgain, lost, again)
			}
			r, isNew := s.Probe(arg() % 32)
			if (r.To > 0) != m.due {
				t.Fatalf("probe %v, the model says %v", r, m.due)
			}
			if r.To > 0 {
				if r.Len() > mss || isNew != (r.From == m.next) || !isNew && r.To != m.next {
					t.Fatalf("probe %v %v", r, isNew)
				}
				send(r.From, r.To)
			}
		case 8: // time passes
			now = now.Add(time.Duration(arg()) * time.Millisecond)
		}
		if s.board.len()+2 > s.maxEntries() {
			return
		}
		m.compare(t, &s)
	}
}

// compare holds everything that is to be seen of s against the model.
func (m *rackModel) compare(t *testing.T, s *Sender) {
	t.Helper()
	if err := recount(s); err != nil {
		t.Fatal(err)
	}
	if s.Una() != m.una || s.Next() != m.next || s.Pipe() != m.pipe() || s.State() != m.state {
		t.Fatalf("una %d next %d pipe %d %v; the model: %d %d %d %v",
			s.Una(), s.Next(), s.Pipe(), s.State(), m.una, m.next, m.pipe(), m.state)
	}
	if r := s.rack; r.seen != m.seen || int(r.mult) != m.mult || r.xmit != m.xmit || r.end != m.end || r.rtt != m.rtt {
		t.Fatalf("RACK %+v; the model: %v %v %v %v %v", r, m.seen, m.mult, m.xmit, m.end, m.rtt)
	}
	var reorder, pto mono.Time
	switch s.auxKind {
	case TimerReorder:
		reorder = s.aux
	case TimerProbe:
		pto = s.aux
	}
	if reorder != m.reorder || pto != m.pto {
		t.Fatalf("reorder timer %v, PTO %v; the model %v, %v", reorder, pto, m.reorder, m.pto)
	}
}

func TestRandomRACK(t *testing.T) {
	rng := rand.New(rand.NewPCG(8985, 9937))
	for range 250 {
		ops := make([]byte, rng.IntN(250))
		for i := range ops {
			ops[i] = byte(rng.Uint32() >> (rng.Uint32() % 6) & 0xff)
		}
		againstRACK(t, ops)
	}
}
