package nicoffload

import (
	"bytes"
	"testing"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/gso"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/wire"
)

// Cut by the adapter or by the driver, a superframe becomes the very packets that tcpstack/link/gso makes of it.
func TestCutsLikeGSO(t *testing.T) {
	payload := make([]byte, 5000)
	for i := range payload {
		payload[i] = byte(i * 13)
	}
	for _, v6 := range []bool{false, true} {
		for _, flags := range []wire.Flags{wire.ACK, wire.ACK | wire.PSH | wire.FIN | wire.CWR | wire.ECE} {
			for _, host := range []bool{false, true} {
				f := superframe(payload, v6, flags)
				r := newRig(t, rigConfig{Config{TSO: TSOEmulate}, memory.Config{NoChecksum: true}})
				if host {
					r.nif.setFeature(txCsum, false)
				}
				r.send(f)
				r.turn()
				got := r.arrived()
				var cut gso.Segmenter
				i := 0
				cut.Segment(&f, func(p []byte) {
					if i >= len(got) || !bytes.Equal(got[i].Data, p) {
						t.Errorf("IPv6 %v, flags %#x, host %v: packet %d differs", v6, flags, host, i)
					}
					i++
				})
				if i != len(got) || i != 5 {
					t.Errorf("%d packets, want %d", len(got), i)
				}
			}
		}
	}
}

// superframe is a frame with TCP options to be cut at 1000 bytes.
func superframe(payload []byte, v6 bool, flags wire.Flags) link.Frame {
	h := wire.IPHeader{Src: v4(10, 0, 0, 1), Dst: v4(10, 0, 0, 2), Protocol: wire.ProtoTCP, HopLimit: 64, DontFragment: true, ID: 0xfffe, V6: v6}
	if v6 {
		h.Src, h.Dst = wire.Addr{0: 0xfd, 15: 1}, wire.Addr{0: 0xfd, 15: 2}
	}
	seg := wire.Segment{SrcPort: 443, DstPort: 50000, Seq: firstSeq, Ack: 99, Flags: flags, Window: 500}
	seg.Options.HasTS, seg.Options.TSVal, seg.Options.TSEcr = true, 1, 2
	n := seg.HeaderLen()
	data := make([]byte, wire.HeaderLen(&h)+n)
	ip := wire.PutIP(data, &h, n+len(payload))
	wire.PutTCP(data[ip:], &h, &seg, len(payload))
	return link.Frame{
		Data: data, Pieces: chop(payload, 333), GSO: 1000,
		Csum: link.CsumPartial, CsumStart: uint16(ip), CsumOffset: wire.ChecksumOffset,
	}
}

// What is no TCP superframe goes to the link as it is, whatever it asks for.
func TestSuperParse(t *testing.T) {
	good := superframe(make([]byte, 10), false, wire.ACK).Data
	good6 := superframe(make([]byte, 10), true, wire.ACK).Data
	edit := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	for _, tc := range []struct {
		name string
		head []byte
		gso  uint16
		want bool
	}{
		{"IPv4", good, 1000, true},
		{"IPv6", good6, 1000, true},
		{"no size", good, 0, false},
		{"UDP", edit(good, 9, wire.ProtoUDP), 1000, false},
		{"UDP over IPv6", edit(good6, 6, wire.ProtoUDP), 1000, false},
		{"IP of no version", edit(good, 0, 0x55), 1000, false},
		{"short IP header", edit(good, 0, 0x44), 1000, false},
		{"long IP header", edit(good, 0, 0x4f), 1000, false},
		{"TCP header beyond the data", edit(good, 20+tcpOff, 0xf0), 1000, false},
		{"no data", nil, 1000, false},
		{"cut off", good[:30], 1000, false},
		{"IPv6 cut off", good6[:30], 1000, false},
	} {
		var s super
		if got := s.parse(tc.head, tc.gso); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
