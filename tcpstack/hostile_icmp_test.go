package tcpstack

import (
	"testing"
)

// Forged "packet too big" messages that guess a sequence number in flight (RFC 5927 section 7), one for each byte between
// 1500 and the floor: each that is believed has what is in flight sent again, so that only a few are.
func TestTooBigFlood(t *testing.T) {
	p := attacked(t, Config{}, wide(), 1<<20)
	p.grow(100 << 10)
	c := p.host.c
	flight, before := c.rec.Flight(), p.bill()
	for mtu := uint32(1499); mtu > 100; mtu-- {
		p.icmp(3, 4, mtu, p.quote(1+c.rec.Una(), 1460))
		p.skip()
		if err := checkInvariants(c); err != nil {
			t.Fatalf("MTU %d: %v", mtu, err)
		}
	}
	cost := p.bill().since(before)
	if n := p.s.stats.PathMTUReduced; n == 0 || n > 13 {
		t.Errorf("the path's MTU was reduced %d times", n)
	}
	if cost.bytes > 14*uint64(flight) {
		t.Errorf("it drew %d bytes with %d in flight", cost.bytes, flight)
	}
	if c.snd.pmtu != minPMTU4 {
		t.Errorf("an MTU of %d", c.snd.pmtu)
	}
}

// Every ICMP error there is, about the connection and about nothing, leaves it established and draws nothing
// (RFC 5927 section 5.2: hard errors are soft; RFC 6633: source quench is ignored; RFC 1122 section 3.2.2: an error is never
// answered by an error).
func TestICMPFlood(t *testing.T) {
	p := attacked(t, Config{}, wide(), 10_000)
	c := p.host.c
	window, before := c.cc.Window(), p.bill()
	for typ := range 256 {
		for code := range 32 {
			if typ == 8 || typ == 3 && code == 4 { // ping, and what the test above is about
				continue
			}
			p.icmp(uint8(typ), uint8(code), 0, p.quote(1, 1460))
			p.icmp(uint8(typ), uint8(code), 0xffffffff, p.quote(1<<30, 1460)[:20])
		}
	}
	if cost := p.bill().since(before); cost.said > 0 || len(p.dev.out) > 0 {
		t.Errorf("it drew %+v and %d packets", cost, len(p.dev.out))
	}
	if c.cc.Window() != window || c.MSS() != 1460 {
		t.Errorf("window %d, MSS %d", c.cc.Window(), c.MSS())
	}
	p.wantState(StateEstablished)
}

// Pings are answered a thousand times in a second at most (RFC 1122 section 3.2.2.6), whoever asks.
func TestPingFlood(t *testing.T) {
	p := attacked(t, Config{}, wide(), 0)
	answers := 0
	for range 5000 {
		p.icmp(8, 0, 1<<16|7, make([]byte, 56))
		answers += len(p.dev.out)
		p.skip()
	}
	if answers == 0 || answers > 2100 {
		t.Errorf("%d answers to 5000 pings in an instant", answers)
	}
}
