package tcpstack

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
)

// What a facade takes off its connection is bounded; the rest waits in the receive buffer, where it counts.
func TestReadAhead(t *testing.T) {
	const ahead = 8 << 10
	p := newPair(t, Config{})
	var nc *NetConn
	if _, err := p.b.stack.Listen(netip.AddrPortFrom(addrB, 81), ListenConfig{Accept: func(c *Conn) Handler {
		nc = WrapConn(c)
		nc.SetReadAhead(ahead)
		return nc
	}}); err != nil {
		t.Fatal(err)
	}
	client := &app{chunk: 5000, send: pattern(200_000, 1), close: true}
	want := bytes.Clone(client.send)
	flow := flowOf(netip.AddrPortFrom(addrA, 40001), netip.AddrPortFrom(addrB, 81))
	client.c = p.a.newConn(&flow, client)
	client.c.connect(p.now)
	p.run(time.Second, nil)

	var got []byte
	buf := make([]byte, 3000)
	for len(got) < len(want) {
		if len(nc.in) > ahead || cap(nc.buf) > ahead {
			t.Fatalf("%d bytes read ahead, in %d of memory", len(nc.in), cap(nc.buf))
		}
		if len(nc.in) == 0 {
			t.Fatalf("after %d bytes nothing more came", len(got))
		}
		n, err := nc.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, buf[:n]...)
		p.run(time.Second, nil)
	}
	if !bytes.Equal(got, want) {
		t.Error("wrong bytes")
	}
}
