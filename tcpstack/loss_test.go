package tcpstack

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"ocaserve/tcpstack/link"
)

// TestTransferUnderLoss drops frames at random in both directions; everything must arrive, in order.
func TestTransferUnderLoss(t *testing.T) {
	for seed := range uint64(8) {
		p := newPair(t, Config{})
		client, server := p.connect()
		r := rand.New(rand.NewPCG(seed, 9))
		lossy := func(*link.Frame) bool { return r.IntN(100) < 5 }
		p.da.drop, p.db.drop = lossy, lossy
		up, down := pattern(100_000, seed), pattern(1_500_000, seed+100)
		client.send, server.send, client.close, server.close = up, down, true, true
		client.Writable(client.c)
		server.Writable(server.c)
		start := p.now
		if !p.run(10*time.Minute, func() bool { return client.eof && server.eof }) {
			t.Fatalf("seed %d: transfer did not end: %v %v una %d next %d", seed, client.c.State(), server.c.State(), server.c.rec.Una(), server.c.rec.Next())
		}
		if !bytes.Equal(server.got.Bytes(), up) || !bytes.Equal(client.got.Bytes(), down) {
			t.Fatalf("seed %d: wrong bytes", seed)
		}
		t.Logf("seed %d: %v, timeouts %d, recoveries %d", seed, p.now.Sub(start), p.b.stats.Timeouts, p.b.stats.Recoveries)
	}
}
