package nicoffload

import (
	"bytes"
	"encoding/binary"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/wire"
)

// A merging is a received segment in the ring's memory, not yet the shard's, to which the next ones of its flow
// are added as long as they follow it (Linux: GRO; adapters: LRO). It ends with the burst that it came in.
type merging struct {
	open  bool
	slot  rxSlot
	mem   []byte // len: the frame so far; cap: what it may become
	ip    int    // length of the IP header
	head  int    // of both headers
	next  uint32 // sequence number that follows
	ended bool   // the last segment was short or pushed
}

// mergeable returns the lengths of the IP header and of both headers of a segment that may be merged: plain data
// whose checksum is vouched for. 0: it may not.
func mergeable(f *link.Frame) (ip, head int) {
	b := f.Data
	if f.GSO != 0 || f.Csum == link.CsumComplete || len(b) < ipv4Header {
		return 0, 0
	}
	switch {
	case b[0] == 0x45 && b[9] == wire.ProtoTCP && binary.BigEndian.Uint16(b[6:])&0x3fff == 0:
		ip = ipv4Header
		if int(binary.BigEndian.Uint16(b[2:])) != len(b) {
			return 0, 0
		}
	case b[0]>>4 == 6 && len(b) > ipv6Header && b[6] == wire.ProtoTCP:
		ip = ipv6Header
		if int(binary.BigEndian.Uint16(b[4:])) != len(b)-ipv6Header {
			return 0, 0
		}
	default:
		return 0, 0
	}
	if len(b) < ip+wire.ChecksumOffset+4 || wire.Flags(b[ip+tcpFlags])&^wire.PSH != wire.ACK {
		return 0, 0
	}
	head = ip + int(b[ip+tcpOff]>>4)*4
	if head < ip+20 || head >= len(b) {
		return 0, 0
	}
	return ip, head
}

// merge adds f to the open superframe if it is the next segment of that flow.
func (n *nic) merge(f *link.Frame) bool {
	m := &n.merging
	if !m.open || m.ended {
		return false
	}
	ip, head := mergeable(f)
	if ip != m.ip || head != m.head || !sameFlow(m.mem, f.Data, ip, head) {
		return false
	}
	b := f.Data
	payload := len(b) - head
	first := int(m.slot.gso)
	if binary.BigEndian.Uint32(b[ip+tcpSeq:]) != m.next || payload > first || len(m.mem)+payload > cap(m.mem) {
		return false
	}
	m.mem = append(m.mem, b[head:]...)
	m.mem[ip+tcpFlags] |= b[ip+tcpFlags] & byte(wire.PSH)
	m.next += uint32(payload)
	m.ended = payload < first || wire.Flags(b[ip+tcpFlags])&wire.PSH != 0
	n.count.lroPackets.Add(1)
	n.count.rxPackets.Add(1)
	n.count.rxBytes.Add(uint64(len(b)))
	return true
}

// sameFlow compares the headers but for what differs from segment to segment: lengths, IP identification,
// sequence number, PSH, checksums. Options must be the same, as in Linux.
func sameFlow(a, b []byte, ip, head int) bool {
	at := 8 // from hop limit or time to live on; IPv6 has it one byte earlier
	if ip == ipv6Header {
		at = 6
		if !bytes.Equal(a[:4], b[:4]) {
			return false
		}
		return bytes.Equal(a[at:ip], b[at:ip]) && sameTCP(a[ip:head], b[ip:head])
	}
	return a[1] == b[1] && a[6] == b[6] && bytes.Equal(a[at:10], b[at:10]) &&
		bytes.Equal(a[12:ip], b[12:ip]) && sameTCP(a[ip:head], b[ip:head])
}

func sameTCP(a, b []byte) bool {
	return bytes.Equal(a[:tcpSeq], b[:tcpSeq]) && bytes.Equal(a[8:tcpFlags], b[8:tcpFlags]) &&
		bytes.Equal(a[14:wire.ChecksumOffset], b[14:wire.ChecksumOffset]) && bytes.Equal(a[18:], b[18:])
}

// openMerge keeps the frame in s open for more, if it may be merged and its memory can grow.
func (n *nic) openMerge(s *rxSlot, f *link.Frame, mem []byte) bool {
	if cap(mem) == len(f.Data) {
		return false
	}
	ip, head := mergeable(f)
	if ip == 0 || wire.Flags(f.Data[ip+tcpFlags])&wire.PSH != 0 {
		return false
	}
	s.gso = uint16(len(f.Data) - head)
	n.merging = merging{
		open: true, slot: *s, mem: mem[:len(f.Data)], ip: ip, head: head,
		next: binary.BigEndian.Uint32(f.Data[ip+tcpSeq:]) + uint32(s.gso),
	}
	return true
}

// closeMerge gives the open superframe, if there is one, to the shard.
func (n *nic) closeMerge() {
	m := &n.merging
	if !m.open {
		return
	}
	m.open = false
	m.slot.length = len(m.mem)
	if len(m.mem) == m.head+int(m.slot.gso) {
		m.slot.gso = 0
	} else {
		m.finish()
	}
	n.rx.push(&m.slot)
	m.mem = nil
}

// finish makes the headers those of a superframe. Each of its segments was verified: its own sum is not made.
func (m *merging) finish() {
	b := m.mem
	m.slot.csum, m.slot.csumStart, m.slot.csumOffset = link.CsumValid, 0, 0
	if m.ip == ipv6Header {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-ipv6Header))
		return
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], ^wire.Checksum(b[:m.ip], 0).Fold())
}

// mergeRoom is how much memory a segment should get so that those behind it in the burst can be added.
func (n *nic) mergeRoom(f *link.Frame) int {
	room := len(f.Data)
	if !n.nif.features.has(rxGRO) {
		return room
	}
	if ip, _ := mergeable(f); ip == 0 {
		return room
	}
	for i := n.in.at + 1; i < n.in.n; i++ {
		room += len(n.in.frames[i].Data)
	}
	return min(room, maxGSO)
}
