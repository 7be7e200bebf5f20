package tcpstack

import (
	"bytes"
	"testing"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/fault"
	"ocaserve/tcpstack/mono"
)

// oneQueue is an interface of a single device.
type oneQueue struct{ d link.Device }

func (q oneQueue) Name() string          { return "cable" }
func (q oneQueue) Queues() []link.Device { return []link.Device{q.d} }
func (q oneQueue) Close() error          { return nil }

// TestNoStallBeyondRTO sends over a wire with 1 % each of loss, reordering, duplication and corruption, both
// ways. Every byte must be right, and no silence at the receiver may be longer than the retransmission
// time-outs that fired in it, plus the round trips before and after, explain (RFC 6298).
func TestNoStallBeyondRTO(t *testing.T) {
	for seed := range uint64(8) {
		p := newPair(t, Config{})
		bad := fault.New(oneQueue{p.db}, fault.Config{
			Loss: .01, Reorder: .01, Duplicate: .01, Corrupt: .01, Seed: seed,
			Clock: func() mono.Time { return p.now },
		})
		p.b.dev = bad.Queues()[0]
		p.b.batch.init(p.b.dev.Caps(), &p.b.blocks)
		client, server := p.connect()
		data := pattern(2_000_000, seed)
		server.send, server.close = data, true
		server.Writable(server.c)
		longest := watchStalls(t, p, client, server, 2*p.delay)
		if !bytes.Equal(client.got.Bytes(), data) {
			t.Fatalf("seed %d: wrong bytes", seed)
		}
		st := bad.Stats()
		t.Logf("seed %d: longest silence %v, time-outs %d, wire %+v", seed, longest, p.b.stats.Timeouts, st)
	}
}

// watchStalls runs until the client has everything and returns the longest time without progress.
func watchStalls(t *testing.T, p *pair, client, server *app, rtt time.Duration) (longest time.Duration) {
	t.Helper()
	limit := p.now.Add(10 * time.Minute)
	// Progress is bytes at the receiver, or an ACK of new data, which restarts the timer (RFC 6298 (5.3)).
	progress := func() int64 { return int64(client.got.Len()) + server.c.rec.Una() }
	last, had := p.now, progress()
	var allowed time.Duration // what the time-outs since then explain
	// What a time-out explains is what its timer had to run, at most, since the last progress.
	armed := func() time.Duration {
		if at := server.c.rec.Deadline(); at != mono.Never {
			return at.Sub(p.now)
		}
		return 0
	}
	// A loss probe is such a timer too: for a lone segment it runs for two round trips and the 200 ms that its ACK may
	// be delayed (RFC 8985 section 7.2).
	fired := func() uint64 { return p.b.stats.Timeouts + p.b.stats.LossProbes }
	rto, timeouts := armed(), fired()
	for !client.eof && p.now < limit {
		p.step(p.now.Add(time.Millisecond)) // the bad wire holds packets back on a clock of its own
		if n := fired(); n > timeouts {
			allowed += time.Duration(n-timeouts) * rto
			timeouts = n
		}
		rto = max(rto, armed())
		if progress() == had {
			continue
		}
		gap := p.now.Sub(last)
		if most := allowed + 3*rtt + delAckLen; gap > most {
			t.Fatalf("%v without progress, %v explained", gap, most)
		}
		longest = max(longest, gap)
		last, had, allowed, rto = p.now, progress(), 0, armed()
	}
	if !client.eof {
		t.Fatal("the transfer did not end")
	}
	return longest
}
