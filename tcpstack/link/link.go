// Package link is the boundary between the stack and a network interface.
//
//  1. [Device.Receive] fills frames from one queue of the interface, without blocking.
//  2. The shard handles them and builds frames to send: header bytes and gathered pieces.
//  3. [Device.Transmit] takes as many as there is room for; the rest stay the shard's, in order.
//  4. [Device.Wait] blocks until there is something to receive, room to transmit, a wake-up or a deadline.
//
// A device is one queue and is driven by one goroutine; only Wake may be called from others.
package link

import (
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
)

// Medium says what a frame begins with.
type Medium uint8

const (
	MediumIP       Medium = iota // an IPv4 or IPv6 header
	MediumEthernet               // an Ethernet header
)

// Caps are the powers of a device. The zero value is a plain IP interface without offloads.
type Caps struct {
	MTU    int    // largest IP packet on the link, bytes
	Medium Medium // what a frame begins with

	TxChecksum bool // fills in the transport checksum of a CsumPartial frame
	RxChecksum bool // delivers CsumValid or CsumPartial frames
	TSO4, TSO6 bool // segments frames with GSO > 0
	MaxGSO     int  // largest frame with GSO, headers included, bytes; 0: MTU

	// TxCopies says that a frame's memory is no longer needed once Transmit has returned (the device copied
	// it). Otherwise the device is a Completer.
	TxCopies bool

	TLS bool // makes the records that Frame.Seal says, and seals them

	RateLimit bool // spreads the segments of a frame at Frame.Rate
}

// Csum is the state of a frame's transport checksum.
type Csum uint8

const (
	CsumComplete Csum = iota // the field holds the whole checksum; on receive nobody has verified it yet
	CsumValid                // receive only: the device or a trusted peer vouches for it
	CsumPartial              // the field holds the pseudo-header sum; the rest is to be added from CsumStart
)

// A Frame is one packet, or one superframe of GSO-sized segments.
//
// Received: Data is the whole frame, the device's memory, valid until the next Receive. Transmitted: Data
// is the headers and Pieces the payload behind them; both are the shard's and unchanged until accepted.
type Frame struct {
	Data   []byte
	Pieces [][]byte
	Time   mono.Time // received: when it was taken off the ring

	GSO        uint16 // payload bytes per segment; 0: one segment
	Csum       Csum
	CsumStart  uint16 // CsumPartial: offset in the frame where summing starts
	CsumOffset uint16 // CsumPartial: offset of the field from CsumStart

	// Rate is the bytes of payload per second at which the device spreads the frame's segments, the first at once;
	// 0: all at once. Frames of one Flow leave in order, each when those before it are through; a frame without
	// a Flow waits for nobody, and its Rate means nothing. Caps.RateLimit says whether the device knows them.
	Rate uint64
	Flow uint32

	// Seal names the records that the device must make and seal, in order; together they are all of the payload, of
	// which Pieces then has only the plaintext, or there are none. A device without Caps.TLS is never given any.
	Seal []stream.Sealing
	// Book is the ledger of the connection whose payload this is, for what the device books when it takes
	// the frame; nil: none. A Completer books all of the payload as Fetched, MadeNIC or LinkDropped; what other
	// devices take the shard books as LinkCopied. Only the shard's goroutine touches it.
	Book *ledger.Book
}

// Payload is the number of bytes behind Data, as they are on the wire: those of Pieces, or of the records that the device
// makes of them.
func (f *Frame) Payload() (n int) {
	if len(f.Seal) == 0 {
		return f.Len() - len(f.Data)
	}
	for i := range f.Seal {
		n += max(f.Seal[i].Size(), 0) // below zero: no run at all, which the device refuses
	}
	return n
}

// Len is the length of the frame with its pieces, in bytes, without what a device makes for Seal.
func (f *Frame) Len() int {
	n := len(f.Data)
	for _, p := range f.Pieces {
		n += len(p)
	}
	return n
}

// A Device is one queue of a network interface.
type Device interface {
	Caps() Caps
	// Receive fills frames and returns how many; 0 means nothing is waiting. An error is final: the
	// interface is gone.
	Receive(frames []Frame) (int, error)
	// Transmit sends frames in order and returns how many were taken; fewer than asked means that the
	// ring is full. An error is final.
	Transmit(frames []Frame) (int, error)
	// Wait blocks until a frame may be received, room has come up after a short Transmit, Wake was
	// called, or the deadline has passed.
	Wait(until mono.Time) error
	// Wake makes the current or the next Wait return. It may be called from any goroutine.
	Wake()
}

// A Completer is a device that goes on reading the memory of a frame after Transmit has taken it: headers, the
// bytes of pieces, and the records to be sealed. The slices Pieces and Seal themselves are the shard's again.
type Completer interface {
	Device
	// Completed is how many of the frames taken since the start the device is done with: they complete in
	// the order in which they were taken. Wait need not return when it moves. After Close all that will
	// ever complete has.
	Completed() uint64
}

// A RateLimiter is a device with Caps.RateLimit, of which that can be switched off.
type RateLimiter interface {
	Device
	// RateLimits reports whether Frame.Rate is kept to now.
	RateLimits() bool
}

// An Interface is a set of queues that share an address. Closing it ends every device's Wait.
type Interface interface {
	Name() string
	Queues() []Device
	Close() error
}
