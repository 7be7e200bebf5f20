package ktls

import (
	"errors"
	"fmt"
)

// A Mode says who seals the records of a connection, and when. All modes put the same bytes on the wire.
type Mode uint8

const (
	// ModeOff sends plaintext: the pages themselves are queued.
	ModeOff Mode = iota
	// ModeUser copies and seals when plaintext is appended, as SSL_write does; the ciphertext is kept.
	ModeUser
	// ModeInline seals on the shard while bytes are gathered for transmission, and keeps no ciphertext.
	ModeInline
	// ModeNIC leaves the sealing to the network interface, and is ModeInline while that is of no use.
	ModeNIC
)

var modeNames = [...]string{"off", "user", "inline", "nic"}

func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// ParseMode is the inverse of String.
func ParseMode(s string) (Mode, error) {
	for m, name := range modeNames {
		if s == name {
			return Mode(m), nil
		}
	}
	return 0, fmt.Errorf("unknown TLS mode %q: use off, user, inline or nic", s)
}

var (
	// ErrClosed is returned for anything framed after close_notify or a fatal alert (RFC 8446, 6.1).
	ErrClosed = errors.New("ktls: the sending side is closed")
	// ErrNoNIC is returned for ModeNIC where the pool has no interface.
	ErrNoNIC = errors.New("ktls: mode nic needs an interface that seals, and this one does not: use inline")
	// ErrNoKeyUpdate is returned by KeyUpdate where the protocol has none: TLS 1.2 and ModeOff.
	ErrNoKeyUpdate = errors.New("ktls: this protocol version has no KeyUpdate")
	// ErrKeyWorn is returned when a TLS 1.2 key, which cannot be updated, has sealed all it safely can.
	ErrKeyWorn = errors.New("ktls: the TLS 1.2 key has reached its limit: close and reconnect")
)
