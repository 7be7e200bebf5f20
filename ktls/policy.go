package ktls

import (
	"time"

	"ocaserve/tcpstack/mono"
)

// A RecordPolicy chooses how much plaintext goes into a record. Small records at the start let a client use
// the first segment without waiting for the rest of 16 KiB; large ones cost the least once data flows.
// The zero value means DefaultPolicy.
type RecordPolicy struct {
	Small      int           // plaintext bytes of an early record: record and TCP options fit one segment
	SmallBytes int64         // plaintext bytes sent in small records before large ones begin; negative: none
	Large      int           // plaintext bytes of a record in full flow, at most 16384
	Idle       time.Duration // silence after which a connection starts small again
}

// DefaultPolicy: 1369 bytes and 22 of overhead (29 in TLS 1.2) fit a segment of a 1500-byte path with room
// for IPv6 and timestamps; 64 KiB is roughly what IW10 and its first ACKs carry.
var DefaultPolicy = RecordPolicy{Small: 1369, SmallBytes: 64 << 10, Large: maxPlaintext, Idle: time.Second}

// withDefaults fills zero fields and bounds the sizes.
func (p RecordPolicy) withDefaults() RecordPolicy {
	d := DefaultPolicy
	if p.Small <= 0 {
		p.Small = d.Small
	}
	if p.SmallBytes == 0 {
		p.SmallBytes = d.SmallBytes
	}
	if p.Large <= 0 {
		p.Large = d.Large
	}
	if p.Idle <= 0 {
		p.Idle = d.Idle
	}
	p.Small, p.Large = min(p.Small, maxPlaintext), min(p.Large, maxPlaintext)
	return p
}

// A ramp applies a policy to one connection.
type ramp struct {
	policy RecordPolicy
	sent   int64     // plaintext bytes framed since the start, or since the last silence
	last   mono.Time // when the connection was last active; zero: never told
}

// touch notes activity at now, and starts over after a silence.
func (r *ramp) touch(now mono.Time) {
	if r.last.IsSet() && now.Sub(r.last) > r.policy.Idle {
		r.sent = 0
	}
	r.last = now
}

// next is the plaintext length of the next record when n bytes are waiting, and counts it.
func (r *ramp) next(n int) int {
	size := r.policy.Large
	if r.sent < r.policy.SmallBytes {
		size = r.policy.Small
	}
	size = min(size, n)
	r.sent += int64(size)
	return size
}
