package ktls

import "fmt"

// An Alert is a TLS alert description (RFC 8446, 6; RFC 5246, 7.2).
type Alert uint8

const (
	AlertCloseNotify       Alert = 0
	AlertUnexpectedMessage Alert = 10
	AlertBadRecordMAC      Alert = 20
	AlertRecordOverflow    Alert = 22
	AlertHandshakeFailure  Alert = 40
	AlertIllegalParameter  Alert = 47
	AlertDecodeError       Alert = 50
	AlertProtocolVersion   Alert = 70
	AlertInternalError     Alert = 80
	AlertUserCanceled      Alert = 90
	AlertNoRenegotiation   Alert = 100
)

const (
	levelWarning = 1
	levelFatal   = 2
)

var alertNames = map[Alert]string{
	AlertCloseNotify:       "close_notify",
	AlertUnexpectedMessage: "unexpected_message",
	AlertBadRecordMAC:      "bad_record_mac",
	AlertRecordOverflow:    "record_overflow",
	AlertHandshakeFailure:  "handshake_failure",
	AlertIllegalParameter:  "illegal_parameter",
	AlertDecodeError:       "decode_error",
	AlertProtocolVersion:   "protocol_version",
	AlertInternalError:     "internal_error",
	AlertUserCanceled:      "user_canceled",
	AlertNoRenegotiation:   "no_renegotiation",
}

func (a Alert) String() string {
	if s, ok := alertNames[a]; ok {
		return s
	}
	return fmt.Sprintf("alert(%d)", uint8(a))
}

// level is the level byte that a travels with. TLS 1.3 receivers ignore it (RFC 8446, 6); TLS 1.2 receivers
// do not, and there no_renegotiation is a warning (RFC 5246, 7.2.2).
func (a Alert) level() byte {
	switch a {
	case AlertCloseNotify, AlertUserCanceled, AlertNoRenegotiation:
		return levelWarning
	}
	return levelFatal
}

// An AlertError ends a connection. If it is ours (not Remote), the caller sends Alert with Framer.Alert,
// half-closes and drains: closing with unread data would turn into an RST that overtakes the alert.
type AlertError struct {
	Alert  Alert
	Remote bool   // the peer sent it: nothing is sent back
	Reason string // for the log; empty when Remote
}

func (e *AlertError) Error() string {
	if e.Remote {
		return "tls: peer sent " + e.Alert.String()
	}
	return "tls: " + e.Alert.String() + ": " + e.Reason
}
