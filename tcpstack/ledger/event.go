package ledger

import "fmt"

// An Event is what happened to bytes. All are payload of the TCP stream or of the files behind it; headers of
// TCP, IP and frames are not counted anywhere.
type Event uint8

const (
	// Where the plaintext of responses came from.

	CacheHit   Event = iota // bytes of pages that were in memory when they were asked for
	CacheFill               // bytes of pages that had to be read from a disk first
	OwnedBytes              // bytes made for this connection: response heads, multipart separators, listings

	// What became of them on their way to the send queue.

	PlainQueued  // queued as they are (TLS mode off)
	PlainFramed  // plaintext put into records
	RecordsBytes // bytes of the records made of them: with headers, inner types and tags
	Records      // records, not bytes
	CopiedFrame  // plaintext copied into record buffers when it was framed or sealed (mode user, whole-record sealing)

	// Who sealed, in wire bytes of records.

	SealedHost    // by the host's CPU, for their first transmission
	ResealedHost  // by the host's CPU, once more, for a retransmission
	SealedStored  // gathered from a record buffer: sealed before, kept until acknowledged
	ResealedAhead // by the host's CPU only to get to the place in a record where sealing had to begin
	SealedNIC     // by the device

	// What the device did.

	Fetched   // payload read over the bus to be transmitted
	Refetched // payload read over the bus once more, to rebuild the state of a cipher (DUMP)

	// What TCP did.

	Sent          // payload transmitted for the first time
	Retransmitted // payload transmitted again
	Acked         // payload acknowledged
	Wasted        // payload that a D-SACK reported to have arrived twice

	NumEvents
)

var names = [NumEvents]string{
	"cache_hit", "cache_fill", "owned", "plain_queued", "plain_framed", "record_bytes", "records", "copied_frame",
	"sealed_host", "resealed_host", "sealed_stored", "resealed_ahead", "sealed_nic", "fetched", "refetched",
	"sent", "retransmitted", "acked", "wasted",
}

func (e Event) String() string {
	if e < NumEvents {
		return names[e]
	}
	return fmt.Sprintf("Event(%d)", uint8(e))
}

// A Book holds a sum for each event. The zero value is ready for use.
type Book struct {
	sums [NumEvents]uint64
	// Parent, if there is one, gets every entry too: a connection's is its shard's.
	Parent *Book
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
