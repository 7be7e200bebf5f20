package tcpstack

import (
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/wire"
)

// dropReason says why the stack dropped a segment that was well formed.
type dropReason uint8

const (
	dropNotLocal    dropReason = iota // not for one of our addresses
	dropProtocol                      // neither TCP nor ICMP
	dropOutOfWindow                   // RFC 9293 section 3.4
	dropPAWS                          // RFC 7323 section 5
	dropNoTimestamp                   // RFC 7323 section 3.2
	dropNoAck                         // no ACK bit on a synchronized connection
	dropBacklog                       // the listener's or the stack's limit of connections
	dropRingFull                      // a control segment while the link's ring was full
	dropICMPForged                    // an ICMP error about nothing in flight
	dropCookie                        // a RST, FIN or SYN without the connection's cookie
	dropReasonCount
)

var dropNames = [dropReasonCount]string{
	"not_local", "protocol", "out_of_window", "paws", "no_timestamp", "no_ack", "backlog", "ring_full",
	"icmp_forged", "cookie",
}

func (d dropReason) String() string { return dropNames[d] }

// wireDropCount is the number of reasons the codecs know; the last one stands at the end of its list.
const wireDropCount = int(wire.DropICMPProtocol) + 1

// ShardStats are the counters of a shard since it started. Only the shard writes them.
type ShardStats struct {
	FramesReceived, FramesSent     uint64
	SegmentsReceived, SegmentsSent uint64 // superframes count once received, per segment sent
	BytesReceived, BytesSent       uint64 // payload; BytesSent counts retransmissions too
	BytesRetransmitted, BytesAcked uint64
	BytesLost                      uint64 // judged lost by recovery
	Recoveries                     uint64 // fast recovery episodes (TCPSackRecovery, TCPRenoRecovery)
	Timeouts                       uint64 // TCPTimeouts
	LossProbes                     uint64 // TCPLossProbes
	LossProbeRecoveries            uint64 // TCPLossProbeRecovery
	LostRetransmits                uint64 // TCPLostRetransmit: ACKs that told of one
	SpuriousRTOs                   uint64 // TCPSpuriousRTOs: time-outs undone
	FullUndos                      uint64 // TCPFullUndo: fast recoveries undone, by timestamps
	DSACKUndos                     uint64 // TCPDSACKUndo
	DSACKsReceived                 uint64 // TCPDSACKRecv
	DSACKsSent                     uint64 // TCPDSACKOldSent, TCPDSACKOfoSent
	SACKReneging                   uint64 // TCPSACKReneging
	ECNReductions                  uint64 // of the window, because of ECN echoes
	WindowProbes                   uint64
	GaveUp                         uint64
	ChallengeACKs                  uint64 // TCPChallengeACK
	ResetsSent, ResetsReceived     uint64
	PathMTUReduced                 uint64
	Accepted, Dialed               uint64
	SyncookiesSent, SyncookiesRecv uint64
	ListenOverflows                uint64
	TimeWaitRecycled               uint64 // TIME-WAIT cut short at MaxConns
	Steered                        uint64 // packets handed to another shard
	QueueStopped                   uint64 // the link's ring was full
	OpenStats

	MemoryPressures uint64 // times that memory became short (TCPMemoryPressures)
	AbortOnMemory   uint64 // stalled connections reset for their memory (TCPAbortOnMemory)
	RcvQDrop        uint64 // segments in order refused for lack of memory (TCPRcvQDrop)
	OFODrop         uint64 // segments out of order likewise (TCPOFODrop)

	Drops     [dropReasonCount]uint64
	WireDrops [wireDropCount]uint64

	Connections int // now
	HalfOpen    int // now, in the SYN cache
	BlockBytes  int // now, held by reassembly

	MemoryUsed, MemoryBudget int64 // now, in bytes: see Config.MemoryBudget

	Book ledger.Book // the sums of all connections' books
}

// add sums t into v.
func (v *ShardStats) add(t *ShardStats) {
	pairs := v.fields()
	for i, p := range t.fields() {
		*pairs[i] += *p
	}
	for i, n := range t.Drops {
		v.Drops[i] += n
	}
	for i, n := range t.WireDrops {
		v.WireDrops[i] += n
	}
	v.Connections += t.Connections
	v.HalfOpen += t.HalfOpen
	v.BlockBytes += t.BlockBytes
	v.MemoryUsed += t.MemoryUsed
	v.MemoryBudget += t.MemoryBudget
	v.Book.Merge(&t.Book)
}

func (v *ShardStats) fields() []*uint64 {
	return append(v.OpenStats.fields(),
		&v.FramesReceived, &v.FramesSent, &v.SegmentsReceived, &v.SegmentsSent,
		&v.BytesReceived, &v.BytesSent, &v.BytesRetransmitted, &v.BytesAcked, &v.BytesLost,
		&v.Recoveries, &v.Timeouts, &v.WindowProbes, &v.GaveUp, &v.ChallengeACKs,
		&v.ResetsSent, &v.ResetsReceived, &v.PathMTUReduced, &v.Accepted, &v.Dialed,
		&v.SyncookiesSent, &v.SyncookiesRecv, &v.ListenOverflows, &v.TimeWaitRecycled, &v.Steered,
		&v.QueueStopped, &v.LossProbes, &v.LossProbeRecoveries, &v.LostRetransmits, &v.SpuriousRTOs,
		&v.FullUndos, &v.DSACKUndos, &v.DSACKsReceived, &v.DSACKsSent, &v.SACKReneging, &v.ECNReductions,
		&v.MemoryPressures, &v.AbortOnMemory, &v.RcvQDrop, &v.OFODrop,
	)
}

// DropCounts returns the drops by name, those that happened.
func (v *ShardStats) DropCounts() map[string]uint64 {
	m := make(map[string]uint64)
	for i, n := range v.Drops {
		if n > 0 {
			m[dropReason(i).String()] = n
		}
	}
	for i, n := range v.WireDrops {
		if n > 0 {
			m[wire.Drop(i).String()] = n
		}
	}
	return m
}
