package netsim

import "ocaserve/tcpstack/mono"

// A network can also be a part of the real world: its owner hands packets in with Inject, lets virtual
// time catch up with a real clock by Run, sleeps until Next, and takes packets out at an Outlet.

// Next is when something will happen if nothing is injected before; mono.Never: nothing will.
func (n *Network) Next() mono.Time { return min(n.events.next(), n.deadline()) }

// An Outlet is where packets leave the simulation.
type Outlet struct {
	base
	take func(at mono.Time, data []byte)
}

// NewOutlet makes the end of a path that leads out. It calls take with each packet and with when it was due,
// which is exact even if Run is called late; data is lent for the call.
func (n *Network) NewOutlet(name string, take func(at mono.Time, data []byte)) *Outlet {
	return &Outlet{base: base{net: n, label: n.name(name, "outlet")}, take: take}
}

// Put ends p.
func (o *Outlet) Put(now mono.Time, p *Packet) {
	o.enter(p)
	o.count.Held--
	o.count.Out++
	o.count.OutBytes += uint64(len(p.Data))
	o.take(now, p.Data)
	o.net.release(p)
}
