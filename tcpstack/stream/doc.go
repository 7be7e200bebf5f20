// Package stream holds the byte streams of a connection, as values without locks or clocks.
//
//  1. An application appends a [Span] to the [SendQueue]; the queue copies nothing.
//  2. Output gathers any range of the queue into a [Gather], again and again if it is retransmitted.
//  3. An ACK releases the spans it covers.
//  4. Input inserts segments in any order into a [Reassembly], which copies them once, into blocks of the
//     shard's [BlockPool]; a [RangeSet] remembers what came out of order.
//  5. [Reassembly.SACK] tells the peer what it need not send again.
//  6. The application reads in order, by copy ([Reassembly.Read]) or in place ([Reassembly.Peek]); a block
//     goes back to the pool when its last byte has been read.
//
// Offsets are int64 counts of bytes since the start of the stream; the byte after SYN is offset 0.
//
// An idle connection costs its two structs and nothing else: with nothing queued and nothing unread, both
// have handed every array back to the pool.
package stream
