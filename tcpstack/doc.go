// Package tcpstack is a TCP/IP stack in user space.
//
//  1. A [Shard] receives frames from its link queue, stamps them, parses them (wire) and finds the
//     connection in its flow table; a packet of another shard's connection goes to that shard's inbox.
//  2. [Conn] takes the segment: sequence checks, the ACK to recovery and congestion, the payload to
//     reassembly. What changed is remembered as events.
//  3. Timers that are due fire from the shard's timing wheel.
//  4. The shard delivers the events to each connection's [Handler]: readable, writable, closed.
//  5. Connections with something to send build one superframe each in turn, into the shard's batch.
//  6. The batch goes to the link; what a full ring refuses stays first in line.
//
// A connection belongs to one shard for life, chosen by the symmetric Toeplitz hash of its 4-tuple. The
// methods of Conn are for its handler, on the shard; other goroutines use [Shard.Post], or the blocking
// net.Conn and net.Listener of [Stack.ListenNet] and [Stack.DialFrom].
package tcpstack
