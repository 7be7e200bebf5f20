package netsim

import (
	"math/rand/v2"

	"ocaserve/pacing"
	"ocaserve/tcpstack/mono"
)

// BottleneckConfig describes a link that is slower than what comes in.
type BottleneckConfig struct {
	Name     string
	Rate     pacing.Rate // must be above 0
	Overhead int         // bytes per packet that the rate counts besides it; Ethernet with preamble and gap: 38
	Queue    Queue       // where packets wait; nil: a DropTail without limit
}

// A Bottleneck sends packets one after another at its rate. A packet under way has left the queue.
//
// The k-th packet of a busy period that began at t has left at exactly
//
//	t + ceil((bytes of the first k packets) / rate)
//
// so that rounding to nanoseconds does not add up.
type Bottleneck struct {
	base
	cfg    BottleneckConfig
	queue  Queue
	since  mono.Time // when the busy period began, or the rate changed
	sent   int64     // bytes since then, with the packet under way
	now    *Packet   // under way; nil: idle
	onSent func()    // the device that owns the line wants to know; nil: nobody
}

// NewBottleneck makes a bottleneck; it takes the queue over.
func (n *Network) NewBottleneck(cfg BottleneckConfig) *Bottleneck {
	if cfg.Rate <= 0 {
		panic("netsim: a bottleneck needs a rate")
	}
	if cfg.Queue == nil {
		cfg.Queue = &DropTail{}
	}
	b := &Bottleneck{base: base{net: n, label: n.name(cfg.Name, "bottleneck")}, cfg: cfg, queue: cfg.Queue}
	b.queue.init(&queueEnv{
		count: &b.count, drop: b.drop, rate: cfg.Rate, random: n.random(b.label, "queue"),
	})
	return b
}

// Put queues p, or drops it.
func (b *Bottleneck) Put(now mono.Time, p *Packet) {
	b.enter(p)
	b.queue.put(now, p)
	b.count.MaxHeldBytes = max(b.count.MaxHeldBytes, uint64(b.queue.size()))
	if b.now == nil {
		b.since, b.sent = now, 0
		b.begin(now)
	}
}

// begin puts the next packet, if there is one, onto the line.
func (b *Bottleneck) begin(now mono.Time) {
	if b.now = b.queue.get(now); b.now == nil {
		return
	}
	b.sent += int64(len(b.now.Data) + b.cfg.Overhead)
	b.net.schedule(b.since.Add(b.cfg.Rate.Duration(b.sent)), b, b.now)
}

// fire is the end of a packet.
func (b *Bottleneck) fire(now mono.Time, p *Packet) {
	b.begin(now)
	b.leave(now, p)
	if b.onSent != nil {
		b.onSent()
	}
}

// SetRate changes the rate from the next packet on.
func (b *Bottleneck) SetRate(r pacing.Rate) {
	if b.now != nil { // what is under way ends as planned, and a new count starts there
		b.since, b.sent = b.since.Add(b.cfg.Rate.Duration(b.sent)), 0
	}
	b.cfg.Rate = r
	b.queue.setRate(r)
}

// Queued is the number of packets and of bytes that wait.
func (b *Bottleneck) Queued() (packets int, bytes int64) { return b.queue.len(), b.queue.size() }

func (b *Bottleneck) queued() int64 { return b.queue.size() }

// A Queue is where packets wait at a bottleneck: DropTail, RED or CoDel. It belongs to one bottleneck.
type Queue interface {
	init(env *queueEnv)
	put(now mono.Time, p *Packet) // may drop p
	get(now mono.Time) *Packet    // may drop some first; nil: empty
	len() int                     // packets
	size() int64                  // bytes
	setRate(r pacing.Rate)
}

// queueEnv is what a queue knows of its bottleneck.
type queueEnv struct {
	count  *Counters
	drop   func(*Packet)
	rate   pacing.Rate
	random *rand.Rand
}

// fifo is the memory of all queues.
type fifo struct {
	env     *queueEnv
	packets []*Packet
	head    int
	bytes   int64
}

func (f *fifo) init(env *queueEnv)    { f.env = env }
func (f *fifo) setRate(r pacing.Rate) { f.env.rate = r }
func (f *fifo) len() int              { return len(f.packets) - f.head }
func (f *fifo) size() int64           { return f.bytes }

func (f *fifo) push(p *Packet) {
	f.packets = append(f.packets, p)
	f.bytes += int64(len(p.Data))
}

func (f *fifo) pop() *Packet {
	if f.len() == 0 {
		return nil
	}
	p := f.packets[f.head]
	f.packets[f.head] = nil
	f.head++
	f.bytes -= int64(len(p.Data))
	if 2*f.head >= len(f.packets) { // enough to pay for moving the rest
		f.packets = f.packets[:copy(f.packets, f.packets[f.head:])]
		f.head = 0
	}
	return p
}

// full reports whether p would exceed a limit; 0 is none. An empty queue takes any packet, so that a
// queue smaller than one is a queue of one.
func (f *fifo) full(p *Packet, bytes int64, packets int) bool {
	if f.len() == 0 {
		return false
	}
	return bytes > 0 && f.bytes+int64(len(p.Data)) > bytes || packets > 0 && f.len() >= packets
}
