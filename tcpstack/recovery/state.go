package recovery

// A State says how much the sender trusts the path; the names are those of Linux and of `ss -ti`.
//
//	       suspect              lost
//	Open -----------> Disorder ------> Recovery
//	| ^ ^ <---------- settled             |  |
//	| | +-------------------- recovered --+  |
//	| |                                      |
//	| +-- recovered -- CWR (also from Disorder; lost: Recovery)
//	|                   |                    |
//	+---- expired ------+-------> Loss <-----+   from every state; leaves by recovered only
type State uint8

const (
	Open     State = iota // nothing unusual
	Disorder              // duplicate ACKs or SACKs, no loss judged yet
	CWR                   // the window was reduced without loss (ECN, a full local queue)
	Recovery              // fast recovery: until the recovery point is acknowledged
	Loss                  // after a retransmission time-out: until the recovery point is acknowledged
	numStates
)

var stateNames = [numStates]string{"Open", "Disorder", "CWR", "Recovery", "Loss"}

func (s State) String() string {
	if s < numStates {
		return stateNames[s]
	}
	return "State(?)"
}

// An event moves the state.
type event uint8

const (
	evSettled   event = iota // an ACK left nothing out of order
	evSuspect                // a duplicate ACK, or SACKed bytes above a hole
	evLost                   // a detector judged bytes lost
	evReduced                // the window was reduced without loss
	evExpired                // the retransmission timer
	evRecovered              // the recovery point is acknowledged
	numEvents
)

var eventNames = [numEvents]string{"settled", "suspect", "lost", "reduced", "expired", "recovered"}

func (e event) String() string { return eventNames[e] }

// transitions is the whole state machine. In Loss, bytes judged lost start no recovery of their own: RFC
// 6675 section 5.1, "a new recovery phase (as described in Section 5) MUST NOT be initiated until HighACK is
// greater than or equal to the new value of RecoveryPoint", and RFC 6582 section 3.2 steps 2 and 4.
var transitions = [numStates][numEvents]State{
	//         settled   suspect   lost      reduced   expired recovered
	Open:     {Open, Disorder, Recovery, CWR, Loss, Open},
	Disorder: {Open, Disorder, Recovery, CWR, Loss, Disorder},
	CWR:      {CWR, CWR, Recovery, CWR, Loss, Open},
	Recovery: {Recovery, Recovery, Recovery, Recovery, Loss, Open},
	Loss:     {Loss, Loss, Loss, Loss, Loss, Open},
}

// move applies e and reports whether the state changed.
func (s *Sender) move(e event) bool {
	old := s.state
	s.state = transitions[old][e]
	return s.state != old
}
