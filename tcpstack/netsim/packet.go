package netsim

import "ocaserve/tcpstack/mono"

// A Packet is on its way. Whoever has it owns it, memory and all, until it hands it on.
type Packet struct {
	Data []byte    // from the IP header on, checksums complete
	Sent mono.Time // when the host transmitted it
	ID   uint64    // counts what hosts and sources transmit, from 1; a duplicate has its original's

	queued mono.Time // when it entered the queue it is in
}

// newPacket copies data into a packet of the network's.
func (n *Network) newPacket(data []byte) *Packet {
	var p *Packet
	if k := len(n.free); k > 0 {
		p, n.free = n.free[k-1], n.free[:k-1]
	} else {
		p = new(Packet)
	}
	p.Data = append(p.Data[:0], data...)
	n.lastID++
	p.Sent, p.ID = n.now, n.lastID
	return p
}

// clone makes a duplicate of p.
func (n *Network) clone(p *Packet) *Packet {
	c := n.newPacket(p.Data)
	n.lastID--
	c.Sent, c.ID = p.Sent, p.ID
	return c
}

// release takes back a packet that has arrived or is lost.
func (n *Network) release(p *Packet) { n.free = append(n.free, p) }

// A Sink takes packets, and with them their ownership.
type Sink interface {
	Put(now mono.Time, p *Packet)
}

// An Element is a Sink that hands on, sooner or later, to the one it was connected to.
type Element interface {
	Sink
	Connect(next Sink)
}

// Chain connects the elements in order, the last one to the end, and returns the first.
func Chain(end Sink, elements ...Element) Sink {
	for i := len(elements) - 1; i >= 0; i-- {
		elements[i].Connect(end)
		end = elements[i]
	}
	return end
}

// Counters are what an element has seen. At any time
//
//	Packets + Duplicated = Out + Dropped + Lost + Held
type Counters struct {
	Packets, Bytes uint64 // came in
	Out, OutBytes  uint64 // were handed on
	Dropped        uint64 // by a queue or a policer, or too large
	DroppedBytes   uint64
	Lost           uint64 // by a wire
	Marked         uint64 // CE was set
	Duplicated     uint64
	Reordered      uint64 // held back so that others may overtake
	Corrupted      uint64
	Held           uint64 // inside now
	MaxHeldBytes   uint64 // the fullest that a bottleneck's queue has been
}

// base is what elements have in common.
type base struct {
	net   *Network
	label string
	next  Sink
	count Counters
}

// Name returns the element's name, as configured or made up.
func (b *base) Name() string { return b.label }

// Counters returns what has happened so far.
func (b *base) Counters() Counters { return b.count }

// Connect says where packets go next.
func (b *base) Connect(next Sink) { b.next = next }

// enter books a packet that comes in.
func (b *base) enter(p *Packet) {
	b.count.Packets++
	b.count.Bytes += uint64(len(p.Data))
	b.count.Held++
}

// leave hands a packet on.
func (b *base) leave(now mono.Time, p *Packet) {
	b.count.Held--
	b.count.Out++
	b.count.OutBytes += uint64(len(p.Data))
	if b.next == nil {
		panic("netsim: " + b.label + " is connected to nothing")
	}
	b.next.Put(now, p)
}

// drop ends a packet in a queue, at a policer, or before a narrow link.
func (b *base) drop(p *Packet) {
	b.count.Held--
	b.count.Dropped++
	b.count.DroppedBytes += uint64(len(p.Data))
	b.net.release(p)
}
