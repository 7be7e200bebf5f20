package wire

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// seedPackets are what the encoder makes, and what Linux made.
func seedPackets(f *testing.F) (seeds [][]byte) {
	for _, text := range []string{
		linuxSYN, linuxACK, linuxSACK, linuxData, linuxSYN6, echoRequest4, echoRequest6,
		unreachable4, unreachable6, bigSegment4, bigSegment6,
	} {
		seeds = append(seeds, unhex(f, text))
	}
	for _, v6 := range []bool{false, true} {
		h := IPHeader{Src: addr("192.0.2.9"), Dst: addr("192.0.2.1"), Protocol: ProtoTCP, HopLimit: 64, DontFragment: true, V6: v6}
		if v6 {
			h.Src, h.Dst = addr("2001:db8::9"), addr("2001:db8::1")
		}
		s := Segment{SrcPort: 1, DstPort: 2, Flags: ACK | FIN, Payload: []byte("odd")}
		s.Options = Options{HasTS: true, NSACK: 3, SACK: [4]SACKBlock{{1, 2}, {3, 4}, {5, 6}}}
		b := make([]byte, 1500)
		n := PutSegment(b, &h, &s)
		tcp := append([]byte(nil), b[:n]...)
		seeds = append(seeds, tcp)
		h.HeaderLen = HeaderLen(&h)
		back := h
		back.Src, back.Dst = h.Dst, h.Src // so that the error answers a segment of ours
		n = PutSegment(b, &back, &s)
		e := make([]byte, 1500)
		seeds = append(seeds, append([]byte(nil), e[:PutPacketTooBig(e, back.Dst, &back, b[:n], 1280)]...))
	}
	return append(seeds,
		header6(0, unhex(f, "3c00 0104 00000000 2b00 0104 00000000 0600 0000 00000000")),
		header6(44, unhex(f, "0600 0000 12345678")),
	)
}

// FuzzSegment parses anything, emits what it understood, and must understand the same again. Parsing must
// never read beyond the packet nor yield bytes from outside of it.
func FuzzSegment(f *testing.F) {
	for _, s := range seedPackets(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		fixIPv4(packet) // or the fuzzer would never get past the checksum
		var h IPHeader
		b, d := ParseIP(packet, &h)
		if d != DropNone {
			return
		}
		if h.HeaderLen+len(b) > len(packet) || cap(b) != len(b) || len(b) > 0 && &b[0] != &packet[h.HeaderLen] {
			t.Fatalf("payload of %d bytes behind a header of %d in a packet of %d", len(b), h.HeaderLen, len(packet))
		}
		var s Segment
		if ParseTCP(&h, b, false, &s) != DropNone || s.HeaderLen()+len(s.Payload) > MaxPayload(&h) {
			return
		}
		out := make([]byte, HeaderLen(&h)+s.HeaderLen()+len(s.Payload))
		if n := PutSegment(out, &h, &s); n != len(out) {
			t.Fatalf("wrote %d bytes of %d", n, len(out))
		}
		h2, s2 := reparse(t, out)
		h.HeaderLen = HeaderLen(&h) // options and extension headers are not emitted
		if h2 != h && h.Protocol == ProtoTCP {
			t.Errorf("IP: got %+v, want %+v", h2, h)
		}
		wantSegment(t, "reparsed", &s2, &s)
	})
}

// reparse parses a packet of ours, which must be right in all respects but its protocol number.
func reparse(t *testing.T, packet []byte) (h IPHeader, s Segment) {
	b, d := ParseIP(packet, &h)
	if d != DropNone {
		if packet[0]>>4 == 6 && packet[6] != ProtoTCP { // an upper layer that reads as an extension header
			t.Skip()
		}
		t.Fatalf("our own packet: %v", d)
	}
	if d := ParseTCP(&h, b, true, &s); d != DropNone {
		t.Fatalf("our own segment: %v", d)
	}
	return h, s
}

