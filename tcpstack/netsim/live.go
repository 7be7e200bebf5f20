package netsim

import "ocaserve/tcpstack/mono"

// A network can also be a part of the real world: its owner hands packets in with Inject, lets virtual
// time catch up with a real clock by Run, sleeps until Next, and takes packets out at an Outlet.

// Next is when something will happen if nothing is injected before; mono.Never: nothing will.
func (n *Network) Next() mono.Time { return min(n.events.next(), n.deadline()) }

// Reserve makes that many packets of a size beforehand, so that the first burst does not wait for the system
// to find memory, which takes milliseconds where a hypervisor has to.
func (n *Network) Reserve(packets, size int) {
	for range packets {
		p := &Packet{Data: make([]byte, size)}
		for i := 0; i < size; i += 512 { // at least once per page
			p.Data[i] = 1
		}
		n.free = append(n.free, p)
	}
}

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
