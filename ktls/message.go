package ktls

// The final errors of an Opener. They are values, so that hostile input costs no allocation.
var (
	errTooLong     = &AlertError{Alert: AlertRecordOverflow, Reason: "record too long"}
	errPlainType   = &AlertError{Alert: AlertUnexpectedMessage, Reason: "unprotected record after the handshake"}
	errVersion     = &AlertError{Alert: AlertProtocolVersion, Reason: "record of another protocol version"}
	errBadMAC      = &AlertError{Alert: AlertBadRecordMAC, Reason: "record does not authenticate"}
	errNoInnerType = &AlertError{Alert: AlertUnexpectedMessage, Reason: "record without content type"}
	errInnerType   = &AlertError{Alert: AlertUnexpectedMessage, Reason: "unknown content type"}
	errInterleaved = &AlertError{Alert: AlertUnexpectedMessage, Reason: "record inside a handshake message"}
	errUseless     = &AlertError{Alert: AlertUnexpectedMessage, Reason: "too many records without data"}
	errAlertLength = &AlertError{Alert: AlertDecodeError, Reason: "alert of wrong length"}
	errEmpty       = &AlertError{Alert: AlertUnexpectedMessage, Reason: "empty handshake record"}
	errMessage     = &AlertError{Alert: AlertUnexpectedMessage, Reason: "unexpected handshake message"}
	errKeyUpdate   = &AlertError{Alert: AlertDecodeError, Reason: "KeyUpdate of wrong length"}
	errRequest     = &AlertError{Alert: AlertIllegalParameter, Reason: "KeyUpdate with unknown request"}
	errBoundary    = &AlertError{Alert: AlertUnexpectedMessage, Reason: "KeyUpdate does not end its record"}
	errKeys        = &AlertError{Alert: AlertInternalError, Reason: "cannot derive the next key"}
)

// messages assembles handshake messages that arrive after the handshake. It keeps at most one KeyUpdate:
// everything longer is refused, or skipped unread.
type messages struct {
	buf  [5]byte
	n    int // bytes of the current message in buf
	skip int // bytes of a refused message still to come (TLS 1.2)
}

func (m *messages) partial() bool { return m.n > 0 || m.skip > 0 }

const (
	messageHelloRequest = 0
	messageClientHello  = 1
	messageHeader       = 4
)

func (o *Opener) handshake(b []byte) (Event, error) {
	if len(b) == 0 {
		return EventNone, errEmpty // RFC 8446, 5.1: "MUST NOT send zero-length fragments of Handshake types"
	}
	if err := o.countUseless(); err != nil {
		return EventNone, err
	}
	if o.r.version == TLS12 {
		return o.renegotiation(b)
	}
	return o.keyUpdate(b)
}

// keyUpdate takes a fragment of a KeyUpdate, the only message a TLS 1.3 client may send after its Finished
// (RFC 8446, 4.6; post-handshake authentication is never offered).
func (o *Opener) keyUpdate(b []byte) (Event, error) {
	m := &o.msg
	c := copy(m.buf[m.n:], b)
	m.n += c
	if m.buf[0] != messageKeyUpdate {
		return EventNone, errMessage
	}
	if m.n >= messageHeader && (m.buf[1] != 0 || m.buf[2] != 0 || m.buf[3] != 1) {
		return EventNone, errKeyUpdate
	}
	if m.n < len(m.buf) {
		return EventNone, nil
	}
	// RFC 8446, 5.1: "Handshake messages MUST NOT span key changes": the rest of this record would.
	if c < len(b) {
		return EventNone, errBoundary
	}
	request := m.buf[4]
	if request > 1 {
		return EventNone, errRequest // RFC 8446, 4.6.3: illegal_parameter
	}
	m.n = 0
	if o.r.update() != nil {
		return EventNone, errKeys
	}
	if request == 1 {
		return EventKeyUpdateRequested, nil
	}
	return EventKeyUpdate, nil
}

// renegotiation refuses each ClientHello (or HelloRequest) of a TLS 1.2 peer with a warning (RFC 5246,
// 7.2.2) and skips its body unread.
func (o *Opener) renegotiation(b []byte) (ev Event, err error) {
	m := &o.msg
	for len(b) > 0 {
		if m.skip > 0 {
			c := min(m.skip, len(b))
			m.skip, b = m.skip-c, b[c:]
			continue
		}
		c := copy(m.buf[m.n:messageHeader], b)
		m.n, b = m.n+c, b[c:]
		if m.buf[0] != messageHelloRequest && m.buf[0] != messageClientHello {
			return EventNone, errMessage
		}
		if m.n == messageHeader {
			m.skip = int(m.buf[1])<<16 | int(m.buf[2])<<8 | int(m.buf[3])
			m.n = 0
			ev = EventRenegotiate
		}
	}
	return ev, nil
}
