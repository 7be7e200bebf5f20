package tcpstack

// State is the state of a connection (RFC 9293 section 3.3.2).
type State uint8

const (
	StateClosed State = iota
	StateListen
	StateSynSent
	StateSynReceived
	StateEstablished
	StateFinWait1
	StateFinWait2
	StateCloseWait
	StateClosing
	StateLastAck
	StateTimeWait
	stateCount
)

var stateNames = [stateCount]string{
	"CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2",
	"CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT",
}

// String returns the RFC's name.
func (s State) String() string { return stateNames[s] }

// event is what moves a connection from state to state.
type event uint8

const (
	evActiveOpen  event = iota // the application dials: SYN sent
	evPassiveOpen              // a SYN was answered on behalf of a listener
	evSynOnly                  // in SYN-SENT, a SYN without ACK: simultaneous open
	evSynAcked                 // our SYN is acknowledged (and the peer's is here)
	evClose                    // the application closes its side: FIN queued
	evFin                      // the peer's FIN was reached, in order
	evFinAcked                 // our FIN is acknowledged
	evExpire                   // 2 MSL have passed
	evReset                    // RST received or sent, or given up
	eventCount
)

var eventNames = [eventCount]string{
	"active-open", "passive-open", "syn-only", "syn-acked", "close", "fin", "fin-acked", "expire", "reset",
}

func (e event) String() string { return eventNames[e] }

// transitions is the diagram of RFC 9293 section 3.3.2 (figure 5), from our SYN on:
//
//	          active-open             passive-open
//	CLOSED ----------------> SYN-SENT     LISTEN
//	                           |    \ syn-only  | (the SYN cache stands for LISTEN's half-open peers)
//	                 syn-acked |     v          v
//	                           |   SYN-RECEIVED
//	                           v    | syn-acked
//	          close          ESTABLISHED                     fin
//	   FIN-WAIT-1 <-------------+--------------------------------> CLOSE-WAIT
//	    | fin-acked   \ fin                                          | close
//	    v              v                                             v
//	   FIN-WAIT-2    CLOSING                                       LAST-ACK
//	    | fin          | fin-acked                                   | fin-acked
//	    v              v                                             v
//	   TIME-WAIT <-----+   --expire (2 MSL)-->                     CLOSED
//
// A missing entry means that the event cannot occur or changes nothing in that state. A close in
// SYN-RECEIVED is kept until the connection is established (section 3.10.4 permits it: "otherwise, queue
// for processing after entering ESTABLISHED state").
var transitions = [stateCount][eventCount]State{
	StateClosed: {evActiveOpen: StateSynSent, evPassiveOpen: StateSynReceived},
	StateListen: {evPassiveOpen: StateSynReceived},
	StateSynSent: {
		evSynOnly: StateSynReceived, evSynAcked: StateEstablished,
	},
	StateSynReceived: {evSynAcked: StateEstablished},
	StateEstablished: {evClose: StateFinWait1, evFin: StateCloseWait},
	StateFinWait1:    {evFinAcked: StateFinWait2, evFin: StateClosing},
	StateFinWait2:    {evFin: StateTimeWait},
	StateCloseWait:   {evClose: StateLastAck},
	StateClosing:     {evFinAcked: StateTimeWait},
	StateLastAck:     {},
	StateTimeWait:    {},
}

// next returns the state that follows s upon e, and whether e changes anything. CLOSED is reached from
// every state by a reset, and at the end of LAST-ACK and TIME-WAIT.
func (s State) next(e event) (State, bool) {
	switch {
	case e == evReset && s != StateClosed && s != StateListen,
		e == evFinAcked && s == StateLastAck,
		e == evExpire && s == StateTimeWait,
		e == evClose && s == StateSynSent:
		return StateClosed, true
	}
	n := transitions[s][e]
	return n, n != StateClosed
}

// synchronized reports whether both SYNs are known (RFC 9293 section 3.5.2).
func (s State) synchronized() bool { return s >= StateEstablished }

// canReceive reports whether payload may still arrive in order.
func (s State) canReceive() bool {
	return s == StateEstablished || s == StateFinWait1 || s == StateFinWait2
}

// canSend reports whether the application may still append.
func (s State) canSend() bool {
	return s == StateSynSent || s == StateSynReceived || s == StateEstablished || s == StateCloseWait
}

// sentFin reports whether our side was closed.
func (s State) sentFin() bool {
	return s == StateFinWait1 || s == StateFinWait2 || s == StateClosing || s == StateLastAck ||
		s == StateTimeWait
}
