// Package syn holds what a listener needs before there is a connection: initial sequence numbers, half-open
// connections in 64 bytes each, and SYN cookies that take no memory at all.
//
//  1. A SYN arrives. [Generator.ISN] chooses our initial sequence number (RFC 6528), [Generator.TSOffset]
//     where our timestamps begin.
//  2. [Cache.Add] keeps the half-open connection, and the SYN-ACK goes out.
//  3. [Cache.Advance] has SYN-ACKs sent again as they become due, and forgets those nobody answers.
//  4. The ACK arrives: [Cache.Lookup] finds the [Entry], the connection is made, [Cache.Remove] frees the place.
//  5. If Add had no room, [Cookies.Make] folds the entry into the SYN-ACK's sequence number and timestamp
//     instead, and [Cookies.Check] gets it back from the ACK.
//  6. [FastOpen] makes and checks the cookies with which a client may send data in its SYN (RFC 7413).
//
// Everything here belongs to one shard and is not safe for concurrent use. Nothing reads a clock.
package syn