// FuzzICMP parses anything as ICMP; what it says of a quote must hold, and echoes must come back whole.
func FuzzICMP(f *testing.F) {
	for _, s := range seedPackets(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		if len(packet) < 44 {
			return
		}
		resum(packet)
		var h IPHeader
		var m ICMP
		b, d := ParseIP(packet, &h)
		if d != DropNone || ParseICMP(&h, b, &m) != DropNone {
			return
		}
		if m.Quoted && (m.Flow.Local != h.Dst || m.Kind < ICMPUnreachable || len(m.Data) < 28) {
			t.Errorf("quote accepted: %+v", m)
		}
		out := make([]byte, 40+len(b))
		n := PutEchoReply(out, &h, &m)
		if n == 0 {
			return
		}
		var rh IPHeader
		var r ICMP
		b, d = ParseIP(out[:n], &rh)
		if d != DropNone || ParseICMP(&rh, b, &r) != DropNone {
			t.Fatalf("our own reply: %v", d)
		}
		if r.Kind != ICMPEchoReply || r.EchoID != m.EchoID || r.EchoSeq != m.EchoSeq || !bytes.Equal(r.Data, m.Data) {
			t.Errorf("reply %+v to %+v", r, m)
		}
	})
}

// FuzzEmit goes the other way: any values must be emitted within the room promised and read back the same.
func FuzzEmit(f *testing.F) {
	f.Add(uint32(1), uint32(2), uint8(ACK), uint8(1), uint16(0), uint8(0), uint8(3), uint32(9), []byte("data"))
	f.Add(uint32(1), uint32(2), uint8(SYN), uint8(15), uint16(1460), uint8(7), uint8(2), uint32(9), []byte("GET"))
	f.Add(uint32(1), uint32(2), uint8(SYN), uint8(15), uint16(1460), uint8(14), uint8(0), uint32(9), []byte{})
	f.Fuzz(func(t *testing.T, seq, ack uint32, flags, which uint8, mss uint16, scale, blocks uint8, ts uint32, payload []byte) {
		h := IPHeader{Src: addr("192.0.2.9"), Dst: addr("192.0.2.1"), Protocol: ProtoTCP}
		s := Segment{SrcPort: 7, DstPort: 8, Seq: Seq(seq), Ack: Seq(ack), Flags: Flags(flags), Payload: payload}
		o := &s.Options
		if o.HasTS = which&1 != 0; o.HasTS {
			o.TSVal, o.TSEcr = ts, ^ts
		}
		if which&16 != 0 {
			o.HasGuard, o.Guard = true, uint64(ts)<<32|uint64(seq)
		}
		if s.Flags.Has(SYN) { // the other options belong to the one or the other kind of segment
			o.MSS, o.SACKPermitted = mss, which&2 != 0
			if o.HasWScale = which&4 != 0; o.HasWScale {
				o.WScale = scale % 15
			}
			if which&24 == 8 { // both may not fit
				o.FastOpen = NewFastOpen(make([]byte, []int{0, 4, 8, 14, 16}[int(blocks)%5]))
				binary.BigEndian.PutUint32(o.FastOpen.Data[:], ts)
				clear(o.FastOpen.Data[o.FastOpen.Len:])
			}
		} else {
			o.NSACK = blocks % 4
			if o.HasGuard {
				o.NSACK = 0
			}
			for i := range o.NSACK {
				o.SACK[i] = SACKBlock{Seq(ts), Seq(seq + uint32(i))}
			}
		}
		n := 20 + s.HeaderLen() + len(payload)
		if n > 65535 {
			return
		}
		out := bytes.Repeat([]byte{0xee}, n+4)
		if got := PutSegment(out, &h, &s); got != n || !bytes.Equal(out[n:], []byte{0xee, 0xee, 0xee, 0xee}) {
			t.Fatalf("wrote %d bytes of %d, behind it %x", got, n, out[n:])
		}
		_, s2 := reparse(t, out[:n])
		wantSegment(t, "read back", &s2, &s)
	})
}
