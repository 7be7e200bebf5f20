//go:build ocaserve_debug

package tcpstack

import (
	"strings"
	"testing"
	"time"

	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/stream"
)

// broken runs f and returns what it panics with.
func broken(f func()) (msg string) {
	defer func() { msg, _ = recover().(string) }()
	f()
	return ""
}

// A byte that is booked for nothing stops the program when its connection ends, orderly or not, and at the latest
// at a check of the shard; the panic says which law.
func TestBrokenLawPanics(t *testing.T) {
	for name, end := range map[string]func(*Conn){
		"close": (*Conn).CloseWrite, "abort": (*Conn).Abort,
		"shard": func(c *Conn) { c.shard.checkBook() },
	} {
		for e, law := range map[ledger.Event]string{
			ledger.CacheHit: "cache_hit + cache_fill + owned = ", ledger.LinkCopied: "sent + retransmitted = ",
			ledger.RecordsBytes: "plain_queued + record_bytes = ", ledger.Sent: "sent + never_sent + unsent = ",
		} {
			p := newPair(t, Config{})
			client, server := p.connect()
			server.c.Append(stream.Bytes(pattern(50_000, 1)))
			p.run(time.Minute, func() bool { return client.got.Len() == 50_000 })
			server.c.Book().Add(e, 1)
			msg := broken(func() {
				end(server.c)
				client.c.CloseWrite()
				p.run(time.Minute, func() bool { return server.c.gone })
			})
			if !strings.Contains(msg, law) {
				t.Errorf("%s, %v: %q", name, e, msg)
			}
		}
	}
}
