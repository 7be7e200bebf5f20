package tcpstack

import (
	"net/netip"
	"testing"
	"time"

	"ocaserve/tcpstack/stream"
)

// TestReceivePressure fills the receive memory with requests that nobody completes: new connections are
// refused before the memory is gone, those there are go on, and the filter's time-out ends the siege.
func TestReceivePressure(t *testing.T) {
	p := newPair(t, Config{MaxReassembly: 64 * stream.BlockSize})
	client, server := p.connect()
	if _, err := p.b.stack.Listen(netip.AddrPortFrom(addrB, 81), ListenConfig{
		Filter: FilterHTTP, Accept: func(*Conn) Handler { t.Error("an incomplete request was handed over"); return nil },
	}); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		flow := flowOf(netip.AddrPortFrom(addrA, uint16(20000+i)), netip.AddrPortFrom(addrB, 81))
		c := p.a.newConn(&flow, &app{})
		c.connect(p.now)
		c.Append(stream.Bytes([]byte("GET / HTTP/1.1\r\n")))
	}
	p.run(2*time.Second, nil)
	if held := p.b.blocks.InUse(); held > 56*stream.BlockSize {
		t.Fatalf("%d blocks are held: the reserve is gone", held/stream.BlockSize)
	}
	if p.b.stats.ListenOverflows == 0 {
		t.Fatal("no connection was refused: the test proves nothing")
	}
	client.send = pattern(20_000, 5)
	client.Writable(client.c)
	if !p.run(5*time.Second, func() bool { return server.got.Len() == 20_000 }) {
		t.Fatalf("an open connection got only %d bytes through", server.got.Len())
	}
	p.run(2*filterTimeout, nil)
	if held := p.b.blocks.InUse(); held > 56*stream.BlockSize {
		t.Fatalf("%d blocks are held after the filter's time-out", held/stream.BlockSize)
	}
}
