package shape

import (
	"encoding/binary"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/gso"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/netsim"
	"ocaserve/tcpstack/wire"
)

// A Side is one of the two interfaces.
type Side int

// The sides. What comes from one goes to the other.
const (
	A Side = iota
	B
)

// Config describes a link.
type Config struct {
	Seed   uint64
	AB, BA Path // from A to B, and back
	Medium link.Medium
}

// Out takes a packet that has reached the end of its path towards a side: the link-layer header, empty on
// MediumIP, and the rest, both lent for the call; due is when it should leave.
type Out func(to Side, due mono.Time, header, packet []byte)

// An Engine is the emulated link, driven by its owner's time.
type Engine struct {
	// Policers and queues are in a network of their own: what leaves a queue has the wire's delay ahead of it,
	// so that nobody has to be awake for it at the nanosecond.
	queues *netsim.Network
	wires  *netsim.Network
	ahead  time.Duration // the least such delay

	out    Out
	header int          // bytes of the link-layer header
	from   [2]direction // by where packets come from

	cut    gso.Segmenter
	emit   func([]byte) // inject
	to     *direction   // where the frame that is being cut goes
	front  []byte       // and its link-layer header
	joined []byte       // scratch
}

// A direction is the path from one side to the other.
type direction struct {
	net     *netsim.Network // where packets enter
	into    netsim.Sink     // and the element
	frames  uint64          // taken from the device
	bad     uint64          // of them, superframes that cannot be cut
	policer *netsim.Policer
	queue   *netsim.Bottleneck
	wire    *netsim.Wire
	outlet  *netsim.Outlet
}

// ethernetHeader is the length of an Ethernet header (a VLAN tag counts as what it carries).
const ethernetHeader = 14

// NewEngine makes a link with nothing on it.
func NewEngine(cfg Config, out Out) *Engine {
	e := &Engine{queues: netsim.New(cfg.Seed), wires: netsim.New(cfg.Seed), ahead: min(cfg.AB.Delay, cfg.BA.Delay), out: out}
	e.emit = e.inject
	if cfg.Medium == link.MediumEthernet {
		e.header = ethernetHeader
	}
	rtt := cfg.AB.Delay + cfg.BA.Delay
	e.build(A, &cfg.AB, rtt)
	e.build(B, &cfg.BA, rtt)
	return e
}

// build lays the path that begins at a side. The elements' names, which their random numbers depend on,
// tell the directions apart.
func (e *Engine) build(from Side, p *Path, rtt time.Duration) {
	d, to := &e.from[from], 1-from
	name := [...]string{"ab ", "ba "}[from]
	d.outlet = e.wires.NewOutlet(name+"outlet", func(due mono.Time, data []byte) {
		ip := len(data) - e.header
		e.out(to, due, data[ip:], data[:ip])
	})
	var elements []netsim.Element
	if p.Police > 0 {
		burst := p.Burst
		if burst == 0 {
			burst = max(leastQueue, p.Police.Bytes(50*time.Millisecond))
		}
		d.policer = e.queues.NewPolicer(netsim.PolicerConfig{Name: name + "policer", Rate: p.Police, Burst: burst})
		elements = append(elements, d.policer)
	}
	if p.Rate > 0 {
		d.queue = e.queues.NewBottleneck(netsim.BottleneckConfig{Name: name + "queue", Rate: p.Rate, Queue: p.queue(rtt)})
		elements = append(elements, d.queue)
	}
	e.reserve(p, rtt)
	d.wire = e.wires.NewWire(p.wire(name + "wire"))
	d.net, d.into = e.wires, netsim.Chain(d.outlet, d.wire)
	if len(elements) > 0 {
		wire := d.into
		d.net, d.into = e.queues, netsim.Chain(e.queues.NewOutlet(name+"bridge", func(at mono.Time, data []byte) {
			e.catchUp(e.wires, at)
			e.wires.Inject(wire, data)
		}), elements...)
	}
}

// reserve makes the packets that a full path holds, within reason.
func (e *Engine) reserve(p *Path, rtt time.Duration) {
	const size, most = 1536, 20_000 // 30 MB
	waiting, _ := p.Queue.limits(p.Rate, rtt)
	if p.Rate > 0 {
		e.queues.Reserve(int(min(most, waiting/1500)), size)
	}
	e.wires.Reserve(int(min(most, 256+p.Rate.Bytes(p.Delay)/1500)), size)
}

