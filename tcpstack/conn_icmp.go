package tcpstack

import (
	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// Floors of the path MTU: no router asks for less in good faith. RFC 8200 section 5 guarantees 1280; for
// IPv4 the floor is Linux's default (552), above the RFC 791 minimum, so that forged errors cost little.
const (
	minPMTU4 = 552
	minPMTU6 = 1280
)

// inputICMP takes an ICMP error about c, whose quoted sequence number was found to be in flight.
func (c *Conn) inputICMP(now mono.Time, m *wire.ICMP) {
	if m.Kind == wire.ICMPTooBig {
		c.pathTooSmall(now, m)
		return
	}
	// RFC 1122 section 4.2.3.9 and RFC 5461: hard errors abort a connection that is being opened; on an
	// established one they are treated as soft, since they are easily forged (RFC 5927 section 5.2).
	if m.Hard && c.state == StateSynSent {
		c.finish(ErrRefused)
	}
}

// pathTooSmall lowers the path MTU (RFC 1191, RFC 8201) and sends what is in flight again in smaller
// segments. It is no sign of congestion (RFC 8201 section 5.4): the congestion window stays.
func (c *Conn) pathTooSmall(now mono.Time, m *wire.ICMP) {
	floor := minPMTU6
	if c.flow.Local.Is4() {
		floor = minPMTU4
	}
	mtu := int(m.MTU)
	if mtu == 0 { // an old router: it says only that this was too much (RFC 1191 section 5)
		mtu = min(m.QuotedLen, c.snd.pmtu) * 3 / 4
	}
	if mtu < floor && !c.flow.Local.Is4() {
		return // RFC 8201 section 4: "a node MUST NOT reduce its estimate [...] below the IPv6 minimum link MTU"
	}
	if c.snd.pmtu < c.shard.batch.caps.MTU && mtu < c.snd.pmtu {
		mtu = mtuPlateau(mtu)
	}
	mtu = max(mtu, floor)
	if mtu >= c.snd.pmtu {
		if c.mtu.n != 0 && mtu < int(c.mtu.size) { // a router answers our probe: its loss says the rest
			c.mtu.high, c.mtu.tries = uint16(mtu), mtuTries-1
		}
		return
	}
	c.shard.stats.PathMTUReduced++
	c.snd.pmtu = mtu
	c.mtuTold(now)
	c.setMSS()
	if c.state.synchronized() {
		c.rec.MarkAllLost(now)
		c.syncRetransmitTimer()
		c.wantOutput()
	}
}

// mtuPlateau is the largest usual size up to mtu. From the second error on we go by those: a path narrows once or
// twice, and each message has everything in flight sent again. One forged for every byte between Ethernet and the
// floor (RFC 5927 section 7) would have it sent a thousand times; so it is a dozen.
func mtuPlateau(mtu int) int {
	at := 0
	for _, size := range mtuSizes {
		if size <= mtu {
			at = size
		}
	}
	return at
}

// setMSS computes the payload of a full segment: what the peer announced and the path carries, less the
// options in every segment (RFC 9293 section 3.7.1, RFC 6691).
func (c *Conn) setMSS() {
	ip := 40
	if c.flow.Local.Is4() {
		ip = 20
	}
	mss := min(c.opt.peerMSS, c.snd.pmtu-ip-20)
	if c.opt.timestamps {
		mss -= 12
	}
	c.snd.mss = max(mss, minMSS)
	c.rec.SetMSS(c.snd.mss)
	if h, ok := c.cc.(congestion.MSSSetter); ok {
		h.SetMSS(c.snd.mss)
	}
}

// minMSS bounds the overhead that a peer can impose by announcing a tiny MSS (CVE-2019-11479).
const minMSS = 48
