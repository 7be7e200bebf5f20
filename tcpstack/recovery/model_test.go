package recovery

import (
	"math/rand/v2"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// A model is RFC 6675 the way it is written: one flag per byte, IsLost and SetPipe by scanning.
type model struct {
	una, next, recover, mss int64
	b                       map[int64]*modelByte
	state                   State
	dupAcks                 int
}

type modelByte struct {
	sacked, lost, rexmit bool
	sent                 mono.Time
}

func (m *model) isLost(seq int64) bool {
	var bytes int64
	blocks, inside := 0, false
	for i := seq + 1; i < m.next; i++ {
		if m.b[i].sacked {
			bytes++
			if !inside {
				blocks++
			}
		}
		inside = m.b[i].sacked
	}
	return blocks >= 3 || bytes > 2*m.mss
}

func (m *model) pipe() (n int64) {
	for i := m.una; i < m.next; i++ {
		b := m.b[i]
		if b.sacked {
			continue
		}
		if !b.lost {
			n++
		}
		if b.rexmit {
			n++
		}
	}
	return n
}

func (m *model) send(now mono.Time, from, to int64) {
	for i := from; i < to; i++ {
		switch b := m.b[i]; {
		case b == nil:
			m.b[i] = &modelByte{sent: now}
		case !b.sacked && i >= m.una:
			b.rexmit, b.sent = true, now
		}
	}
	m.next = max(m.next, to)
}

func (m *model) ack(ack int64, blocks []stream.Range) (lost int64) {
	if ack > m.next {
		return 0
	}
	if ack > m.una {
		m.una, m.dupAcks = ack, 0
	}
	news := false
	for i, r := range blocks {
		dsack := i == 0 && len(blocks) > 1 && blocks[1].From <= r.From && r.To <= blocks[1].To
		if r.From >= r.To || r.To > m.next || r.From <= m.una || dsack {
			continue
		}
		for j := r.From; j < r.To; j++ {
			news = news || !m.b[j].sacked
			*m.b[j] = modelByte{sacked: true, sent: m.b[j].sent}
		}
	}
	if news {
		m.dupAcks++
	}
	exited := m.state >= CWR && m.una >= m.recover
	if exited {
		m.state = Open
	}
	if m.state == Loss {
		return 0
	}
	if news || exited {
		lost += m.judge(func(i int64) bool { return m.isLost(i) })
	}
	if m.state != Recovery && m.dupAcks >= 3 && m.count((*modelByte).isSacked) > 0 && m.count((*modelByte).isLost) == 0 {
		first := *m.b[m.una]
		end := m.una
		for end < m.next && end < m.una+m.mss && *m.b[end] == first {
			end++
		}
		lost += m.judge(func(i int64) bool { return i < end })
	}
	switch {
	case m.state != Recovery && m.count((*modelByte).isLost) > 0:
		m.state, m.recover = Recovery, m.next
	case m.state == Open && (m.dupAcks > 0 || m.count((*modelByte).isSacked) > 0):
		m.state = Disorder
	case m.state == Disorder && m.dupAcks == 0 && m.count((*modelByte).isSacked) == 0:
		m.state = Open
	}
	return lost
}

func (b *modelByte) isSacked() bool { return b.sacked }
func (b *modelByte) isLost() bool   { return b.lost }

func (m *model) count(f func(*modelByte) bool) (n int) {
	for i := m.una; i < m.next; i++ {
		if f(m.b[i]) {
			n++
		}
	}
	return n
}

func (m *model) judge(f func(int64) bool) (n int64) {
	for i := m.una; i < m.next; i++ {
		if b := m.b[i]; !b.sacked && !b.lost && f(i) {
			b.lost = true
			n++
		}
	}
	return n
}

func (m *model) timeout(backoff uint8) (lost int64) {
	renege := m.b[m.una].sacked || backoff > 0
	for i := m.una; i < m.next; i++ {
		b := m.b[i]
		if renege {
			b.sacked = false
		}
		b.rexmit = false
	}
	m.state, m.recover, m.dupAcks = Loss, m.next, 0
	return m.judge(func(int64) bool { return true })
}

// retransmit is the first run of bytes that are lost and not under way.
func (m *model) retransmit(limit int64) (r stream.Range) {
	r.From = m.una
	for r.From < m.next && !(m.b[r.From].lost && !m.b[r.From].rexmit) {
		r.From++
	}
	for r.To = r.From; r.To < m.next && r.To-r.From < limit && m.b[r.To].lost && !m.b[r.To].rexmit; r.To++ {
	}
	if r.From == r.To {
		return stream.Range{}
	}
	return r
}

// FuzzSender holds the Sender with SACK against the model, under any sequence of what a connection does and
// a peer may send.
func FuzzSender(f *testing.F) {
	f.Add([]byte{0, 40, 0, 40, 2, 1, 10, 20, 2, 0, 30, 60, 3, 50, 3, 50, 1, 100})
	f.Add([]byte{0, 90, 2, 0, 10, 10, 2, 0, 30, 10, 2, 0, 50, 10, 3, 5, 4, 3, 90, 0, 60, 1, 9, 4, 4})
	f.Add([]byte{0, 9, 0, 9, 0, 9, 0, 9, 2, 0, 1, 9, 2, 0, 10, 1, 2, 0, 12, 1, 5, 5, 1, 99, 6, 70, 0, 3})
	f.Fuzz(againstModel)
}

func againstModel(t *testing.T, ops []byte) {
	const mss = 10
	var s Sender
	s.Init(Config{MSS: mss, SACK: true})
	m := &model{mss: mss, b: map[int64]*modelByte{}, recover: -1}
	now := mono.Time(time.Hour)
	arg := func() int64 {
		if len(ops) == 0 {
			return 0
		}
		v := int64(ops[0])
		ops = ops[1:]
		return v
	}
	ack := func(a AckInfo) {
		o := s.Ack(now, a)
		una := m.una
		if lost := m.ack(a.Ack, a.SACK); o.Lost != lost || o.Acked != m.una-una {
			t.Fatalf("ack %v: lost %d, acked %d; the model %d, %d", a, o.Lost, o.Acked, lost, m.una-una)
		}
	}
	for n := 0; len(ops) > 0 && n < 60; n++ {
		now = now.Add(time.Millisecond)
		switch arg() % 7 {
		case 0: // new data
			if to := s.Next() + arg()%128 + 1; to-s.Una() < 1000 {
				m.send(now, s.Next(), to)
				s.Sent(now, s.Next(), to)
			}
		case 1: // a cumulative ACK, sometimes too high or too low
			ack(AckInfo{Ack: s.Una() + arg() - 5})
		case 2: // SACK
			a := AckInfo{Ack: s.Una()}
			for range arg()%3 + 1 {
				from := s.Una() + arg()*4 - 4
				a.SACK = append(a.SACK, stream.Range{From: from, To: from + arg()%64})
			}
			ack(a)
		case 3, 4: // retransmit
			limit := arg() + 1
			r, ok := s.Retransmit(limit)
			if want := m.retransmit(limit); r != want || ok != (want.From < want.To) {
				t.Fatalf("Retransmit(%d) = %v, %v; the model %v", limit, r, ok, want)
			}
			if ok {
				m.send(now, r.From, r.To)
				s.Sent(now, r.From, r.To)
			}
		case 5: // rescue
			if r, ok := s.Rescue(arg() + 1); ok {
				if r.From < m.una || r.To > m.next || r.From >= r.To || m.b[r.From].sacked || m.b[r.From].rexmit {
					t.Fatalf("Rescue = %v", r)
				}
				m.send(now, r.From, r.To)
				s.Sent(now, r.From, r.To)
			}
		case 6: // silence
			if s.Flight() > 0 {
				now = max(now, s.Deadline())
				want := m.timeout(s.backoff)
				if o := s.Timeout(now); o.Lost != want {
					t.Fatalf("time-out: lost %d, the model %d", o.Lost, want)
				}
			}
		}
		if s.board.len()+2 > s.maxEntries() {
			return // the cap makes SACKs coarser than the model's; TestHostileSACK has that
		}
		if err := recount(&s); err != nil {
			t.Fatal(err)
		}
		if s.Una() != m.una || s.Next() != m.next || s.Pipe() != m.pipe() || s.State() != m.state {
			t.Fatalf("una %d next %d pipe %d %v; the model: %d %d %d %v",
				s.Una(), s.Next(), s.Pipe(), s.State(), m.una, m.next, m.pipe(), m.state)
		}
	}
}

// FuzzSenderNewReno has no model: it checks that nothing a peer sends breaks the sums, and that what was
// lost is always got through in the end.
func FuzzSenderNewReno(f *testing.F) {
	f.Add([]byte{0, 40, 0, 40, 1, 1, 1, 2, 3, 50, 0, 7, 4, 3, 3})
	f.Fuzz(newRenoSurvives)
}

func newRenoSurvives(t *testing.T, ops []byte) {
	var s Sender
	s.Init(Config{MSS: 10})
	now := mono.Time(time.Hour)
	for i, op := range ops {
		now = now.Add(time.Millisecond)
		v := int64(op / 5)
		switch op % 5 {
		case 0:
			s.Sent(now, s.Next(), s.Next()+v+1)
		case 1:
			s.Ack(now, AckInfo{Ack: s.Una(), IsDup: true})
		case 2:
			s.Ack(now, AckInfo{Ack: s.Una() + v})
		case 3:
			if r, ok := s.Retransmit(v + 1); ok {
				s.Sent(now, r.From, r.To)
			}
		case 4:
			now = max(now, min(s.Deadline(), now.Add(2*time.Minute)))
			s.Timeout(now)
		}
		if err := recount(&s); err != nil {
			t.Fatalf("op %d (%d): %v", i, op, err)
		}
	}
	for range 100 + s.Flight() {
		if s.Flight() == 0 {
			return
		}
		now = s.Deadline()
		s.Timeout(now)
		r, ok := s.Retransmit(100)
		if !ok {
			t.Fatalf("a time-out with %d in flight and nothing to retransmit", s.Flight())
		}
		s.Sent(now, r.From, r.To)
		s.Ack(now, AckInfo{Ack: r.To})
	}
	t.Fatal("not through")
}

// The fuzz targets' checks on random sequences, so that an ordinary test run has some of them.
func TestRandomSequences(t *testing.T) {
	rng := rand.New(rand.NewPCG(6675, 6582))
	for range 600 {
		ops := make([]byte, rng.IntN(200))
		for i := range ops {
			// Small numbers choose operations evenly and make overlaps likely.
			ops[i] = byte(rng.Uint32() >> (rng.Uint32() % 6) & 0xff)
		}
		againstModel(t, ops)
		newRenoSurvives(t, ops)
		dequeAgainstSlice(t, ops)
	}
}
