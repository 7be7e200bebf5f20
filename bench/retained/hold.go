package main

import (
	"errors"
	"slices"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// A holder is the clients' end of the cable. What clients send takes a while to pass; once frozen, what is nothing but an
// ACK does not pass at all.
type holder struct {
	link.Device
	clock  func() mono.Time
	frozen bool
	frames []held // in order; made once, so that the heap is the same in all states
	at     int    // the next one that goes on
	lost   error
}

// A held is a frame.
type held struct {
	head              [80]byte
	long              []byte // all of it, if it does not fit
	n                 uint8
	csum              link.Csum
	csumStart, offset uint16
	gso               uint16
	due               mono.Time
}

// maxHeld is how many frames there is room for, of all connections in a round trip.
const maxHeld = 1 << 19

func newHolder(d link.Device, clock func() mono.Time) *holder {
	return &holder{Device: d, clock: clock, frames: make([]held, 0, maxHeld)}
}

var errHeld = errors.New("more ACKs in a round trip than there is room for: use fewer connections")

// Receive implements link.Device.
func (h *holder) Receive(frames []link.Frame) (int, error) {
	if h.lost != nil {
		return 0, h.lost
	}
	if err := h.goOn(); err != nil {
		return 0, err
	}
	return h.Device.Receive(frames)
}

// Transmit implements link.Device.
func (h *holder) Transmit(frames []link.Frame) (int, error) {
	for i := range frames {
		h.hold(&frames[i])
	}
	return len(frames), nil
}

func (h *holder) hold(f *link.Frame) {
	if len(h.frames) == cap(h.frames) {
		h.lost = errHeld
		return
	}
	a := held{due: h.clock().Add(roundTrip), csum: f.Csum, csumStart: f.CsumStart, offset: f.CsumOffset, gso: f.GSO}
	if h.frozen && onlyACK(f) {
		a.due = mono.Never
	}
	if f.Len() <= len(a.head) {
		a.n = uint8(copy(a.head[:], slices.Concat(f.Data, slices.Concat(f.Pieces...))))
	} else {
		a.long = slices.Concat(f.Data, slices.Concat(f.Pieces...))
	}
	h.frames = append(h.frames, a)
}

// onlyACK reports whether a frame is an ACK without anything else: IPv4 and TCP headers and no SYN, FIN or RST.
func onlyACK(f *link.Frame) bool {
	tcp := f.Data[int(f.Data[0]&15)*4:]
	header := int(tcp[12]>>4) * 4
	return len(f.Pieces) == 0 && len(tcp) == header && wire.Flags(tcp[13])&(wire.SYN|wire.FIN|wire.RST) == 0
}

// goOn hands on the frames that are due, as the cable has room.
func (h *holder) goOn() error {
	for ; h.next() <= h.clock(); h.at++ { // the clock is never at Never
		a := &h.frames[h.at]
		data := a.long
		if data == nil {
			data = a.head[:a.n]
		}
		f := [1]link.Frame{{Data: data, Csum: a.csum, CsumStart: a.csumStart, CsumOffset: a.offset, GSO: a.gso}}
		if n, err := h.Device.Transmit(f[:]); n == 0 {
			return err
		}
	}
	if h.at > len(h.frames)/2 {
		rest := copy(h.frames, h.frames[h.at:])
		clear(h.frames[rest:])
		h.frames, h.at = h.frames[:rest], 0
	}
	return nil
}

// next is when a frame is due.
func (h *holder) next() mono.Time {
	if h.at == len(h.frames) || h.frames[h.at].due == mono.Never {
		return mono.Never
	}
	return h.frames[h.at].due
}

// waiting is how many frames are held.
func (h *holder) waiting() uint64 { return uint64(len(h.frames) - h.at) }
