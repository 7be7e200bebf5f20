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
//     off queues the pages themselves; user seals at once into a buffer; inline seals when the record is first
//     gathered for transmission.
//  4. The send queue gathers any part of a record, as often as it likes, and releases it when acknowledged.
//  5. Opener.Open decrypts one received record in place, and says by an [Event] what the peer wants;
//     [Framer.Answer] does it (KeyUpdate, no_renegotiation, close_notify).
//
// Two promises shape the code. A (key, record number) pair never seals two plaintexts: keyset.seal refuses,
// loudly. And sealed bytes never change: a retransmission gathers the ciphertext of the first transmission.
//
// Versions are TLS 1.3 (RFC 8446, now RFC 9846) and TLS 1.2 (RFC 5246) with AES-128-GCM, AES-256-GCM
// (RFC 5288) and ChaCha20-Poly1305 (RFC 7905).
package ktls
