package netsim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"ocaserve/tcpstack/mono"
)

// Epoch is the virtual time at which a network starts: well above zero, which means "not set".
const Epoch = mono.Time(time.Hour)

// A Host is a TCP stack, or anything else that is driven like one. *tcpstack.Shard is one.
type Host interface {
	// Step takes one turn: receives, advances timers, transmits. Busy asks for another one at once.
	Step(now mono.Time) (busy bool, err error)
	// Deadline is when the host must be stepped if nothing arrives before; mono.Never: not at all.
	Deadline() mono.Time
}

// A Network holds everything that happens on one virtual clock.
type Network struct {
	seed   uint64
	now    mono.Time
	events eventQueue
	nodes  []*node
	unique uint64 // for the random numbers of elements without a name
	lastID uint64 // of packets
	free   []*Packet
}

// A node is a host with what the network knows about it.
type node struct {
	host  Host
	ready bool // something arrived, or somebody woke it
}

// New makes an empty network at Epoch. The same seed and the same calls give the same packets.
func New(seed uint64) *Network { return &Network{seed: seed, now: Epoch} }

// Now is the virtual time. The method value serves as a stack's clock.
func (n *Network) Now() mono.Time { return n.now }

// At calls f at the instant t, or at once if that has passed.
func (n *Network) At(t mono.Time, f func(now mono.Time)) { n.schedule(t, call(f), nil) }

// After calls f when d has passed.
func (n *Network) After(d time.Duration, f func(now mono.Time)) { n.At(n.now.Add(d), f) }

func (n *Network) schedule(t mono.Time, h handler, p *Packet) { n.events.push(max(t, n.now), h, p) }

// Attach makes h a host of the network. What arrives at its devices, and their Wake, steps it.
func (n *Network) Attach(h Host, devices ...*Device) {
	nd := &node{host: h, ready: true}
	n.nodes = append(n.nodes, nd)
	for _, d := range devices {
		d.node = nd
	}
}

// random returns random numbers for a purpose of an element. They depend on the seed, the element's name,
// and the purpose, not on what else there is.
func (n *Network) random(element, purpose string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(element + "\x00" + purpose))
	return rand.New(rand.NewPCG(n.seed, h.Sum64()))
}

// name gives an element without a name one.
func (n *Network) name(given, kind string) string {
	if given != "" {
		return given
	}
	n.unique++
	return fmt.Sprintf("%s-%d", kind, n.unique)
}

// Run lets time pass until done reports true, which it returns, or until the given instant. A nil done
// never does. The error is a host's, or tells of a host that would spin for ever.
func (n *Network) Run(until mono.Time, done func() bool) (bool, error) {
	for _, nd := range n.nodes {
		nd.ready = true // the caller may have changed anything
	}
	for {
		if err := n.settle(); err != nil {
			return false, err
		}
		if done != nil && done() {
			return true, nil
		}
		next := min(n.events.next(), n.deadline())
		if next > until {
			n.now = max(n.now, until)
			return false, nil
		}
		n.now = max(n.now, next)
		n.happen()
	}
}

// RunFor is Run with a time limit from now on.
func (n *Network) RunFor(d time.Duration, done func() bool) (bool, error) {
	return n.Run(n.now.Add(d), done)
}

// happen lets the events that are due happen, also those that they cause at once.
func (n *Network) happen() {
	for n.events.next() <= n.now {
		e := n.events.pop()
		e.h.fire(n.now, e.p)
	}
}

// deadline is the earliest of the hosts'.
func (n *Network) deadline() mono.Time {
	d := mono.Never
	for _, nd := range n.nodes {
		d = min(d, nd.host.Deadline())
	}
	return d
}

// spinLimit is how many turns hosts may take at one instant. A host that needs more than this without
// time passing is in an endless loop: it is busy for ever, or its deadline does not move.
const spinLimit = 1 << 20

// settle steps every host that has reason to, until none has. Order is that of Attach.
func (n *Network) settle() error {
	for turns := 0; ; {
		idle := true
		for i, nd := range n.nodes {
			if !nd.ready && nd.host.Deadline() > n.now {
				continue
			}
			idle, nd.ready = false, false
			busy, err := nd.host.Step(n.now)
			if err != nil {
				return fmt.Errorf("netsim: host %d at %v: %w", i, n.now.Sub(Epoch), err)
			}
			nd.ready = nd.ready || busy
			if turns++; turns > spinLimit {
				return fmt.Errorf("netsim: host %d spins at %v: busy %v, deadline %v", i, n.now.Sub(Epoch), busy,
					nd.host.Deadline().Sub(Epoch))
			}
		}
		if idle {
			return nil
		}
	}
}
