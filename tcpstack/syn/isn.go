package syn

import (
	"encoding/binary"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

const (
	// isnTick is the period of the ISN clock (RFC 9293 section 3.4.1: "a 32-bit counter that increments
	// roughly every 4 microseconds").
	isnTick = 4 * time.Microsecond

	// TSTick is the period of the timestamp clock: within the 1 ms to 1 s of RFC 7323 section 5.4.
	TSTick = time.Millisecond
)

// A Generator chooses where the number spaces of a connection begin. All shards of a stack may hold the
// same key: a flow then has the same numbers whichever shard it falls to.
type Generator struct {
	isn, ts, guard Key
}

// NewGenerator returns a generator keyed by k.
func NewGenerator(k Key) *Generator {
	return &Generator{isn: k.derive('i', 0), ts: k.derive('t', 0), guard: k.derive('g', 0)}
}

// ISN is the initial sequence number of a connection opened now (RFC 6528 section 3):
//
//	ISN = M + F(localip, localport, remoteip, remoteport, secretkey)
//
// with M the 4 us clock. For one flow the numbers grow with time, so that an old segment of an earlier
// incarnation is recognised (TIME-WAIT may be cut short by a new SYN); across flows they tell nothing.
func (g *Generator) ISN(now mono.Time, f *wire.Flow) wire.Seq {
	return wire.Seq(uint32(now/mono.Time(isnTick)) + uint32(hashFlow(&g.isn, f)))
}

// Cohort is a keyed hash of the 4-tuple that tells nothing about the other two: the same for every connection
// of the flow.
func (g *Generator) Cohort(f *wire.Flow) uint32 { return uint32(hashFlow(&g.ts, f) >> 32) }

// TSOffset is what our timestamps of the flow start from (RFC 7323 section 5.4: a random offset keeps the
// uptime and the number of connections private). It depends on the two addresses alone: successive
// connections between two hosts, from whatever ports, then see one clock that only goes forward, which PAWS
// across connections and TIME-WAIT reuse (RFC 6191) need. A function of the flow, it is not stored in an
// Entry.
func (g *Generator) TSOffset(f *wire.Flow) uint32 {
	hosts := wire.Flow{Local: f.Local, Remote: f.Remote}
	return uint32(hashFlow(&g.ts, &hosts))
}

// Guard is the cookie that we give the peer of a connection with initial sequence number iss: nobody else can tell
// it, and it need not be remembered while the connection is half open.
func (g *Generator) Guard(f *wire.Flow, iss wire.Seq) uint64 {
	var b [flowLen + 4]byte
	putFlow(b[:], f)
	binary.BigEndian.PutUint32(b[flowLen:], uint32(iss))
	return sipHash(&g.guard, b[:])
}

// TSVal is the timestamp to send now on a connection with the given offset.
func TSVal(now mono.Time, offset uint32) uint32 {
	return uint32(now/mono.Time(TSTick)) + offset
}
