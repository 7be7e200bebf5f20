package tcpstack

import (
	"testing"
	"time"
)

// RFC 5681 section 3.1 and RFC 6298 (5.7): a SYN-ACK or SYN that had to be sent again means one segment and 3 s. A
// timestamp that shows that the first one was only slow means neither, and is an RTT.
func TestSynLost(t *testing.T) {
	for _, tt := range []struct {
		name string
		late bool // the ACK answers the first SYN-ACK
		ts   bool
		want int64
	}{{"lost", false, false, 1460}, {"lost, by the timestamp too", false, true, 1448}, {"late", true, true, 14480}} {
		p := newPeer(t, Config{})
		p.listen(ListenConfig{})
		o := synOptions()
		o.HasTS = tt.ts
		p.send(sg{flags: fS, opt: o})
		p.want(sg{flags: fSA, ack: 1})
		first := p.echo
		p.wantAfter(time.Second, sg{flags: fSA, ack: 1})
		if p.ts = tt.ts; tt.late {
			p.echo = first
		}
		p.send(sg{flags: fA, seq: 1, ack: 1})
		c := p.host.c
		if w := c.cc.Window(); w != tt.want {
			t.Errorf("%s: window %d, want %d", tt.name, w, tt.want)
		}
		if rto := c.rec.RTO(); tt.late != (rto != 3*time.Second) {
			t.Errorf("%s: RTO %v", tt.name, rto)
		}
		if rtt := c.RTT().SRTT(); tt.late != (rtt > 990*time.Millisecond) {
			t.Errorf("%s: RTT %v", tt.name, rtt)
		}
	}
	p := newPeer(t, Config{})
	p.dial()
	p.want(sg{flags: fS})
	p.wantAfter(time.Second, sg{flags: fS})
	p.send(sg{flags: fSA, ack: 1, opt: synOptions()})
	p.want(sg{flags: fA, seq: 1, ack: 1})
	if w, rto := p.host.c.cc.Window(), p.host.c.rec.RTO(); w != 1460 || rto != 3*time.Second {
		t.Errorf("active: window %d, RTO %v", w, rto)
	}
}
