package netsim

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// SourceConfig describes cross traffic: UDP packets that nobody answers.
type SourceConfig struct {
	Name     string
	Rate     pacing.Rate // while it sends; must be above 0
	Size     int         // of each packet with its headers, bytes; 0: 1500
	Src, Dst netip.Addr  // of one IP version; zero: from 192.0.2.1 to 192.0.2.2, where no router of a Dumbbell leads

	// On and Off are how long it sends and then pauses, in turn, beginning with On; Off 0: it never pauses.
	// With Random both are averages of exponential distributions.
	On, Off time.Duration
	Random  bool
}

// A Source sends at a constant rate, without end, while it is on.
//
// The k-th packet of a time on that began at t is sent at exactly t + ceil(k * Size / Rate), k from 0.
type Source struct {
	base
	cfg    SourceConfig
	packet []byte
	since  mono.Time // when the time on began
	until  mono.Time // when it ends
	sent   int64     // packets in it
	stop   mono.Time
	random *rand.Rand
}

// NewSource makes cross traffic that enters the network at a sink. It begins with Start.
func (n *Network) NewSource(into Sink, cfg SourceConfig) *Source {
	if cfg.Rate <= 0 {
		panic("netsim: a source needs a rate")
	}
	if cfg.Size == 0 {
		cfg.Size = 1500
	}
	if !cfg.Src.IsValid() {
		cfg.Src, cfg.Dst = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	}
	h := wire.IPHeader{
		Src: wire.AddrFrom(cfg.Src), Dst: wire.AddrFrom(cfg.Dst), V6: !cfg.Src.Is4(),
		Protocol: wire.ProtoUDP, HopLimit: 64, DontFragment: true,
	}
	s := &Source{base: base{net: n, label: n.name(cfg.Name, "source"), next: into}, cfg: cfg}
	s.random = n.random(s.label, "periods")
	s.packet = make([]byte, max(cfg.Size, wire.HeaderLen(&h)+8))
	wire.PutIP(s.packet, &h, len(s.packet)-wire.HeaderLen(&h))
	return s
}

// Start lets the source send from one instant to another; mono.Never: without end.
func (s *Source) Start(from, to mono.Time) {
	s.stop = to
	s.net.At(from, func(now mono.Time) {
		s.turnOn(now)
		s.fire(now, nil)
	})
}

func (s *Source) turnOn(now mono.Time) {
	s.since, s.sent, s.until = now, 0, mono.Never
	if s.cfg.Off > 0 {
		s.until = now.Add(s.period(s.cfg.On))
	}
}

// period is how long the source is on or off now.
func (s *Source) period(mean time.Duration) time.Duration {
	if !s.cfg.Random {
		return mean
	}
	return time.Duration(s.random.ExpFloat64() * float64(mean))
}

// fire is the time of the next packet, if the source is still on, or else of its next time on.
func (s *Source) fire(now mono.Time, _ *Packet) {
	if now >= s.stop {
		return
	}
	if now >= s.until {
		s.turnOn(s.until.Add(s.period(s.cfg.Off)))
		s.net.schedule(s.since, s, nil)
		return
	}
	p := s.net.newPacket(s.packet)
	s.sent++
	s.net.schedule(s.since.Add(s.cfg.Rate.Duration(s.sent*int64(len(s.packet)))), s, nil)
	s.enter(p)
	s.leave(now, p)
}
