package tcpstack

import (
	"testing"

	"ocaserve/tcpstack/wire"
)

// wide is a modern peer with a window of 8 MiB.
func wide() wire.Options {
	o := synOptions()
	o.WScale = 7
	return o
}

// CVE-2019-11477 and 11478 in kind: an ACK's blocks cut the scoreboard where no segment ends, again and again. An honest
// receiver cannot have more blocks than there are segments in flight (RFC 2018 section 4), and that bounds the entries;
// each ACK gets an answer of at most one frame beyond what it acknowledges.
func TestSACKFlood(t *testing.T) {
	for _, c := range []struct {
		name       string
		step, size int64 // blocks of size bytes, step bytes apart
	}{
		{"every second byte", 2, 1},
		{"a byte of each segment", 1460, 1},
		{"half of each segment", 1460, 730},
		{"all but a byte", 3, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := attacked(t, Config{}, wide(), 4<<20)
			p.grow(256 << 10)
			conn := p.host.c
			una, next := conn.rec.Una(), conn.rec.Next()
			before := p.bill()
			for n := range int64(3000) {
				g := sg{flags: wire.ACK, seq: 1, ack: 1 + una}
				for i := range int64(4) {
					at := una + 1 + (n*4+i)*c.step%(next-una-c.size-1)
					g.opt.SACK[i] = wire.SACKBlock{Left: conn.snd.seqOf(at), Right: conn.snd.seqOf(at + c.size)}
				}
				g.opt.NSACK = 4
				p.attack(g)
				if segments := int(conn.rec.Flight()) / conn.snd.mss; conn.rec.Entries() > segments+64+8 {
					t.Fatalf("%d entries for %d segments in flight", conn.rec.Entries(), segments)
				}
			}
			cost := p.bill().since(before)
			if limit := uint64(next-una) + 3000*uint64(conn.snd.mss); cost.bytes > limit {
				t.Errorf("3000 ACKs drew %d bytes", cost.bytes)
			}
			if m := footprint(conn); m > 32<<10 {
				t.Errorf("the attack holds %d bytes", m)
			}
		})
	}
}

// The same blocks again are no news: nothing is sent for them, and nothing grows.
func TestSACKRepeated(t *testing.T) {
	p := attacked(t, Config{}, wide(), 1<<20)
	p.grow(64 << 10)
	c := p.host.c
	una := c.rec.Una()
	g := sg{flags: wire.ACK, seq: 1, ack: 1 + una, opt: p.sack(una+1461, una+2921)}
	for range 10 { // what it may draw, it draws now
		p.attack(g)
	}
	before, entries, window := p.bill(), c.rec.Entries(), c.cc.Window()
	for range 1000 {
		p.attack(g)
	}
	if cost := p.bill().since(before); cost.said > 0 || c.rec.Entries() > entries || c.cc.Window() > window {
		t.Errorf("a thousand copies drew %+v, %d entries after %d, a window of %d after %d", cost, c.rec.Entries(), entries, c.cc.Window(), window)
	}
}

// RFC 2883 section 5 lets D-SACKs change what the sender believes of the path. Made up by the thousand they may cost the
// liar its own goodput, but the window does not grow and nothing is sent for them.
func TestDSACKFlood(t *testing.T) {
	p := attacked(t, Config{}, wide(), 1<<20)
	p.grow(64 << 10)
	c := p.host.c
	una, window, before := c.rec.Una(), c.cc.Window(), p.bill()
	for n := range int64(1000) {
		from := max(0, una-1460*(n%20+1))
		p.attack(sg{flags: wire.ACK, seq: 1, ack: 1 + una, opt: p.sack(1+from, 1+from+1460)})
	}
	if cost := p.bill().since(before); cost.said > 0 || c.cc.Window() > window {
		t.Errorf("it cost %+v, the window went from %d to %d", cost, window, c.cc.Window())
	}
}

// CVE-2019-11479: a tiny MSS would have us send headers around single bytes. Segments are minMSS long at least, so that
// headers stay below minMSS's share, and the scoreboard does not grow with their number: entries are bursts.
func TestTinyMSS(t *testing.T) {
	for _, announced := range []uint16{1, 8, 47, 48} {
		o := wide()
		o.MSS = announced
		p := attacked(t, Config{}, o, 1<<20)
		c := p.host.c
		if c.snd.mss != max(minMSS, int(announced)) {
			t.Fatalf("an MSS of %d for one of %d", c.snd.mss, announced)
		}
		before := p.bill()
		for range 100 { // byte for byte the dearest pace: it acknowledges segment by segment
			p.now = p.now.Add(1_000_000)
			p.attack(sg{flags: wire.ACK, seq: 1, ack: 1 + c.rec.Una() + int64(c.snd.mss)})
		}
		cost := p.bill().since(before)
		if cost.said == 0 || cost.bytes/cost.said < uint64(c.snd.mss)*9/10 {
			t.Errorf("MSS %d: %d bytes in %d segments", announced, cost.bytes, cost.said)
		}
		// Slow start: for each segment acknowledged two go out, not more.
		if cost.said > 2*100+10 {
			t.Errorf("MSS %d: 100 ACKs drew %d segments", announced, cost.said)
		}
	}
}
