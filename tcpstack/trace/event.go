package trace

import (
	"encoding/binary"
	"fmt"
	"slices"

	"ocaserve/tcpstack/mono"
)

// A Kind is what happened. Every event carries the state of the connection after it.
type Kind uint8

const (
	KindNone       Kind = iota
	KindOpen            // the record begins: off is SND.UNA, len what is in flight
	KindSend            // [off, off+len) went out for the first time
	KindRetransmit      // [off, off+len) went out again; cause says why
	KindAck             // an ACK: off is SND.UNA after it, len the window that the peer offers from there
	KindSACK            // [off, off+len): one block of the ACK before
	KindLost            // len bytes, the first at or behind off, were judged lost
	KindState           // recovery changed its state
	KindUndo            // a reduction proved needless; cause is the proof
	KindLimit           // limit held output back for the off nanoseconds before this event
	KindTimer           // a timer of recovery fired; cause says which
	KindClose           // the connection is over
	kindCount
)

var kindNames = [kindCount]string{
	"none", "open", "send", "retransmit", "ack", "sack", "lost", "state", "undo", "limit", "timer", "close",
}

func (k Kind) String() string { return name(kindNames[:], uint8(k)) }

// A Cause is why something happened: a retransmission, a timer, an undo.
type Cause uint8

const (
	CauseNone      Cause = iota
	CauseRACK            // judged lost by time (RFC 8985)
	CauseDupThresh       // by three duplicate ACKs or what SACK counts as such (RFC 6675, RFC 6582)
	CauseRTO             // the retransmission time-out (RFC 6298)
	CauseTLP             // a tail loss probe (RFC 8985 section 7)
	CauseRescue          // nothing else to send keeps the ACKs coming (RFC 6675 section 4 rules 3 and 4)
	CauseReorder         // RACK's reordering timer
	CauseDSACK           // proof: the peer got it twice (RFC 2883)
	CauseEifel           // proof: an old timestamp (RFC 3522)
	CauseFRTO            // proof: ACKs of originals after a time-out (RFC 5682)
	CauseCame            // proof: all that was judged lost came before any was sent again
	causeCount
)

var causeNames = [causeCount]string{
	"", "rack", "dupthresh", "rto", "tlp", "rescue", "reorder", "dsack", "eifel", "frto", "came",
}

func (c Cause) String() string { return name(causeNames[:], uint8(c)) }

// A Limit is what keeps a connection from sending more at this moment.
type Limit uint8

const (
	LimitIdle     Limit = iota // there is nothing to send and nothing in flight
	LimitApp                   // all that the application gave was sent, and some of it is in flight
	LimitCwnd                  // the congestion window
	LimitRwnd                  // the peer's window
	LimitRecovery              // the window, in fast recovery or after a time-out
	LimitPacing                // the next departure is not due
	LimitDevice                // the link's ring is full, or other connections have their turn
	LimitCount
)

var limitNames = [LimitCount]string{"idle", "app", "cwnd", "rwnd", "recovery", "pacing", "device"}

func (l Limit) String() string { return name(limitNames[:], uint8(l)) }

// MarshalText writes the limit's name.
func (l Limit) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the name of a limit.
func (l *Limit) UnmarshalText(b []byte) error {
	i := slices.Index(limitNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("there is no limit %q", b)
	}
	*l = Limit(i)
	return nil
}

func name(names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return "?"
}

// An Event is one thing that happened to a connection, in 64 bytes. The package doc has the units.
type Event struct {
	At       mono.Time
	Off      int64
	Len      uint32
	Kind     Kind
	Cause    Cause
	State    uint8
	Limit    Limit
	Cwnd     uint32
	Pipe     uint32
	Ssthresh uint32
	SRTT     uint32
	RTT      uint32
	Unsent   uint32
	Pacing   uint64
	Delivery uint64
}

// NoSsthresh is Event.Ssthresh before the first loss.
const NoSsthresh = 1<<32 - 1

// Clip is n as a field of 32 bits holds it: at most NoSsthresh-1, at least 0.
func Clip(n int64) uint32 { return uint32(max(0, min(n, NoSsthresh-1))) }

const eventSize = 64

// append writes e as 64 bytes.
func (e *Event) append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, uint64(e.At))
	b = le.AppendUint64(b, uint64(e.Off))
	b = le.AppendUint32(b, e.Len)
	b = append(b, byte(e.Kind), byte(e.Cause), e.State, byte(e.Limit))
	for _, v := range [...]uint32{e.Cwnd, e.Pipe, e.Ssthresh, e.SRTT, e.RTT, e.Unsent} {
		b = le.AppendUint32(b, v)
	}
	b = le.AppendUint64(b, e.Pacing)
	return le.AppendUint64(b, e.Delivery)
}

// parse reads what append wrote; b has at least 64 bytes.
func (e *Event) parse(b []byte) {
	le := binary.LittleEndian
	*e = Event{
		At: mono.Time(le.Uint64(b)), Off: int64(le.Uint64(b[8:])), Len: le.Uint32(b[16:]),
		Kind: Kind(b[20]), Cause: Cause(b[21]), State: b[22], Limit: Limit(b[23]),
		Cwnd: le.Uint32(b[24:]), Pipe: le.Uint32(b[28:]), Ssthresh: le.Uint32(b[32:]),
		SRTT: le.Uint32(b[36:]), RTT: le.Uint32(b[40:]), Unsent: le.Uint32(b[44:]),
		Pacing: le.Uint64(b[48:]), Delivery: le.Uint64(b[56:]),
	}
}
