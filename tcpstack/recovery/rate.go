package recovery

import "time"

// A Rate is a sample of the delivery rate (draft-ietf-ccwg-bbr section 4.1): what arrived over the flight of
// the newest segment that an ACK covers.
type Rate struct {
	Delivered      int64         // C.delivered: bytes delivered in the connection's life
	PriorDelivered int64         // C.delivered when that segment was sent
	Interval       time.Duration // what Delivered-PriorDelivered took; 0: no sample
	TxInFlight     int64         // in flight when that segment had been sent, with it
	Lost           int64         // bytes judged lost between its transmission and now
	AppLimited     bool          // the sender had nothing to send for a part of it: the rate is a lower bound
}
