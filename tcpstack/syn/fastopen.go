package syn

import (
	"crypto/subtle"
	"encoding/binary"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// FastOpenTick is the life of a Fast Open secret. A cookie is good in the tick that it was made and the next: for
// at least 12 hours.
const FastOpenTick = 12 * time.Hour

// FastOpenLen is the length of our cookies in bytes, as Linux's.
const FastOpenLen = 8

// FastOpen makes the cookies that prove a client to be where its address says (RFC 7413 section 4.1.2): a MAC
// of the two addresses, so that none is kept. Two secrets are good at a time, so that one can be replaced while
// its cookies are in use.
type FastOpen struct {
	master Key
	secret [2]Key // of the current tick and of the one before, by tick parity
	tick   int64  // of the newest secret; 0: none yet
}

// NewFastOpen returns a maker and checker. All shards of a stack may hold the same key.
func NewFastOpen(k Key) *FastOpen { return &FastOpen{master: k.derive('f', 0)} }

func (o *FastOpen) rotate(now mono.Time) int64 {
	tick := int64(now/mono.Time(FastOpenTick)) + 1
	if tick != o.tick {
		o.tick = tick
		for t := tick - 1; t <= tick; t++ {
			o.secret[t&1] = o.master.derive('o', uint64(t))
		}
	}
	return tick
}

// Make is the cookie of now for the client of f, whatever its port.
func (o *FastOpen) Make(now mono.Time, f *wire.Flow) wire.FastOpen { return o.make(o.rotate(now), f) }

func (o *FastOpen) make(tick int64, f *wire.Flow) wire.FastOpen {
	var b [FastOpenLen]byte
	hosts := wire.Flow{Local: f.Local, Remote: f.Remote}
	binary.BigEndian.PutUint64(b[:], hashFlow(&o.secret[tick&1], &hosts))
	return wire.NewFastOpen(b[:])
}

// Check reports whether cookie is one of ours and still good, and whether it will not be for long: then the
// client is given a new one.
func (o *FastOpen) Check(now mono.Time, f *wire.Flow, cookie []byte) (ok, old bool) {
	tick := o.rotate(now)
	is := func(tick int64) bool {
		want := o.make(tick, f)
		return subtle.ConstantTimeCompare(want.Cookie(), cookie) == 1
	}
	if is(tick) {
		return true, false
	}
	return is(tick - 1), true
}
