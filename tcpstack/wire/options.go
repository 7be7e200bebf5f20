package wire

import "encoding/binary"

// TCP option kinds (RFC 9293 section 3.1, RFC 7323, RFC 2018, RFC 7413).
const (
	optEnd           = 0
	optNOP           = 1
	optMSS           = 2
	optWScale        = 3
	optSACKPermitted = 4
	optSACK          = 5
	optTimestamps    = 8
	optFastOpen      = 34
	optExperiment    = 254 // RFC 6994: an ExID follows
)

const (
	maxOptionsLen = 40
	maxWScale     = 14

	// guardID is the ExID of connection cookies (RFC 6994 section 3): of 32 bits, since it is not registered.
	guardID  = 0x4f435432
	guardLen = 16 // with two NOPs in front

	// timestampsHead is how nearly every segment of a connection with timestamps begins its options:
	// NOP, NOP, timestamps, length 10 (RFC 7323 appendix A).
	timestampsHead = optNOP<<24 | optNOP<<16 | optTimestamps<<8 | 10
)

// parseOptions fills o from the options of a segment; what o holds already stays unless it occurs again.
//
// It accepts what Linux accepts: an option whose length is below 2 or runs past the header ends the walk,
// and the segment is kept with what was found before; a known option of the wrong length is skipped; of
// two of a kind the last counts. MSS, window scale and SACK-permitted count on SYN only (RFC 9293 section
// 3.7.1, RFC 7323 section 2.2, RFC 2018 section 2, RFC 7413 section 2), SACK on others only: a SYN acknowledges nothing yet.
func parseOptions(b []byte, syn bool, o *Options) {
	for len(b) > 0 {
		switch b[0] {
		case optEnd:
			return
		case optNOP:
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return
		}
		o.set(b[0], b[2:b[1]], syn)
		b = b[b[1]:]
	}
}

// set takes over one option with its value.
func (o *Options) set(kind uint8, v []byte, syn bool) {
	switch kind {
	case optSACK:
		if !syn && len(v) >= 8 && len(v)%8 == 0 {
			o.setSACK(v)
		}
	case optTimestamps:
		if len(v) == 8 {
			o.setTimestamps(v)
		}
	case optMSS:
		if syn && len(v) == 2 {
			o.MSS = binary.BigEndian.Uint16(v)
		}
	case optWScale:
		if syn && len(v) == 1 {
			// RFC 7323 section 2.3: a shift count above 14 is used as 14.
			o.WScale, o.HasWScale = min(v[0], maxWScale), true
		}
	case optSACKPermitted:
		if syn && len(v) == 0 {
			o.SACKPermitted = true
		}
	case optExperiment:
		if len(v) == 12 && binary.BigEndian.Uint32(v) == guardID {
			o.HasGuard, o.Guard = true, binary.BigEndian.Uint64(v[4:])
		}
	case optFastOpen:
		if syn {
			o.setFastOpen(v)
		}
	}
}

func (o *Options) setTimestamps(v []byte) {
	o.HasTS = true
	o.TSVal = binary.BigEndian.Uint32(v)
	o.TSEcr = binary.BigEndian.Uint32(v[4:])
}

// setFastOpen takes over a cookie of a length that there is (RFC 7413 section 4.1.1); any other is ignored.
// We deviate: the experimental kind 254 of before the RFC is not known.
func (o *Options) setFastOpen(v []byte) {
	if len(v) == 0 || len(v) >= 4 && len(v) <= MaxFastOpen && len(v)%2 == 0 {
		o.FastOpen = NewFastOpen(v)
	}
}

// setSACK takes over the blocks of a SACK option; 40 bytes of options cannot hold more than four.
func (o *Options) setSACK(v []byte) {
	n := min(len(v)/8, len(o.SACK))
	for i := range n {
		o.SACK[i].Left = Seq(binary.BigEndian.Uint32(v[i*8:]))
		o.SACK[i].Right = Seq(binary.BigEndian.Uint32(v[i*8+4:]))
	}
	o.NSACK = uint8(n)
}

