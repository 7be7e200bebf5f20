package origin

import "sync/atomic"

// counters are one shard's; only the shard adds, anybody may read. They stand apart from other shards'
// memory because each shard allocates its own.
type counters struct {
	connections, handshakeErrors, requests atomic.Uint64
	bytes                                  atomic.Uint64
	classes                                [6]atomic.Uint64 // by first digit of the status
	aborted, slow, timeouts, tlsErrors     atomic.Uint64
	logDropped                             atomic.Uint64
	tls                                    tlsCounters
}

// Stats is a sum over the shards.
type Stats struct {
	Open            int64     // connections now, handshakes in progress included
	Connections     uint64    // accepted and, for HTTPS, through the handshake
	HandshakeErrors uint64    // TLS handshakes that failed or took too long
	HandshakePanics uint64    // of those, by a panic: a defect
	Requests        uint64    // answered or aborted
	Bytes           uint64    // response bytes handed to the transport, heads included, TLS framing not
	Classes         [6]uint64 // responses by first digit of the status; [0] is unused
	Aborted         uint64    // responses cut off: the peer left, or the file could not be read or changed
	Slow            uint64    // of those, because the peer took less than the minimum rate
	Timeouts        uint64    // connections closed waiting for a request
	TLSErrors       uint64    // established TLS connections ended by an alert
	LogDropped      uint64    // access log lines lost because the writer could not keep up
}

func (c *counters) addTo(s *Stats) {
	s.Connections += c.connections.Load()
	s.HandshakeErrors += c.handshakeErrors.Load()
	s.Requests += c.requests.Load()
	s.Bytes += c.bytes.Load()
	for i := range s.Classes {
		s.Classes[i] += c.classes[i].Load()
	}
	s.Aborted += c.aborted.Load()
	s.Slow += c.slow.Load()
	s.Timeouts += c.timeouts.Load()
	s.TLSErrors += c.tlsErrors.Load()
	s.LogDropped += c.logDropped.Load()
}
