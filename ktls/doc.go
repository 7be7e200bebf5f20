// Package ktls is the TLS record layer that takes over a connection after an ordinary crypto/tls handshake,
// as kTLS does in FreeBSD and Linux. It knows spans and keys; it does not know TCP, files or pages.
//
//  1. [Handshake] lets crypto/tls shake hands over a net.Conn, one record at a time, and takes the traffic
//     secrets and record numbers out of it: a [Session].
//  2. [Session.Start] turns the session into a [Framer] (what we send) and an [Opener] (what we receive). From
//     here on both belong to the connection's shard: no locks, no goroutine, no clock.
//  3. Framer.Append cuts plaintext pieces into records (the [RecordPolicy] says how long) and queues one span
//     per record. Header, record number, key, inner type and trailer length are settled here, once, for every
//     [Mode]; the modes differ in who seals, and when:
//     off queues the pages themselves; user seals at once into a buffer; inline seals while the record is gathered
//     for transmission, into the link's scratch, and keeps pages and a tag; nic leaves that to the interface, and with
//     it header, inner type and tag: what is gathered is the plaintext, and a note of what to make of it.
//  4. The send queue gathers any part of a record, as often as it likes, and releases it when acknowledged.
//     Bytes are made again on each gather, from the keystream at their place (seal.go), or referred to unsealed
//     with a note for the device (nic.go; train.go for records in a row).
//  5. Between two records a connection may move from the interface to the CPU and back (switch.go).
//  6. Opener.Open decrypts one received record in place, and says by an [Event] what the peer wants;
//     [Framer.Answer] does it (KeyUpdate, no_renegotiation, close_notify).
//
// Two promises shape the code. A (key, record number) pair never seals two plaintexts: a record claims its number
// from its key's guard before any of it is sealed, and its pieces never change. With the build tag ocaserve_debug
// each later gather is held against the plaintext of the first. And sealed bytes never change: a retransmission has
// the ciphertext of the first transmission.
//
// What the ledger says of records: each byte of a record that is gathered is booked as exactly one of SealedHost
// (for its first transmission), ResealedHost (once more), SealedStored (from the buffer of a record that was sealed
// whole, each time; the sealing itself is CopiedFrame) and LeftNIC (by the Gather; the device then books SealedNIC).
// Bytes that were sealed only to get to a place are ResealedAhead on top. First is what lies beyond all that was
// gathered under the key; a place that was jumped over counts as passed. PlainFramed, RecordsBytes and Records speak
// of all records; the plaintext of alerts and KeyUpdates is OwnedBytes.
//
// Versions are TLS 1.3 (RFC 8446, now RFC 9846) and TLS 1.2 (RFC 5246) with AES-128-GCM, AES-256-GCM
// (RFC 5288) and ChaCha20-Poly1305 (RFC 7905).
package ktls
