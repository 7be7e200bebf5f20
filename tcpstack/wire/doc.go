// Package wire turns frames into values and back: IPv4, IPv6, ICMP, TCP and its options.
//
//  1. [ParseIP] checks a received packet's IP header, trims link padding, and yields the upper layer's bytes.
//  2. [ParseTCP] or [ParseICMP] turns those into a [Segment] or an [ICMP]; both alias the frame.
//  3. A packet that must not be handled is a [Drop] reason, counted by the caller: never an error value.
//  4. To transmit, [PutIP] and [PutTCP] write headers in front of payload that stays where it is. PutTCP
//     leaves the checksum partial, as a device with checksum offload wants it; [CompleteTCP] finishes it
//     where there is none, given the [Sum] of the payload ([SumPieces]).
//  5. [PutEchoReply], [PutPortUnreachable] and [PutPacketTooBig] build the whole ICMP packets a host sends.
//  6. [SymmetricHash] or an [RSSKey] maps a flow to the shard that owns it.
//
// Nothing here keeps state, allocates, or reads a clock. Every length on the wire is checked before it is
// believed; every loop over a packet is bounded by the packet's length or by a constant.
//
// Values are in host byte order, addresses in 16 bytes ([Addr]). Since IPv4 addresses live inside
// ::ffff:0:0/96 there, an IPv6 packet that claims such an address is dropped: it could pass for another flow.
package wire
