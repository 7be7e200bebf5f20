// Package trace is the flight record of a connection: what it sent and again and why, what was
// acknowledged, how the windows and round-trip times moved, what held output back.
//
//  1. A connection under trace makes an [Event] of each thing that happens and puts it into its [Ring],
//     which keeps the last of them and counts what it had to overwrite.
//  2. From time to time the ring's new events are taken out and given to a [Writer], which makes chunks.
//  3. [Read] takes a file apart again, whatever its bytes: a file that was cut off gives what came before.
//  4. [Plot] makes one HTML page of it: a time-sequence graph as Stevens and tcptrace draw it, and below it
//     windows, round-trip times, rates and limits.
//
// # The file
//
// All numbers are little-endian. A file is the eight bytes "OCATRC1\n" and then chunks:
//
//	0  type    uint8   'H', 'C', 'E' or 'L'; a reader skips the others
//	1  zero    3 bytes
//	4  conn    uint32  the connection that the chunk is about
//	8  length  uint32  of what follows, bytes
//
// 'H', first: a [Header] in JSON. 'C': a [Conn] in JSON; a later one replaces it. 'L': a uint64, how many
// events of the connection were overwritten before they could be written, at this place. 'E': events of 64
// bytes each, in order of their time:
//
//	 0  at        int64   nanoseconds of a monotonic clock
//	 8  off       int64   stream offset; 0 is the byte behind the SYN
//	16  len       uint32  bytes
//	20  kind      uint8   see Kind, which says what off and len are
//	21  cause     uint8   see Cause
//	22  state     uint8   of recovery: Open, Disorder, CWR, Recovery, Loss
//	23  limit     uint8   see Limit
//	24  cwnd      uint32  bytes
//	28  pipe      uint32  bytes in flight, as recovery estimates them
//	32  ssthresh  uint32  bytes; 0xffffffff: none yet
//	36  srtt      uint32  microseconds; 0: none yet
//	40  rtt       uint32  microseconds: the sample that this ACK gave; 0: none
//	44  unsent    uint32  bytes queued and never sent
//	48  pacing    uint64  bytes per second; 0: not paced
//	56  delivery  uint64  bytes per second: the last delivery rate sample; 0: none yet
package trace
