// Package ledger counts what happens to the bytes of a connection, each event once: where they were found, who
// copied them, who sealed them, who read them over the bus, what was sent and what of it was sent for nothing.
//
//  1. Whoever does something to bytes books it: [Book.Add]. A connection has a book of its own; what is booked
//     there is booked in its shard's too.
//  2. The laws of [Book.Check] say which sums must agree, whatever the network did.
//  3. [Measures] are what people compare: copies, touches of memory and bytes fetched for each byte that arrived.
//
// A book belongs to one shard: no locks.
package ledger
