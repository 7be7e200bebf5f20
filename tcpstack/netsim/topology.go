package netsim

import (
	"fmt"
	"net/netip"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// A Router hands packets on by their destination address.
type Router struct {
	net    *Network
	routes map[wire.Addr]Sink
	rest   Sink
}

// NewRouter makes a router without routes. What it has no route for goes to rest; nil: it vanishes.
func (n *Network) NewRouter(rest Sink) *Router {
	if rest == nil {
		rest = n.NewDiscard("")
	}
	return &Router{net: n, routes: make(map[wire.Addr]Sink), rest: rest}
}

// Route sends packets for a to next.
func (r *Router) Route(a netip.Addr, next Sink) { r.routes[wire.AddrFrom(a)] = next }

// Put hands p on.
func (r *Router) Put(now mono.Time, p *Packet) {
	if to, ok := r.routes[destination(p.Data)]; ok {
		to.Put(now, p)
		return
	}
	r.rest.Put(now, p)
}

// destination reads a packet's destination address, valid or not.
func destination(b []byte) (a wire.Addr) {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		a[10], a[11] = 0xff, 0xff
		copy(a[12:], b[16:20])
	case len(b) >= 40 && b[0]>>4 == 6:
		copy(a[:], b[24:40])
	}
	return a
}

// Discard counts packets and drops them: the end of cross traffic.
type Discard struct{ base }

// NewDiscard makes the end of a path that leads nowhere.
func (n *Network) NewDiscard(name string) *Discard {
	return &Discard{base{net: n, label: n.name(name, "discard")}}
}

// Put ends p.
func (d *Discard) Put(_ mono.Time, p *Packet) {
	d.enter(p)
	d.drop(p)
}

// DumbbellConfig describes senders and receivers on the two sides of one bottleneck.
type DumbbellConfig struct {
	Pairs int             // of hosts; 0: 1
	RTT   time.Duration   // of all pairs, without queueing
	RTTs  []time.Duration // of each pair, instead

	Rate     pacing.Rate // of the bottleneck
	Overhead int         // see BottleneckConfig
	Queue    Queue       // of the bottleneck; nil: a DropTail of BDPs
	BDPs     float64     // of the first pair's RTT; 0: 1

	// Forward is what happens on each pair's own wire behind the bottleneck, and Back on its way back,
	// which has no bottleneck. Their Delay is on top of RTT/2.
	Forward, Back WireConfig

	Sender, Receiver DeviceConfig
}

// A Dumbbell is the topology
//
//	Senders[i] -> Bottleneck -> Forward[i] -> Receivers[i] -> Back[i] -> Senders[i]
//
// Routers on both sides of the wires pass packets by destination, so that any sender may reach any
// receiver; it gets the receiver's delays.
type Dumbbell struct {
	Senders, Receivers []*Device
	Bottleneck         *Bottleneck
	Forward, Back      []*Wire
	Right, Left        *Router // the far end of the bottleneck; the senders' side of the way back
}

// SenderAddr is the address of a Dumbbell's i-th sender, from 0.
func SenderAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i) + 1}) }

// ReceiverAddr is the address of its i-th receiver.
func ReceiverAddr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i) + 1})
}

// maxPairs is what the addresses allow.
const maxPairs = 255

// Dumbbell builds the topology. The hosts are yet to be attached.
func (n *Network) Dumbbell(cfg DumbbellConfig) *Dumbbell {
	cfg.Pairs = max(cfg.Pairs, 1)
	if cfg.Pairs > maxPairs || len(cfg.RTTs) > 0 && len(cfg.RTTs) != cfg.Pairs {
		panic(fmt.Sprintf("netsim: a dumbbell of %d pairs and %d RTTs", cfg.Pairs, len(cfg.RTTs)))
	}
	for len(cfg.RTTs) < cfg.Pairs {
		cfg.RTTs = append(cfg.RTTs, cfg.RTT)
	}
	if cfg.Queue == nil {
		if cfg.BDPs == 0 {
			cfg.BDPs = 1
		}
		cfg.Queue = &DropTail{Bytes: max(1, int64(cfg.BDPs*float64(BDP(cfg.Rate, cfg.RTTs[0]))))}
	}
	d := &Dumbbell{Right: n.NewRouter(nil), Left: n.NewRouter(nil)}
	d.Bottleneck = n.NewBottleneck(BottleneckConfig{
		Name: "bottleneck", Rate: cfg.Rate, Overhead: cfg.Overhead, Queue: cfg.Queue,
	})
	d.Bottleneck.Connect(d.Right)
	for i, rtt := range cfg.RTTs {
		d.addPair(n, &cfg, i, rtt)
	}
	return d
}

func (d *Dumbbell) addPair(n *Network, cfg *DumbbellConfig, i int, rtt time.Duration) {
	cfg.Sender.Name, cfg.Receiver.Name = fmt.Sprintf("sender-%d", i), fmt.Sprintf("receiver-%d", i)
	s, r := n.NewDevice(cfg.Sender), n.NewDevice(cfg.Receiver)
	there, back := cfg.Forward, cfg.Back
	there.Name, back.Name = fmt.Sprintf("forward-%d", i), fmt.Sprintf("back-%d", i)
	there.Delay += rtt / 2
	back.Delay += rtt - rtt/2
	forward, backward := n.NewWire(there), n.NewWire(back)
	s.Connect(d.Bottleneck)
	d.Right.Route(ReceiverAddr(i), Chain(r, forward))
	r.Connect(Chain(d.Left, backward))
	d.Left.Route(SenderAddr(i), s)
	d.Senders, d.Receivers = append(d.Senders, s), append(d.Receivers, r)
	d.Forward, d.Back = append(d.Forward, forward), append(d.Back, backward)
}

// JainIndex is (sum x)^2 / (n * sum x^2): 1 if all shares are equal, 1/n if one has everything (Jain, Chiu
// and Hawe 1984). Of nothing it is 1.
func JainIndex(shares ...float64) float64 {
	var sum, squares float64
	for _, x := range shares {
		sum += x
		squares += x * x
	}
	if squares == 0 {
		return 1
	}
	return sum * sum / (float64(len(shares)) * squares)
}
