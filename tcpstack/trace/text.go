package trace

import (
	"fmt"
	"io"
	"math"
	"strconv"
)

// states are recovery's, by number.
var states = [...]string{"Open", "Disorder", "CWR", "Recovery", "Loss"}

// Text writes one line per event: the connection's number, seconds since its first event, what happened, and
// the state after it.
func Text(w io.Writer, t *Trace) error {
	for _, c := range t.Conns {
		if _, err := fmt.Fprintf(w, "# %d: %v %v %s %s mss %d, %d events, %d lost\n",
			c.ID, c.Local, c.Remote, c.Stack, c.CC, c.MSS, len(c.Events), c.Lost); err != nil {
			return err
		}
		for i := range c.Events {
			e := &c.Events[i]
			_, err := fmt.Fprintf(w, "%d %.6f %s cwnd %d pipe %d ssthresh %s srtt %dus unsent %d pacing %d delivery %d %s\n",
				c.ID, e.At.Sub(c.Events[0].At).Seconds(), e.what(), e.Cwnd, e.Pipe, ssthresh(e.Ssthresh), e.SRTT, e.Unsent, e.Pacing,
				e.Delivery, name(states[:], e.State))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// ssthresh is "-" before there is one.
func ssthresh(v uint32) string {
	if v == math.MaxUint32 {
		return "-"
	}
	return strconv.FormatUint(uint64(v), 10)
}

// what is the event itself.
func (e *Event) what() string {
	switch e.Kind {
	case KindAck:
		text := fmt.Sprintf("ack %d window %d", e.Off, e.Len)
		if e.RTT > 0 {
			text += fmt.Sprintf(" rtt %dus", e.RTT)
		}
		return text
	case KindLimit:
		return fmt.Sprintf("limit %v for %dus", e.Limit, e.Off/1000)
	case KindTimer, KindUndo:
		return fmt.Sprintf("%v %v", e.Kind, e.Cause)
	case KindState:
		return "state"
	}
	text := fmt.Sprintf("%v %d+%d", e.Kind, e.Off, e.Len)
	if e.Cause != CauseNone {
		text += " " + e.Cause.String()
	}
	return text
}
