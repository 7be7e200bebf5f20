package fault

import "ocaserve/tcpstack/wire"

// flip inverts one random bit of p that a checksum covers, and reports whether p has any. Flipping what
// nothing covers (an IPv6 hop limit, a payload without checksum) would not test the receiver: it could
// not know. One flipped bit changes a one's complement sum by 2^k modulo 2^16-1, never by 0, so that
// every flip made here is caught by a receiver that looks.
func (l *line) flip(p []byte) bool {
	from, to := covered(p)
	if from >= to {
		return false
	}
	bit := l.rnd.IntN((to - from) * 8)
	p[from+bit/8] ^= 1 << (bit % 8)
	return true
}

// covered returns the range of p in which checksums catch every single flipped bit.
func covered(p []byte) (from, to int) {
	if len(p) == 0 {
		return 0, 0
	}
	switch {
	case p[0]>>4 == 4 && len(p) >= 20:
		// The header has a checksum of its own (RFC 791 section 3.1).
		header := min(int(p[0]&15)*4, len(p))
		if p[9] != wire.ProtoTCP && p[9] != wire.ProtoICMP {
			return 0, header // UDP: a checksum flipped to 0 would mean "none" (RFC 768)
		}
		return 0, len(p)
	case p[0]>>4 == 6 && len(p) >= 40:
		// The header has none; the pseudo-header covers the addresses (RFC 8200 section 8.1).
		if p[6] != wire.ProtoTCP && p[6] != wire.ProtoICMPv6 {
			return 0, 0
		}
		return 8, len(p)
	}
	return 0, 0
}
