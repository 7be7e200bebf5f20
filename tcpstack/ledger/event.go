package ledger

import "fmt"

// An Event is what happened to bytes. All are payload of the TCP stream or of the files behind it; headers of
// TCP, IP and frames are not counted anywhere.
type Event uint8

const (
	// Where the plaintext of responses came from.

	CacheHit   Event = iota // bytes of pages that somebody used before, since they were read
	CacheFill               // bytes of pages read from a disk, whoever asked for that: their first use
	OwnedBytes              // bytes made for this connection: heads, separators, listings, alerts, the handshake

	// What became of them on their way to the send queue.

	PlainQueued  // queued as they are (TLS mode off)
	PlainFramed  // plaintext put into records
	RecordsBytes // bytes of the records made of them: with headers, inner types and tags
	Records      // records, not bytes
	CopiedFrame  // plaintext copied into record buffers, and sealed there (mode user, whole-record sealing)
	CopiedShort  // short runs of pages that were copied so as not to pin the page
	Unframed     // plaintext that was to be framed after the last record that could be

	// Who sealed, in wire bytes of records, and what else went into frames.

	SealedHost    // by the host's CPU, for their first transmission
	ResealedHost  // by the host's CPU, once more, for a retransmission
	SealedStored  // gathered from a record buffer: sealed before, kept until acknowledged
	ResealedAhead // by the host's CPU only to get to the place in a record where sealing had to begin
	Refetched     // plaintext that the device read once more for the same reason, to rebuild the state of a cipher (DUMP)
	SealedNIC     // by the device, with what it makes
	MadeNIC       // of them, made by the device: headers, explicit nonces, inner types, tags
	LeftNIC       // gathered unsealed, for the device to seal
	GatheredPlain // gathered as they were queued

	// What the device did, with each frame one of Fetched (beside MadeNIC), LinkCopied and LinkDropped.

	Fetched     // payload read over the bus to be transmitted: of records that the device makes the plaintext
	LinkCopied  // payload that a link without a bus copied when it took the frame (link.Caps.TxCopies)
	LinkDropped // payload of frames that the device took and could not send, or that it never took before its end
	Summed      // payload that the host read for the checksum

	// What TCP did.

	Sent          // payload transmitted for the first time
	Retransmitted // payload transmitted again
	Acked         // payload acknowledged
	Wasted        // payload that a D-SACK reported to have arrived twice
	Unqueued      // bytes appended to a connection that sends no more
	Abandoned     // bytes in the queue of a connection that ended before they were acknowledged
	NeverSent     // of them, never transmitted

	NumEvents
)

var names = [NumEvents]string{
	CacheHit: "cache_hit", CacheFill: "cache_fill", OwnedBytes: "owned",
	PlainQueued: "plain_queued", PlainFramed: "plain_framed", RecordsBytes: "record_bytes", Records: "records",
	CopiedFrame: "copied_frame", CopiedShort: "copied_short", Unframed: "unframed",
	SealedHost: "sealed_host", ResealedHost: "resealed_host", SealedStored: "sealed_stored",
	ResealedAhead: "resealed_ahead", SealedNIC: "sealed_nic", MadeNIC: "made_nic", LeftNIC: "left_nic", GatheredPlain: "gathered_plain",
	Fetched: "fetched", Refetched: "refetched", LinkCopied: "link_copied", LinkDropped: "link_dropped", Summed: "summed",
	Sent: "sent", Retransmitted: "retransmitted", Acked: "acked", Wasted: "wasted",
	Unqueued: "unqueued", Abandoned: "abandoned", NeverSent: "never_sent",
}

func (e Event) String() string {
	if e < NumEvents {
		return names[e]
	}
	return fmt.Sprintf("Event(%d)", uint8(e))
}

// A Book holds a sum for each event. The zero value is ready for use.
type Book struct {
	// Parent, if there is one, gets every entry too: a connection's is its shard's.
	Parent *Book
	// Events stand in the order of their use: in mode nic and in mode off, what is booked as bytes are framed is in this
	// cache line, for each frame in the third, and by TCP in the last.
	sums [NumEvents]uint64
}

// Add books n bytes for e. A nil book takes nothing.
func (b *Book) Add(e Event, n int) {
	if b == nil {
		return
	}
	b.sums[e] += uint64(n)
	if b.Parent != nil {
		b.Parent.sums[e] += uint64(n)
	}
}

// Sum is what was booked for e, in bytes (Records: in records).
func (b *Book) Sum(e Event) uint64 {
	if b == nil {
		return 0
	}
	return b.sums[e]
}
