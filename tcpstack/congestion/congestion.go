// Package congestion decides how much may be in flight. It is pure: no clock, no lock, no packet.
//
//  1. Recovery digests an ACK; the connection passes on what it delivered: [Controller.Acked].
//  2. Recovery enters an episode of loss, or an ECN echo comes: [Controller.Lost], once per episode.
//  3. The retransmission timer fires: [Controller.Timeout].
//  4. Output sends while recovery's Pipe is below [Controller.Window].
//
// One file holds one algorithm, or several that begin with its name; hystart.go is the slow start that those
// with a window share. [New] finds an algorithm by the name that users type and Linux gives it. All windows
// are bytes. What only some algorithms can do is an interface of its own: [Idler], [MSSSetter],
// [Thresholder], [Undoer], [Pacer], [Modeller], [Marker], [Seeder].
package congestion

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ocaserve/tcpstack/mono"
)

// An Ack is what one acknowledgment delivered. Byte counts are of the payload.
type Ack struct {
	Delivered int64         // bytes newly known to have arrived
	InFlight  int64         // recovery's Pipe before this ACK
	Pipe      int64         // and after it
	Lost      int64         // bytes that it led recovery to judge lost
	Marked    int64         // of Delivered: what the peer reports to have arrived with CE (ECN)
	RTT       time.Duration // the newest sample; 0: none
	Una, Next int64         // SND.UNA after this ACK, and SND.NXT: they tell rounds apart

	InRecovery   bool // the state after this ACK is CWR, Recovery or Loss
	AfterTimeout bool // it is Loss
	AppLimited   bool // the application, not the window, limited what was in flight
	Spread       bool // pacing did: the rest of the window waits for its departure

	Rate RateSample
}

// A RateSample is the delivery rate over the flight of the newest segment that an ACK covers
// (draft-ietf-ccwg-bbr section 4.1). It is recovery's to measure.
type RateSample struct {
	Delivered      int64         // C.delivered: bytes delivered in the connection's life
	PriorDelivered int64         // C.delivered when that segment was sent
	Interval       time.Duration // what Delivered-PriorDelivered took; 0: no sample
	TxInFlight     int64         // in flight when that segment had been sent, with it
	Lost           int64         // bytes judged lost between its transmission and now
	AppLimited     bool          // the sender had nothing to send for a part of it: the rate is a lower bound
}

// A Loss is the moment of a reduction.
type Loss struct {
	InFlight int64 // FlightSize (RFC 5681 section 2) or Pipe before it, bytes
	ECN      bool  // an ECN echo, not a loss (RFC 3168 section 6.1.2)
}

// A Controller is the congestion control of one connection; not safe for concurrent use.
type Controller interface {
	Name() string
	// Acked grows the window. It is called for each ACK that delivered something, after Lost if that
	// same ACK began an episode.
	Acked(now mono.Time, e Ack)
	// Lost reduces the window: called once per episode.
	Lost(now mono.Time, e Loss)
	// Timeout falls back to the loss window: called for each retransmission time-out.
	Timeout(now mono.Time, e Loss)
	// Window is the congestion window in bytes, at least one segment.
	Window() int64
}

// An Undoer takes back the reduction of the last episode, Lost or Timeout: it proved needless (RFC 4015
// section 3.1). Nothing happens where there is none to take back.
type Undoer interface{ Undo(now mono.Time) }

// A Pacer sets the sending rate, in bytes per second; 0: it does not know yet. Without one the stack paces at
// a multiple of the window per round trip.
type Pacer interface{ PacingRate() int64 }

// A Modeller keeps to its own window during fast recovery. Without it the stack follows PRR (RFC 9937).
type Modeller interface{ OwnsRecovery() }

// A Marker reads Ack.Marked itself (DCTCP, BBR). For the others the stack turns an ECN echo into one Lost
// per round trip (RFC 3168 section 6.1.2). Scalable says that it wants each CE mark echoed as DCTCP's
// receiver does (RFC 8257 section 3.2).
type Marker interface{ Scalable() bool }

// A Seeder takes over from another controller on a live connection: window and ssthresh in bytes
// (math.MaxInt64: none yet), srtt 0 if unknown. It is called on a new controller only.
type Seeder interface {
	Seed(now mono.Time, window, ssthresh int64, srtt time.Duration)
}

// An Idler wants to know, before the next send, that nothing was sent for longer than the RTO (RFC 5681
// section 4.1).
type Idler interface{ Idle(now mono.Time) }

// An MSSSetter follows a change of the segment size.
type MSSSetter interface{ SetMSS(mss int) }

// A Thresholder has a slow start threshold, for display. It is math.MaxInt64 before the first loss.
type Thresholder interface{ SSThresh() int64 }

// Default is what New makes of an empty name.
const Default = "cubic"

var registry = map[string]func(mss int) Controller{
	"newreno": func(mss int) Controller { return NewNewReno(mss) },
	"bbr":     func(mss int) Controller { return NewBBR(mss) },
	"cubic":   func(mss int) Controller { return NewCubic(mss) },
	"dctcp":   func(mss int) Controller { return NewDCTCP(mss) },
}

// New makes the controller of that name for segments of mss payload bytes.
func New(name string, mss int) (Controller, error) {
	if name == "" {
		name = Default
	}
	make, ok := registry[name]
	if !ok {
		return nil, fmt.Errorf("unknown congestion control %q; there are: %s", name, strings.Join(Names(), ", "))
	}
	return make(mss), nil
}

// Names lists what New knows, in alphabetical order.
func Names() []string {
	names := make([]string, 0, len(registry))
	for n := range registry {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// InitialWindow is RFC 6928 section 2: "min (10*MSS, max (2*MSS, 14600))".
func InitialWindow(mss int) int64 { return int64(min(10*mss, max(2*mss, 14600))) }
