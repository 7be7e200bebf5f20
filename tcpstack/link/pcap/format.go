package pcap

import (
	"encoding/binary"
	"math"
)

// pcapng blocks (draft-ietf-opsawg-pcapng), written in little-endian order. Each is
//
//	type | total length | body, padded to 4 | options | total length again
const (
	blockSection    = 0x0a0d0d0a
	blockInterface  = 1
	blockStatistics = 5
	blockPacket     = 6
	blockSecrets    = 10

	byteOrderMagic = 0x1a2b3c4d
	linkTypeRaw    = 101 // packets begin with their IP header, of either version
	secretsTLS     = 0x544c534b

	optEnd         = 0
	optUserAppl    = 4 // in a section header
	optIfName      = 2 // in an interface description
	optIfTsresol   = 9
	optPacketFlags = 2 // in a packet
	optPacketQueue = 6
	optIfReceived  = 4 // in statistics
	optIfDropped   = 5
	flagInbound    = 1
	flagOutbound   = 2
	nanoseconds    = 9  // timestamps count 10^-9 s
	packetOverhead = 56 // of a packet block: everything but the data and its padding
)

// theInterface is the file's one interface. Queues are told apart by an option of each packet: libpcap refuses
// a second interface of this link type, because it compares it with the first one's after mapping only that.
const theInterface = 0

var le = binary.LittleEndian

// begin starts a block of the given type at the end of b; end must get the same position.
func begin(b []byte, kind uint32) (out []byte, at int) {
	at = len(b)
	b = le.AppendUint32(b, kind)
	return le.AppendUint32(b, 0), at
}

// end finishes the block that begins at position at.
func end(b []byte, at int) []byte {
	n := uint32(len(b) - at + 4)
	le.PutUint32(b[at+4:], n)
	return le.AppendUint32(b, n)
}

// pad fills up to a multiple of 4 bytes since position at.
func pad(b []byte, at int) []byte {
	for (len(b)-at)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// option appends one option.
func option(b []byte, code uint16, value []byte) []byte {
	b = le.AppendUint16(b, code)
	b = le.AppendUint16(b, uint16(len(value)))
	at := len(b)
	b = append(b, value...)
	return pad(b, at)
}

func appendSection(b []byte, program string) []byte {
	b, at := begin(b, blockSection)
	b = le.AppendUint32(b, byteOrderMagic)
	b = le.AppendUint16(b, 1) // version 1.0
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, math.MaxUint64) // length of the section: not known
	b = option(b, optUserAppl, []byte(program))
	b = le.AppendUint32(b, optEnd)
	return end(b, at)
}

func appendInterface(b []byte, name string, snap int) []byte {
	b, at := begin(b, blockInterface)
	b = le.AppendUint16(b, linkTypeRaw)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint32(b, uint32(snap))
	b = option(b, optIfName, []byte(name))
	b = option(b, optIfTsresol, []byte{nanoseconds})
	b = le.AppendUint32(b, optEnd)
	return end(b, at)
}

// appendTime appends a time stamp in nanoseconds since 1970: the upper half first, in either byte order.
func appendTime(b []byte, ns int64) []byte {
	b = le.AppendUint32(b, uint32(uint64(ns)>>32))
	return le.AppendUint32(b, uint32(ns))
}

// appendPacket appends the first snap bytes of packet p.
func appendPacket(b []byte, queue int, ns int64, p []byte, snap int, direction uint32) []byte {
	b, at := begin(b, blockPacket)
	b = le.AppendUint32(b, theInterface)
	b = appendTime(b, ns)
	kept := p[:min(len(p), snap)]
	b = le.AppendUint32(b, uint32(len(kept)))
	b = le.AppendUint32(b, uint32(len(p)))
	data := len(b)
	b = append(b, kept...)
	b = pad(b, data)
	b = le.AppendUint16(b, optPacketFlags)
	b = le.AppendUint16(b, 4)
	b = le.AppendUint32(b, direction)
	b = le.AppendUint16(b, optPacketQueue)
	b = le.AppendUint16(b, 4)
	b = le.AppendUint32(b, uint32(queue))
	b = le.AppendUint32(b, optEnd)
	return end(b, at)
}

func appendStatistics(b []byte, ns int64, received, dropped uint64) []byte {
	b, at := begin(b, blockStatistics)
	b = le.AppendUint32(b, theInterface)
	b = appendTime(b, ns)
	b = option(b, optIfReceived, le.AppendUint64(nil, received))
	b = option(b, optIfDropped, le.AppendUint64(nil, dropped))
	b = le.AppendUint32(b, optEnd)
	return end(b, at)
}

// appendSecrets appends a Decryption Secrets Block with lines in the format of SSLKEYLOGFILE.
func appendSecrets(b []byte, keylog []byte) []byte {
	b, at := begin(b, blockSecrets)
	b = le.AppendUint32(b, secretsTLS)
	b = le.AppendUint32(b, uint32(len(keylog)))
	data := len(b)
	b = append(b, keylog...)
	b = pad(b, data)
	return end(b, at)
}
