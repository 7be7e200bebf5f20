// Package sendfile sends a response body as extents of cached files, in the manner of sendfile(2).
//
//  1. The caller lists the parts of a response: literal bytes (header, multipart separators, trailer) and
//     extents of files. Together they are a [Transfer].
//  2. Pump pins the pages that are in memory and hands them on by reference, no byte is copied. Literal
//     bytes travel in the same call as the page behind them, so that the framer can put both in one record
//     and TCP both in one segment (what SF_HDTR does).
//  3. A page that is not in memory is never waited for (SF_NODISKIO): its fill is started, Pump returns
//     [cache.ErrBusy], and the waiter is called when it is worth calling Pump again.
//  4. A full queue ends Pump with [ErrAgain]; the next Writable event continues.
//  5. The number of bytes is settled before the first one is sent. A source that cannot deliver them fails
//     the transfer, and the caller must abort the connection: the client can tell that bytes are missing.
//
// A Transfer belongs to one shard.
package sendfile
