package origin

import (
	"net/netip"

	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// receiving is the receiving half of a connection. *tcpstack.Conn has all parts; the tests have an
// implementation in memory.
type receiving interface {
	Peek() []byte // first run of received bytes, writable: records are opened where they lie
	Read(p []byte) int
	Discard(n int)
	Readable() int
	EOF() bool
}

// sending is the sending half.
type sending interface {
	Append(s stream.Span)
	Room() int64 // 0: a writable event will follow
	SetNotsentLowat(n int64)
	Queued() int64 // bytes appended and not acknowledged
	CloseWrite()
}

// ending is the rest.
type ending interface {
	Close()
	Abort()
	SetTimer(at mono.Time)
	RemoteAddr() netip.AddrPort
}

// measured is what records are made to fit, and what is known of what became of them.
type measured interface {
	MSS() int
	MaxBurst() int
	Book() *ledger.Book
}

// conn is what a session needs of its connection. All of it is called on the shard.
type conn interface {
	receiving
	sending
	ending
	paced
	measured
}