// fixedLen is the length of all options but SACK, each padded to a multiple of 4 by its own: SACK-permitted
// takes the place of the two NOPs before timestamps when both are there.
func (o *Options) fixedLen() int {
	n := 0
	if o.MSS != 0 {
		n += 4
	}
	if o.HasTS {
		n += 12
	} else if o.SACKPermitted {
		n += 4
	}
	if o.HasWScale {
		n += 4
	}
	if o.FastOpen.Has {
		n += o.FastOpen.size()
	}
	if o.guardFits(n) {
		n += guardLen
	}
	return n
}

// sackFit is how many of the blocks there is room for: 4, or 3 beside timestamps (RFC 2018 section 3).
func (o *Options) sackFit(fixed int) int {
	return min(int(o.NSACK), len(o.SACK), (maxOptionsLen-fixed-4)/8)
}

func optionsLen(o *Options) int {
	n := o.fixedLen()
	if o.NSACK > 0 {
		n += 4 + 8*o.sackFit(n)
	}
	return n
}

// putOptions writes o into b and returns the length, a multiple of 4, in the order Linux uses. SACK blocks
// that do not fit are left off: the first are the most recent and matter most (RFC 2018 section 4).
func putOptions(b []byte, o *Options) int {
	n := 0
	if o.MSS != 0 {
		binary.BigEndian.PutUint32(b, optMSS<<24|4<<16|uint32(o.MSS))
		n = 4
	}
	n += putTimestamps(b[n:], o)
	if o.HasWScale {
		binary.BigEndian.PutUint32(b[n:], optNOP<<24|optWScale<<16|3<<8|uint32(o.WScale))
		n += 4
	}
	if o.FastOpen.Has {
		n += putFastOpen(b[n:], &o.FastOpen)
	}
	if o.guardFits(n) {
		n += putGuard(b[n:], o.Guard)
	}
	if o.NSACK > 0 {
		n += putSACK(b[n:], o, o.sackFit(n))
	}
	return n
}

// putTimestamps writes timestamps, SACK-permitted, or both.
func putTimestamps(b []byte, o *Options) int {
	const permitted = optSACKPermitted<<24 | 2<<16
	switch {
	case o.HasTS:
		head := uint32(timestampsHead)
		if o.SACKPermitted {
			head = permitted | head&0xffff
		}
		binary.BigEndian.PutUint32(b, head)
		binary.BigEndian.PutUint32(b[4:], o.TSVal)
		binary.BigEndian.PutUint32(b[8:], o.TSEcr)
		return 12
	case o.SACKPermitted:
		binary.BigEndian.PutUint32(b, optNOP<<24|optNOP<<16|permitted>>16)
		return 4
	}
	return 0
}

// guardFits reports whether a connection cookie goes behind n bytes of other options; beside a Fast Open cookie it
// may not, and is left off.
func (o *Options) guardFits(n int) bool { return o.HasGuard && n+guardLen <= maxOptionsLen }

// putGuard writes a connection cookie.
func putGuard(b []byte, cookie uint64) int {
	binary.BigEndian.PutUint32(b, optNOP<<24|optNOP<<16|optExperiment<<8|guardLen-2)
	binary.BigEndian.PutUint32(b[4:], guardID)
	binary.BigEndian.PutUint64(b[8:], cookie)
	return guardLen
}

// size is the option's length, padded.
func (f *FastOpen) size() int { return (2 + int(f.Len) + 3) &^ 3 }

// putFastOpen writes the cookie, or the request for one, padded with NOPs.
func putFastOpen(b []byte, f *FastOpen) int {
	n := f.size()
	b[0], b[1] = optFastOpen, 2+f.Len
	for i := 2 + copy(b[2:], f.Cookie()); i < n; i++ {
		b[i] = optNOP
	}
	return n
}

// putSACK writes the first n blocks.
func putSACK(b []byte, o *Options, n int) int {
	binary.BigEndian.PutUint32(b, optNOP<<24|optNOP<<16|optSACK<<8|uint32(2+8*n))
	for i, block := range o.SACK[:n] {
		binary.BigEndian.PutUint32(b[4+i*8:], uint32(block.Left))
		binary.BigEndian.PutUint32(b[8+i*8:], uint32(block.Right))
	}
	return 4 + 8*n
}
