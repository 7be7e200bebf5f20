package netsim

import (
	"math/rand/v2"
	"slices"
	"time"

	"ocaserve/tcpstack/mono"
)

// A Loss says which packets a wire loses. It is asked once per packet, in order; num is the packet's number
// on the wire, from 1. A Loss with state belongs to one wire.
type Loss interface {
	Lost(now mono.Time, r *rand.Rand, num uint64, p *Packet) bool
}

// Bernoulli loses this share of the packets, each independently of the others.
type Bernoulli float64

// Lost throws the dice.
func (b Bernoulli) Lost(_ mono.Time, r *rand.Rand, _ uint64, _ *Packet) bool {
	return b > 0 && r.Float64() < float64(b)
}

// Numbers loses the packets with these numbers.
type Numbers []uint64

// Lost looks the number up.
func (l Numbers) Lost(_ mono.Time, _ *rand.Rand, num uint64, _ *Packet) bool {
	return slices.Contains(l, num)
}

// Every loses each n-th packet. 0 loses none.
type Every uint64

// Lost counts.
func (e Every) Lost(_ mono.Time, _ *rand.Rand, num uint64, _ *Packet) bool {
	return e > 0 && num%uint64(e) == 0
}

// LossFunc lets a test decide, say by sequence number.
type LossFunc func(now mono.Time, num uint64, p *Packet) bool

// Lost calls f.
func (f LossFunc) Lost(now mono.Time, _ *rand.Rand, num uint64, p *Packet) bool {
	return f(now, num, p)
}

// An Outage loses everything from one instant to another.
type Outage struct{ From, To mono.Time }

// Lost looks at the time.
func (o Outage) Lost(now mono.Time, _ *rand.Rand, _ uint64, _ *Packet) bool {
	return o.From <= now && now < o.To
}

// AnyOf loses what any of several models loses. All are asked, so that each sees every packet.
type AnyOf []Loss

// Lost asks all.
func (a AnyOf) Lost(now mono.Time, r *rand.Rand, num uint64, p *Packet) (lost bool) {
	for _, l := range a {
		lost = l.Lost(now, r, num, p) || lost
	}
	return lost
}

// GilbertElliott loses in bursts (Gilbert 1960, Elliott 1963): the wire is in a good or in a bad state, and
// before each packet changes with a probability. The share of lost packets in the long run is
//
//	(LossGood*BadToGood + LossBad*GoodToBad) / (GoodToBad + BadToGood)
//
// and a stay in the bad state lasts 1/BadToGood packets on average.
type GilbertElliott struct {
	GoodToBad, BadToGood float64 // probability of a change, per packet
	LossGood, LossBad    float64 // share of packets lost in each state

	// Idle is how long no packet may have come for the state to be good again; 0: the state waits for packets
	// for ever, which can starve a sender that sends one packet per time-out.
	Idle time.Duration

	bad  bool
	last mono.Time
}

// Lost moves to the next state and throws the dice.
func (g *GilbertElliott) Lost(now mono.Time, r *rand.Rand, _ uint64, _ *Packet) bool {
	if g.Idle > 0 && now.Sub(g.last) >= g.Idle {
		g.bad = false
	}
	g.last = now
	change, share := g.GoodToBad, g.LossGood
	if g.bad {
		change = g.BadToGood
	}
	if r.Float64() < change {
		g.bad = !g.bad
	}
	if g.bad {
		share = g.LossBad
	}
	return r.Float64() < share
}

// Bursts is a GilbertElliott wire that loses the given share of packets, all of them in bursts that are
// mean packets long on average, and none in between. A burst does not outlast a second without packets.
func Bursts(share, mean float64) *GilbertElliott {
	back := 1 / mean
	return &GilbertElliott{GoodToBad: back * share / (1 - share), BadToGood: back, LossBad: 1, Idle: time.Second}
}
