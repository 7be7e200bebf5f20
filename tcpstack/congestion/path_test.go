package congestion

import (
	"math/rand/v2"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
)

// A testPath is a bottleneck in virtual time: a FIFO that drains at a rate, and a wire behind it. Packets
// meet it at once when sent; their ACKs come back after the queue and a round trip.
type testPath struct {
	rate   int64 // bytes/s
	rtt    time.Duration
	queue  int64         // bytes it holds; more is dropped
	loss   float64       // share lost behind it at random
	jitter time.Duration // ACKs are late by up to so much, in order
	mark   int64         // CE at more than so many bytes queued; 0: never
	every  int           // packets per ACK; 0: one

	t      *testing.T
	random *rand.Rand
	now    mono.Time
	free   mono.Time // when the queue will have drained
	events testEvents
	flows  []*testFlow

	peak        int64 // the longest queue, bytes
	queueSum    float64
	arrived     int64
	drops, lost int64 // packets
}

const testMSS = 1448

// A testFlow is a sender with SACK and RACK-like loss detection: what was sent three transmissions before
// something that was acknowledged is lost.
type testFlow struct {
	*testPath
	c          Controller
	txs        []testTx
	head       int   // txs before are done with
	pipe       int64 // bytes
	una, next  int64 // packets
	acked      []bool
	resend     []int64
	recover    int64 // SND.NXT when recovery began
	inRecovery bool
	srtt       time.Duration
	pace       mono.Time // next departure
	wake       mono.Time
	progress   mono.Time
	ackAt      mono.Time
	batch      []int
	app        int64 // bytes/s that the application has to send; 0: no limit
	start      mono.Time
	finish     int64 // packets to send; 0: no end

	delivered, lostBytes   int64
	deliveredAt, firstSent mono.Time
	appLimited             int64
	sent                   int64 // packets
	onAck                  func(e Ack)
}

type testTx struct {
	seq                    int64
	sent                   mono.Time
	delivered, lost        int64
	deliveredAt, firstSent mono.Time
	inFlight               int64
	app, done, ce          bool
}

type testEvent struct {
	at   mono.Time
	n    int64 // order of events at one time
	flow *testFlow
	txs  []int // acknowledged; nil: wake up
}

// testEvents is a binary heap. (container/heap boxes each event, and there are millions.)
type testEvents []testEvent

func (h testEvents) less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].n < h[j].n
}

func (h *testEvents) push(e testEvent) {
	*h = append(*h, e)
	for i := len(*h) - 1; i > 0 && h.less(i, (i-1)/2); i = (i - 1) / 2 {
		(*h)[i], (*h)[(i-1)/2] = (*h)[(i-1)/2], (*h)[i]
	}
}

func (h *testEvents) pop() testEvent {
	s := *h
	top, n := s[0], len(s)-1
	s[0] = s[n]
	*h = s[:n]
	for i := 0; 2*i+1 < n; {
		c := 2*i + 1
		if c+1 < n && s.less(c+1, c) {
			c++
		}
		if !s.less(c, i) {
			break
		}
		s[i], s[c] = s[c], s[i]
		i = c
	}
	return top
}

// mbps100 is 100 Mb/s over 40 ms: a BDP of 500 kB.
func mbps100(t *testing.T, bdps float64) *testPath {
	p := &testPath{t: t, rate: 12_500_000, rtt: 40 * time.Millisecond, random: rand.New(rand.NewPCG(1, 2))}
	p.now = mono.Time(time.Hour)
	p.queue = int64(bdps * float64(p.bdp()))
	return p
}

func (p *testPath) bdp() int64 { return int64(float64(p.rate) * p.rtt.Seconds()) }

func (p *testPath) add(name string, after time.Duration) *testFlow {
	c, err := New(name, testMSS)
	if err != nil {
		p.t.Fatal(err)
	}
	f := &testFlow{testPath: p, c: c, start: p.now.Add(after)}
	f.progress = f.start
	p.flows = append(p.flows, f)
	p.push(f.start, f, nil)
	return f
}

func (p *testPath) push(at mono.Time, f *testFlow, txs []int) {
	p.arrived++
	p.events.push(testEvent{at, p.arrived, f, txs})
}

// run lets d pass.
func (p *testPath) run(d time.Duration) {
	end := p.now.Add(d)
	for len(p.events) > 0 && p.events[0].at <= end {
		ev := p.events.pop()
		p.now = ev.at
		if ev.txs != nil {
			ev.flow.ack(ev.txs)
		}
		ev.flow.expire()
		ev.flow.send()
	}
	p.now = end
}

// queued is what waits in the bottleneck now, bytes.
func (p *testPath) queued() int64 {
	return int64(max(p.free.Sub(p.now), 0).Seconds() * float64(p.rate))
}

func (f *testFlow) available() int64 {
	if f.finish > 0 {
		return f.finish - f.next
	}
	if f.app == 0 {
		return 1 << 40
	}
	return int64(f.now.Sub(f.start).Seconds()*float64(f.app))/testMSS - f.next
}

func (f *testFlow) rate() float64 {
	if p, ok := f.c.(Pacer); ok && p.PacingRate() > 0 {
		return float64(p.PacingRate())
	}
	if f.srtt == 0 {
		return 1e12
	}
	gain := 1.2
	if t, ok := f.c.(Thresholder); ok && f.c.Window() < t.SSThresh() {
		gain = 2
	}
	return gain * float64(f.c.Window()) / f.srtt.Seconds()
}

