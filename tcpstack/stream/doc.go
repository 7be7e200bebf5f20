// Package stream holds the byte streams of a connection, as values without locks or clocks.
//
//  1. An application appends a [Span] to the [SendQueue]; the queue copies nothing.
//  2. Output gathers any range of the queue into a [Gather], again and again if it is retransmitted.
//  3. An ACK releases the spans it covers.
//  4. Input inserts segments in any order into a [Reassembly]; the application reads them in order.
//
// Offsets are int64 counts of bytes since the start of the stream; the byte after SYN is offset 0.
package stream
