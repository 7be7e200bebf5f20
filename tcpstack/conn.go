package tcpstack

import (
	"net/netip"

	"ocaserve/pacing"
	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/recovery"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/trace"
	"ocaserve/tcpstack/wire"
)

// A Handler receives the events of one connection, on the shard that owns it. It must not block.
type Handler interface {
	// Readable: bytes or the peer's FIN have arrived since the last call.
	Readable(c *Conn)
	// Writable: unsent bytes fell below half of NotsentLowat after Room had returned 0.
	Writable(c *Conn)
	// Closed: the connection is gone; err is nil after an orderly close, and then it comes only when
	// everything received has been read, or Close or Abort says that it will not be. The last event.
	Closed(c *Conn, err error)
}

// A TimerHandler is a Handler that uses [Conn.SetTimer].
type TimerHandler interface {
	Timer(c *Conn, now mono.Time)
}

// A Conn is a TCP connection. Except where said, its methods are for its shard only.
//
// Offsets are int64 positions in each direction's stream: the byte after SYN is 0, and FIN takes one
// position behind the last byte.
type Conn struct {
	shard   *Shard
	handler Handler
	flow    wire.Flow
	state   State

	timer  pacing.Timer          // in the shard's wheel, due at the earliest of timers or sooner
	timers [timerCount]mono.Time // zero: not running

	opt   options
	rcv   receiver
	snd   sender
	rec   recovery.Sender
	prr   recovery.PRR // the window of a fast recovery, while one is under way
	fn    *Functions   // its TCP implementation; nil before ESTABLISHED and after the end
	cc    congestion.Controller
	pace  pacer
	queue stream.SendQueue
	in    stream.Reassembly
	mtu   mtuState
	guard *guard // connection cookies; nil: none

	limits limits
	count  counters
	book   *ledger.Book // nil: nothing was sent yet
	trace  *recorder    // nil: not under trace

	listener *Listener // where it came from; nil: active open

	pendNext  *Conn // intrusive list of connections with something to send
	eventNext *Conn // intrusive list of connections with events to deliver
	memNext   *Conn // intrusive list of connections that wait for memory
	waitNext  *Conn // intrusive waitList
	waitPrev  *Conn
	waitOn    *waitList // nil: none
	listed    int32     // place in Shard.all
	deficit   int32     // bytes left of c's turn to send, see Shard.outputNext
	fast      fastState
	ecn       ecnState
	heldBy    trace.Limit // what limits output now
	pending   bool        // on the shard's output list
	events    eventSet
	inEvents  bool // on the shard's event list
	gone      bool // removed from the flow table
	orphan    bool // closed by the application in both directions
	memWait   bool // on the shard's list of those who wait for memory
	unread    bool // over in good order, but the application has bytes to read before it learns so
}

// eventSet are the events to be delivered.
type eventSet uint8

const (
	eventReadable eventSet = 1 << iota
	eventWritable
	eventClosed
)

// options is what both ends agreed on when they opened.
type options struct {
	timestamps bool   // RFC 7323 section 3
	sack       bool   // RFC 2018
	noDelay    bool   // Nagle's algorithm is off
	tsOffset   uint32 // added to our timestamp clock, so that uptime does not show
	peerMSS    int    // what the peer announced (RFC 9293 section 3.7.1); 536 or 1220 if it did not
	keepAlive  KeepAlive
}

// receiver is the state of what arrives.
type receiver struct {
	irs      wire.Seq // the peer's initial sequence number
	scale    uint8    // shift of the window we announce
	finSeen  bool     // a FIN has arrived, maybe ahead of a hole
	finDone  bool     // everything up to the FIN is here
	ackNow   bool     // an ACK must go out
	quickACK uint8    // segments still acknowledged at once, at the start of a connection
	probes   uint8    // keepalive probes unanswered
	unacked  uint8    // full segments received since the last ACK was sent, 2 at most
	tsRecent uint32   // RFC 7323 section 4.3
	fin      int64    // its offset, if finSeen

	edge      int64 // right edge announced: the peer may send offsets below it; never retreats
	lastAcked int64 // offset of the last ACK sent
	limit     int   // receive buffer, bytes; auto-tuned

	tsRecentAt mono.Time // when; a timestamp older than 24 days is invalid (section 5.5)

	tune rightSizer

	twice stream.Range // payload that arrived a second time, for the next ACK's D-SACK; empty: none

	challenge challengeLimit
	lastHeard mono.Time
}

// sender is the state of what is sent.
type sender struct {
	iss    wire.Seq
	wl1    wire.Seq // SEG.SEQ of the last window update
	wnd    int64    // what the peer offers, bytes beyond una
	maxWnd int64    // the largest it ever offered
	wl2    int64    // offset of SEG.ACK of it

	mss   int   // payload of a full segment, options taken off
	pmtu  int   // path MTU in use, bytes
	lowat int64 // NotsentLowat

	deferred int64 // bytes that duplicate ACKs delivered, see grow
	marked   int64 // of them, those that congestion control has not heard of: with CE

	woke wakeUp // what the ACKs of this wake-up found in flight

	wantWritable bool  // Room returned 0
	closing      bool  // CloseWrite was called before the connection was established
	override     bool  // the override time-out of silly-window avoidance: send what there is
	finSent      bool  // the FIN was transmitted at least once
	scale        uint8 // shift of the window the peer announces
	synTries     uint8
	persistTries uint8
	err          error     // why the connection ended
	lastSent     mono.Time // last data transmission
	stalledSince mono.Time // first timeout without any progress since
	shutSince    mono.Time // since when the peer has taken nothing, see noteWindow; zero: it does
}

// seqOf converts a send offset; the SYN is offset -1.
func (s *sender) seqOf(off int64) wire.Seq { return s.iss.Add(int(uint32(off)) + 1) }

// seqOf converts a receive offset.
func (r *receiver) seqOf(off int64) wire.Seq { return r.irs.Add(int(uint32(off)) + 1) }

// offsetOf converts a sequence number near the offset base.
func (r *receiver) offsetOf(s wire.Seq, base int64) int64 {
	return base + int64(s.Sub(r.seqOf(base)))
}

// Shard returns the shard that owns c. Any goroutine may call it.
func (c *Conn) Shard() *Shard { return c.shard }

// Flow returns c's addresses and ports. They never change.
func (c *Conn) Flow() *wire.Flow { return &c.flow }

// LocalAddr returns our end.
func (c *Conn) LocalAddr() netip.AddrPort { return c.flow.LocalAddrPort() }

// RemoteAddr returns the peer's end.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.flow.RemoteAddrPort() }

// State returns the connection's state.
func (c *Conn) State() State { return c.state }

// MSS is the payload of a full segment, in bytes.
func (c *Conn) MSS() int { return c.snd.mss }

// RTT returns the round-trip estimates.
func (c *Conn) RTT() *recovery.RTT { return c.rec.RTT() }

// move takes the transition for e, if there is one.
func (c *Conn) move(e event) {
	if n, ok := c.state.next(e); ok {
		c.state = n
	}
}

// raise notes events for delivery at the end of this turn of the shard's loop.
func (c *Conn) raise(e eventSet) {
	c.events |= e
	if !c.inEvents {
		c.inEvents = true
		c.shard.events.push(c)
	}
}
