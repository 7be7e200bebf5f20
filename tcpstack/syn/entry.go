package syn

import (
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// An Entry is a half-open connection: what a SYN told us and what our SYN-ACK answered.
type Entry struct {
	Flow wire.Flow
	IRS  wire.Seq // the peer's initial sequence number
	ISS  wire.Seq // ours

	MSS       uint16 // what the peer announced; 0: it did not (RFC 9293 section 3.7.1: assume 536, or 1220 on IPv6)
	WScale    uint8  // shift of the peer's windows, valid if HasWScale
	HasWScale bool   // the peer offered window scaling, so both directions use it
	SACK      bool   // the peer takes SACK
	TS        bool   // the peer offered timestamps, so both directions use them
	TSRecent  uint32 // TS: the peer's last TSVal, to be echoed
	FastOpen  bool   // the SYN-ACK gives a Fast Open cookie (RFC 7413 section 4.1.2)
	ECN       bool   // both ends agreed on ECN (RFC 3168 section 6.1.1)

	// Sent is when the SYN-ACK was sent last, to the microsecond; Retries how often it was sent again. Only
	// with Retries == 0 does it give an RTT (Karn's rule, RFC 6298 section 3). Sent is 0 in an entry that
	// comes from a cookie: nobody remembered.
	Sent    mono.Time
	Retries uint8
	Again   bool // it was sent again because the SYN came again: no RTT either
}

// NewEntry returns the half-open connection that the SYN s of flow f asks for, answered with iss.
func NewEntry(f wire.Flow, s *wire.Segment, iss wire.Seq) Entry {
	o := &s.Options
	e := Entry{Flow: f, IRS: s.Seq, ISS: iss, MSS: o.MSS, SACK: o.SACKPermitted, TS: o.HasTS, TSRecent: o.TSVal}
	if o.HasWScale {
		// RFC 7323 section 2.3: a shift above 14 must be used as 14.
		e.WScale, e.HasWScale = min(o.WScale, 14), true
	}
	return e
}
