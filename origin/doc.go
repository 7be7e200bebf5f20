// Package origin is the HTTP/1.1 origin: requests in, header bytes and extents of cached files out.
//
// A connection is a session driven by events on the shard that owns it; it never blocks and has no
// goroutine. Between requests it holds no buffer either.
//
//  1. Bytes arrive: plain ones are read as they are, TLS records are opened first ([ktls.Opener]). They
//     wait in a pooled buffer until a whole head is there; what follows it stays in the receive buffer, so
//     that a client that pipelines too far ahead finds its window closed.
//  2. headScan checks every byte of the head as it arrives against the grammar of RFC 9112, more strictly
//     than the RFC asks for wherever two parsers could disagree about where a message ends.
//  3. fasthttp's header parser takes the complete, checked head apart.
//  4. The target is decoded once, cleaned, and looked up in the catalogue; preconditions and ranges are
//     judged (RFC 9110 sections 13 and 14).
//  5. The response is a [sendfile.Transfer]: head bytes, extents, trailers. Pump moves it into the framer
//     as long as there is room and pages; otherwise the session waits for Writable or for the page.
//  6. The last byte appended, the request is counted and logged, and the session turns to the next.
//
// Every time-out is one deadline per session, kept by the connection's timer.
package origin