// catchUp lets everything happen in a network that is due until now.
func (e *Engine) catchUp(n *netsim.Network, now mono.Time) {
	// The error is a host's, and there are none.
	_, _ = n.Run(max(now, n.Now()), nil)
}

// queue makes the queue that a path's packets wait in.
func (p *Path) queue(rtt time.Duration) netsim.Queue {
	bytes, packets := p.Queue.limits(p.Rate, rtt)
	if packets > 0 && p.AQM != "" {
		bytes = int64(packets) * 1500 // these queues count bytes
	}
	switch p.AQM {
	case "codel":
		return &netsim.CoDel{Limit: bytes, ECN: true}
	case "red":
		return &netsim.RED{Min: bytes / 6, Max: bytes / 2, Limit: bytes, ECN: true}
	}
	return &netsim.DropTail{Bytes: bytes, Packets: packets}
}

// wire is the part of a path behind the queue.
func (p *Path) wire(name string) netsim.WireConfig {
	w := netsim.WireConfig{
		Name: name, Delay: p.Delay, Jitter: p.Jitter, Duplicate: p.Duplicate,
		Reorder: p.Reorder, ReorderBy: p.ReorderBy,
	}
	if p.ReorderBy == 0 {
		w.ReorderBy = max(time.Millisecond, p.Delay/8)
	}
	var loss netsim.AnyOf
	switch {
	case p.LossBurst > 1:
		loss = append(loss, netsim.Bursts(p.Loss, p.LossBurst))
	case p.Loss > 0:
		loss = append(loss, netsim.Bernoulli(p.Loss))
	}
	if p.Drop.To > 0 {
		loss = append(loss, p.Drop.loss())
	}
	if len(loss) > 0 {
		w.Loss = loss
	}
	return w
}

// loss is the loss model of a range.
func (r DropRange) loss() netsim.Loss {
	var n uint64
	return netsim.LossFunc(func(_ mono.Time, _ uint64, p *netsim.Packet) bool {
		if hasPayload(p.Data) {
			n++
			return r.From <= n && n <= r.To
		}
		return false
	})
}

// hasPayload says whether a packet is TCP with payload. Its length is the IP header's: what follows is the
// link layer's.
func hasPayload(b []byte) bool {
	var ip wire.IPHeader
	body, drop := wire.ParseIP(b, &ip)
	if drop != wire.DropNone || ip.Protocol != wire.ProtoTCP || len(body) < 20 {
		return false
	}
	return len(body) > int(body[12]>>4)*4
}

// Put sends a frame that came from a side, whole in f.Data, on its way. Time must not go backwards between
// calls of Put and Advance. A superframe that cannot be cut is counted and dropped.
func (e *Engine) Put(now mono.Time, from Side, f *link.Frame) {
	e.Advance(now)
	d := &e.from[from]
	d.frames++
	if len(f.Data) <= e.header {
		d.bad++
		return
	}
	ip, header := *f, f.Data[:e.header]
	ip.Data = f.Data[e.header:]
	if f.Csum == link.CsumPartial {
		ip.CsumStart -= uint16(e.header)
	}
	if e.header > 0 && f.GSO > 0 && !carriesIP(header) {
		d.bad++
		return
	}
	e.to, e.front = d, header
	if !e.cut.Segment(&ip, e.emit) {
		d.bad++
	}
}

// inject is what a frame's wire packets are handed to. The simulated network knows packets that begin with
// the IP header: the link layer's header travels behind them, so that it is counted, and is put in front
// again at the end.
func (e *Engine) inject(packet []byte) {
	if e.header > 0 {
		e.joined = append(append(e.joined[:0], packet...), e.front...)
		packet = e.joined
	}
	e.to.net.Inject(e.to.into, packet)
}

// carriesIP says whether IP follows an Ethernet header at once.
func carriesIP(header []byte) bool {
	t := binary.BigEndian.Uint16(header[12:])
	return t == 0x0800 || t == 0x86dd
}

// Advance lets everything happen that is due until now, handing packets out in order of their due times.
func (e *Engine) Advance(now mono.Time) {
	e.catchUp(e.queues, now)
	e.catchUp(e.wires, now)
}

// Next is when Advance will have to hand out a packet, at the earliest; mono.Never: the link is empty.
func (e *Engine) Next() mono.Time { return min(e.wires.Next(), e.queues.Next().Add(e.ahead)) }
