package tcpstack

import (
	"testing"
	"time"
)

// RFC 5681 section 3.1 and RFC 6298 (5.7): a SYN-ACK or SYN that had to be sent again means 3 s, unless a timestamp
// tells which one is answered, and is an RTT; sent again twice, and not only slow, it means one segment.
func TestSynLost(t *testing.T) {
	for _, tt := range []struct {
		name   string
		resent int
		late   bool // the ACK answers the first SYN-ACK
		ts     bool
		window int64
		rtt    time.Duration // about; 0: none
	}{
		{"once", 1, false, false, 14600, 0},
		{"once, timed", 1, false, true, 14480, time.Millisecond},
		{"once, and only slow", 1, true, true, 14480, time.Second},
		{"twice", 2, false, false, 1460, 0},
		{"twice, timed", 2, false, true, 1448, time.Millisecond},
		{"twice, and only slow", 2, true, true, 14480, 3 * time.Second},
	} {
		p := newPeer(t, Config{})
		p.listen(ListenConfig{})
		o := synOptions()
		o.HasTS = tt.ts
		p.send(sg{flags: fS, opt: o})
		p.want(sg{flags: fSA, ack: 1})
		first := p.echo
		for i := range tt.resent {
			p.wantAfter(time.Second<<i, sg{flags: fSA, ack: 1})
		}
		if p.ts = tt.ts; tt.late {
			p.echo = first
		}
		p.send(sg{flags: fA, seq: 1, ack: 1})
		c := p.host.c
		if w := c.cc.Window(); w != tt.window {
			t.Errorf("%s: window %d, want %d", tt.name, w, tt.window)
		}
		if rto := c.rec.RTO(); (tt.rtt == 0) != (rto == 3*time.Second) {
			t.Errorf("%s: RTO %v", tt.name, rto)
		}
		if rtt := c.RTT().SRTT(); rtt < tt.rtt/2 || rtt > tt.rtt*3/2 {
			t.Errorf("%s: RTT %v, want about %v", tt.name, rtt, tt.rtt)
		}
	}
	p := newPeer(t, Config{})
	p.dial()
	p.want(sg{flags: fS})
	p.wantAfter(time.Second, sg{flags: fS})
	p.wantAfter(2*time.Second, sg{flags: fS})
	p.send(sg{flags: fSA, ack: 1, opt: synOptions()})
	p.want(sg{flags: fA, seq: 1, ack: 1})
	if w, rto := p.host.c.cc.Window(), p.host.c.rec.RTO(); w != 1460 || rto != 3*time.Second {
		t.Errorf("active: window %d, RTO %v", w, rto)
	}
}

// The peer's timer runs as long as ours. A SYN-ACK that is lost is sent again by the one, and as the answer to the SYN that
// the other sends again: that is one loss, and not two.
func TestSynLostOnceAnsweredTwice(t *testing.T) {
	p := newPeer(t, Config{})
	p.listen(ListenConfig{})
	syn := sg{flags: fS, opt: synOptions()}
	syn.opt.HasTS = true
	p.send(syn)
	p.want(sg{flags: fSA, ack: 1})
	p.wantAfter(time.Second, sg{flags: fSA, ack: 1})
	sent := p.echo
	p.advance(20 * time.Millisecond)
	p.send(syn)
	p.want(sg{flags: fSA, ack: 1})
	p.ts, p.echo = true, sent
	p.send(sg{flags: fA, seq: 1, ack: 1})
	if w := p.host.c.cc.Window(); w != 14480 {
		t.Errorf("a window of %d", w)
	}
}
