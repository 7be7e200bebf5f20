package recovery

// An ncr is TCP-NCR (RFC 4653) in its careful variant, for the base detector: DupThresh grows to what two
// thirds of a window make, so that segments which are late by up to about a round trip are not taken for
// lost. Meanwhile new data goes out at half the speed (Extended Limited Transmit), which keeps the ACKs
// coming.
//
// "TCP-NCR requires the use of the SACK option": without SACK it does nothing. RACK has a window in time
// for the same purpose and does not look at it.
//
// We deviate in two things. The bound of section 3.3 on what is sent is the congestion window, which output
// has, not FlightSizePrev: they differ when the window was not full, and then new data was not held back
// before the first SACK either. And the window is not cut when it ends (section 3.2, (T.1)): that is against
// a burst, and a burst is the pacer's to prevent.
type ncr struct {
	skipped int32  // Skipped: bytes that must be delivered before the next new byte may go
	thresh  uint16 // DupThresh; 0: it has not been raised
	on      bool
}

// extended reports whether this is Extended Limited Transmit: bytes were SACKed, and recovery has not begun.
func (s *Sender) extended() bool {
	return s.ncr.on && !s.rack.on && s.sackedBytes > 0 && s.state == Disorder
}

// raiseDupThresh is steps (I.3) and (E.6): "DupThresh = max (LT_F * (FlightSize / SMSS), 3)", with LT_F =
// 2/3. During recovery it stays as it was at the begin.
func (s *Sender) raiseDupThresh(o *Outcome) {
	if !s.ncr.on || s.state >= Recovery {
		return
	}
	s.ncr.thresh = uint16(min(max(s.Flight()*2/3/int64(s.mss), dupThresh), 1<<16-1))
	if o.Acked > 0 {
		s.ncr.skipped = 0 // section 3.2, and (I.2): what is left above Una is disorder of its own
	}
}

// threshold is DupThresh.
func (s *Sender) threshold() int {
	if s.ncr.on && s.ncr.thresh > dupThresh {
		return int(s.ncr.thresh)
	}
	return dupThresh
}

// skip is step (E.4): "the Skipped counter MUST be incremented by SMSS bytes to ensure that the next SMSS
// bytes of SACKed data processed does not trigger a Limited Transmit transmission".
func (s *Sender) skip(n int64) {
	if s.extended() {
		s.ncr.skipped = int32(min(int64(s.ncr.skipped)+n, 1<<31-1))
	}
}
