package tcpstack

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

// TestTwoShards sends every packet to the wrong queue, and to the right one: the owner answers, on its own
// queue, and the bytes are right.
func TestTwoShards(t *testing.T) {
	now := newPeer(t, Config{}).now
	taps := []*wireTap{}
	devs := []link.Device{}
	for range 2 {
		d := &wireTap{caps: link.Caps{MTU: 1500, TxCopies: true}, room: -1, t: t, now: func() mono.Time { return now }}
		taps, devs = append(taps, d), append(devs, d)
	}
	st, err := New(Config{Addrs: []netip.Addr{addrA}, MTUProbing: MTUProbeOff, Clock: func() mono.Time { return now }}, devs)
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[uint16]*host{}
	if _, err := st.Listen(netip.AddrPortFrom(addrA, 80), ListenConfig{Accept: func(c *Conn) Handler {
		h := &host{c: c}
		hosts[c.flow.RemotePort] = h
		return h
	}}); err != nil {
		t.Fatal(err)
	}
	settle := func() {
		for busy := true; busy; {
			busy = false
			for _, s := range st.shards {
				b, _ := s.Step(now)
				busy = busy || b
			}
		}
	}
	used := map[int]int{}
	for port := uint16(1000); port < 1040; port++ {
		p := &peer{t: t, now: now, iss: 77, win: 9000, quiet: true, flow: flowOf(netip.AddrPortFrom(addrA, 80), netip.AddrPortFrom(addrB, port))}
		owner := st.owner(&p.flow)
		used[owner.id]++
		queue := taps[int(port)%2]
		say := func(g sg) {
			p.dev = queue
			p.put(g)
			settle()
		}
		hear := func(g sg) {
			t.Helper()
			p.s, p.dev, p.host = owner, taps[owner.id], &host{}
			p.want(g)
		}
		say(sg{flags: fS, opt: wire.Options{MSS: 1460}})
		hear(sg{flags: fSA, ack: 1})
		say(sg{flags: fA, seq: 1, ack: 1})
		say(sg{flags: fA, seq: 1, ack: 1, n: 700})
		hear(sg{flags: fA, seq: 1, ack: 701})
		h := hosts[port]
		if h == nil || h.c.Shard() != owner || !bytes.Equal(h.got, peerBytes(1, 700)) {
			t.Fatalf("port %d: %+v", port, h)
		}
		h.c.Append(stream.Bytes(hostBytes(0, 1000))) // an ICMP error finds the owner as well
		settle()
		p.wantData(1, 1000, 701)
		p.dev = queue
		p.icmp(3, 4, 600, p.quote(1, 1000))
		settle()
		p.dev = taps[owner.id]
		p.wantData(1, 560, 701)
		p.wantData(561, 440, 701)
		say(sg{flags: fA, seq: 701, ack: 1001})
		for _, d := range taps {
			if len(d.out) > 0 {
				t.Fatalf("port %d: unexpected %v", port, p.relative(&d.out[0].seg))
			}
		}
	}
	if len(used) != 2 || used[0] < 10 || used[1] < 10 {
		t.Errorf("connections per shard: %v", used)
	}
	var sum ShardStats
	for _, s := range st.shards {
		v := s.Snapshot()
		sum.add(&v)
	}
	if sum.Accepted != 40 || sum.Connections != 40 || sum.Steered == 0 || sum.BytesReceived != 40*700 {
		t.Errorf("%+v", sum)
	}
	now = now.Add(time.Second)
	settle()
}
