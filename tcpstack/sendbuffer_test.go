package tcpstack

import (
	"bytes"
	"testing"
	"time"
)

// A peer that shuts its window over what is in flight, and goes on saying so, does not keep an orphan.
func TestWindowShutOverOrphan(t *testing.T) {
	p := opened(t)
	p.write(1000)
	p.wantData(1, 1000, 1)
	p.do(func(c *Conn) { c.Close() })
	p.skip()
	p.send(sg{flags: fA, seq: 1, ack: 1, win: window(0)})
	for range 100 {
		p.advance(5 * time.Second)
		if len(p.dev.out) > 0 {
			p.skip()
			p.put(sg{flags: fA, seq: 1, ack: 1, win: window(0)})
			p.settle()
		}
	}
	p.skip()
	p.wantClosed(ErrTimeout)
}

// However large a window the peer offers, and however many bytes it says it has, what is in flight is bounded.
func TestInFlightIsBounded(t *testing.T) {
	const limit = 300_000
	p := newPair(t, Config{ReceiveBuffer: 4 << 20, MaxSendBuffer: limit})
	client, server := p.connect()
	want := pattern(6_000_000, 1)
	server.send, server.close = want, true
	server.Writable(server.c)
	most := int64(0)
	p.run(time.Minute, func() bool {
		most = max(most, server.c.rec.Flight())
		return client.eof
	})
	if !bytes.Equal(client.got.Bytes(), want) {
		t.Errorf("%d bytes of %d arrived, or wrong ones", client.got.Len(), len(want))
	}
	if most > limit || most < limit/2 {
		t.Errorf("up to %d bytes in flight, limit %d", most, limit)
	}
}