func (f *testFlow) send() {
	for f.pipe+testMSS <= max(f.c.Window(), testMSS) {
		if len(f.resend) == 0 && f.available() <= 0 {
			f.appLimited = max(f.delivered+f.pipe, 1)
			if f.app > 0 {
				f.sleep(f.now.Add(time.Millisecond))
			}
			return
		}
		if f.pace > f.now {
			f.sleep(f.pace)
			return
		}
		seq := f.next
		if len(f.resend) > 0 {
			seq, f.resend = f.resend[0], f.resend[1:]
		} else {
			f.next++
			f.acked = append(f.acked, false)
		}
		f.transmit(seq)
		f.pace = max(f.pace, f.now.Add(-time.Millisecond)).Add(time.Duration(testMSS / f.rate() * 1e9))
	}
}

func (f *testFlow) sleep(at mono.Time) {
	if f.wake <= f.now || at < f.wake {
		f.wake = at
		f.push(at, f, nil)
	}
}

func (f *testFlow) transmit(seq int64) {
	if f.pipe == 0 {
		f.firstSent, f.deliveredAt = f.now, f.now
	}
	f.pipe += testMSS
	f.sent++
	f.txs = append(f.txs, testTx{seq: seq, sent: f.now, delivered: f.delivered, lost: f.lostBytes,
		deliveredAt: f.deliveredAt, firstSent: f.firstSent, inFlight: f.pipe, app: f.appLimited > 0})
	tx := &f.txs[len(f.txs)-1]
	queue := f.queued()
	f.peak = max(f.peak, queue)
	f.queueSum += float64(queue)
	if queue+testMSS > max(f.queue, 2*testMSS) {
		f.drops++
		return
	}
	f.free = max(f.free, f.now).Add(time.Duration(int64(testMSS) * 1e9 / f.testPath.rate))
	tx.ce = f.mark > 0 && queue > f.mark
	if f.random.Float64() < f.loss {
		f.lost++
		return
	}
	at := f.free.Add(f.rtt)
	if f.jitter > 0 {
		at = at.Add(time.Duration(f.random.Int64N(int64(f.jitter))))
	}
	f.ackAt = max(f.ackAt, at)
	f.batch = append(f.batch, len(f.txs)-1)
	if len(f.batch) >= max(f.every, 1) || f.pipe+testMSS > f.c.Window() {
		f.push(f.ackAt, f, f.batch)
		f.batch = nil
	}
}

// ack digests an ACK of some transmissions: scoreboard, delivery rate (draft-ietf-ccwg-bbr-06 section 4.1),
// losses, controller.
func (f *testFlow) ack(txs []int) {
	e := Ack{InFlight: f.pipe}
	var newest *testTx
	for _, i := range txs {
		tx := &f.txs[i]
		if tx.done {
			continue
		}
		tx.done = true
		f.pipe -= testMSS
		f.acked[tx.seq] = true
		e.Delivered += testMSS
		if tx.ce {
			e.Marked += testMSS
		}
		newest = tx
	}
	if newest == nil {
		return
	}
	f.progress = f.now
	f.delivered += e.Delivered
	f.deliveredAt = f.now
	f.firstSent = newest.sent
	for f.una < f.next && f.acked[f.una] {
		f.una++
	}
	e.Lost = f.judge(txs[len(txs)-1] - 3)
	e.Pipe, e.RTT, e.Una, e.Next = f.pipe, f.now.Sub(newest.sent), f.una*testMSS, f.next*testMSS
	if f.srtt == 0 {
		f.srtt = e.RTT
	}
	f.srtt += (e.RTT - f.srtt) / 8
	e.Rate = RateSample{Delivered: f.delivered, PriorDelivered: newest.delivered, TxInFlight: newest.inFlight,
		Lost: f.lostBytes - newest.lost, AppLimited: newest.app,
		Interval: max(newest.sent.Sub(newest.firstSent), f.now.Sub(newest.deliveredAt))}
	if f.appLimited > 0 && f.delivered > f.appLimited {
		f.appLimited = 0
	}
	f.tell(e)
}

func (f *testFlow) judge(before int) (lost int64) {
	for ; f.head <= before; f.head++ {
		if tx := &f.txs[f.head]; !tx.done {
			tx.done = true
			f.pipe -= testMSS
			lost += testMSS
			f.resend = append(f.resend, tx.seq)
		}
	}
	f.lostBytes += lost
	return lost
}

func (f *testFlow) tell(e Ack) {
	if f.inRecovery && f.una >= f.recover {
		f.inRecovery = false
	}
	if e.Lost > 0 && !f.inRecovery {
		f.inRecovery, f.recover = true, f.next
		f.c.Lost(f.now, Loss{InFlight: e.InFlight})
	}
	if _, ok := f.c.(Marker); !ok && e.Marked > 0 && !f.inRecovery {
		f.inRecovery, f.recover = true, f.next
		f.c.Lost(f.now, Loss{InFlight: e.InFlight, ECN: true})
	}
	e.InRecovery = f.inRecovery
	e.AppLimited = f.appLimited > 0
	if f.onAck != nil {
		f.onAck(e)
	}
	f.c.Acked(f.now, e)
}

// expire is a retransmission time-out, of a second.
func (f *testFlow) expire() {
	if f.pipe == 0 {
		f.progress = f.now
	}
	due := f.progress.Add(time.Second)
	if f.now < due {
		if f.now >= f.start && (f.wake <= f.now || f.wake > due) {
			f.sleep(due)
		}
		return
	}
	flight := f.pipe
	f.judge(len(f.txs) - 1)
	f.inRecovery, f.recover, f.progress = true, f.next, f.now
	f.c.Timeout(f.now, Loss{InFlight: flight})
}

// over is the goodput of the next d, as a share of the bottleneck.
func (f *testFlow) over(d time.Duration) float64 {
	before := f.una
	f.run(d)
	return float64((f.una-before)*testMSS) / d.Seconds() / float64(f.testPath.rate)
}
