// Package ocaserve is the root of the module: an HTTPS origin for video and large files that carries its own
// TCP/IP stack, page cache, sendfile path and TLS record layer, all in user space.
//
// The program is cmd/ocaserve. A byte travels down through the packages, one direction each way:
//
//  1. content finds the object, cache pins its pages, sendfile cuts the response into pieces of them.
//  2. ktls frames the pieces into TLS records; a record is a span in the connection's send queue.
//  3. tcpstack decides when which stream offset goes out (recovery, congestion, pacing) and gathers it.
//  4. link carries the frames; acknowledgements come back up and release spans and pins.
//
// The root holds no code of its own, only the test that keeps the layers of docs/architecture.md in place.
package ocaserve
