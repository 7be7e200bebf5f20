package recovery

import "ocaserve/tcpstack/mono"

// SetNCR switches RFC 4653 on or off in the base detector of a live connection.
func (s *Sender) SetNCR(on bool) {
	if on = on && s.sack; on != s.ncr.on {
		s.ncr = ncr{on: on}
	}
}

// SetPolicy changes how a live connection judges losses; Detector, Undo, NCR and RTORestart of c count. What was
// judged stays judged; an episode that nobody watched so far cannot be undone.
func (s *Sender) SetPolicy(now mono.Time, c Config) {
	s.SetDetector(c.Detector)
	s.restart, s.ncr = c.RTORestart, ncr{on: c.NCR && s.sack}
	if s.undo.on != c.Undo {
		s.undo = undo{on: c.Undo, from: -1}
	}
	if s.timer == mono.Never && s.Flight() > 0 {
		s.timer = now.Add(s.RTO())
	}
}
