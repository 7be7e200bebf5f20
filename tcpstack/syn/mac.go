package syn

import (
	"encoding/binary"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// The inside of a cookie: secrets, MAC, and the rounding of options to its few bits.

// expecting reports whether a cookie may be outstanding. While no SYN has been turned away for two ticks every
// one is stale, so that guessing is refused without a look: it has a chance only during a flood.
func (c *Cookies) expecting(now mono.Time) bool {
	return c.made.IsSet() && now.Sub(c.made) < 2*CookieTick
}

// rotate makes sure of the secrets for now and returns the tick, which is never 0.
func (c *Cookies) rotate(now mono.Time) int64 {
	tick := int64(now/mono.Time(CookieTick)) + 1
	if tick == c.tick {
		return tick
	}
	c.tick = tick
	for t := tick - 1; t <= tick; t++ {
		c.secret[t&1] = c.master.derive('s', uint64(t))
	}
	return tick
}

// mask hides the option bits: without it a sequence number would tell what the peer's system is, and the tick.
func (c *Cookies) mask(f *wire.Flow, irs wire.Seq) uint8 {
	var b [flowLen + 4]byte
	putFlow(b[:], f)
	binary.BigEndian.PutUint32(b[flowLen:], uint32(irs))
	return uint8(sipHash(&c.hide, b[:]))
}

// seal makes the cookie: 24 bits of MAC and the masked data byte.
func (c *Cookies) seal(tick int64, f *wire.Flow, irs wire.Seq, w options, data uint8) wire.Seq {
	var b [flowLen + 8]byte
	putFlow(b[:], f)
	binary.BigEndian.PutUint32(b[flowLen:], uint32(irs))
	b[flowLen+4] = data
	b[flowLen+5] = w.scale
	b[flowLen+6] = flag(w.ts, 1) | flag(w.sack, 2) | flag(w.ecn, 4)
	mac := sipHash(&c.secret[tick&1], b[:])
	return wire.Seq(uint32(mac)<<8 | uint32(data^c.mask(f, irs)))
}

// open takes a cookie apart, without judging it: the only tick still valid that it can be of, what it says
// about the options together with those of the ACK, and its data byte.
func (c *Cookies) open(now mono.Time, f *wire.Flow, irs, iss wire.Seq, o *wire.Options) (int64, options, uint8) {
	data := uint8(iss) ^ c.mask(f, irs)
	w := options{
		mss:   data & 7,
		scale: cookieScale[data>>3&7],
		sack:  data&cookieSACKBit != 0,
		ts:    o.HasTS,
	}
	if w.ts {
		w.scale = uint8(o.TSEcr & tsScaleMask)
		w.sack = o.TSEcr&tsSACKBit != 0
		w.ecn = o.TSEcr&tsECNBit != 0
	}
	tick := c.rotate(now)
	if uint8(tick&1) != data>>7 {
		tick-- // made in the tick before, or forged
	}
	return tick, w, data
}

// tsVal is the timestamp of now with the options in its low bits, moved back where it would lie in the future:
// the timestamps that follow must not be smaller (RFC 7323 section 4.3).
func (c *Cookies) tsVal(now mono.Time, f *wire.Flow, w options) uint32 {
	t := TSVal(now, c.ts.TSOffset(f))
	v := t&^tsBits | uint32(w.scale) | uint32(flag(w.sack, tsSACKBit)) | uint32(flag(w.ecn, tsECNBit))
	if int32(v-t) > 0 {
		v -= tsBits + 1
	}
	return v
}

// mssIndex returns the place in cookieMSS of the largest size not above mss.
func mssIndex(mss uint16, is4 bool) uint8 {
	if mss == 0 { // RFC 9293 section 3.7.1: the default where the option is absent
		mss = 1220
		if is4 {
			mss = 536
		}
	}
	i := len(cookieMSS) - 1
	for i > 0 && cookieMSS[i] > mss {
		i--
	}
	return uint8(i)
}

// scaleIndex returns the place in cookieScale of the largest shift not above scale. Believing in a smaller
// shift than the peer's makes its window look smaller, which is always allowed.
func scaleIndex(scale uint8) uint8 {
	if scale == noScale {
		return 0
	}
	i := len(cookieScale) - 1
	for i > 1 && cookieScale[i] > scale {
		i--
	}
	return uint8(i)
}
