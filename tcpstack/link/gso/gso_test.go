package gso

import (
	"bytes"
	"testing"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/wire"
)

// superframe builds what the stack transmits: headers in Data, payload in pieces of the given sizes.
func superframe(v6 bool, flags wire.Flags, gso uint16, sizes ...int) (link.Frame, []byte) {
	ip := wire.IPHeader{V6: v6, Protocol: wire.ProtoTCP, HopLimit: 64, ID: 0xfffe, DontFragment: true,
		Src: wire.Addr{10: 0xff, 11: 0xff, 12: 10, 15: 1}, Dst: wire.Addr{10: 0xff, 11: 0xff, 12: 10, 15: 2}}
	if v6 {
		ip.Src, ip.Dst = wire.Addr{0: 0x20, 15: 1}, wire.Addr{0: 0x20, 15: 2}
	}
	seg := wire.Segment{SrcPort: 443, DstPort: 5000, Seq: 0xfffffff0, Ack: 77, Flags: flags, Window: 1000,
		Options: wire.Options{HasTS: true, TSVal: 5, TSEcr: 6}}
	f := link.Frame{GSO: gso, Csum: link.CsumPartial, CsumOffset: wire.ChecksumOffset}
	var payload []byte
	for i, n := range sizes {
		p := make([]byte, n)
		for k := range p {
			p[k] = byte(len(payload)+k) ^ byte(i)
		}
		f.Pieces = append(f.Pieces, p)
		payload = append(payload, p...)
	}
	b := make([]byte, 200)
	n := wire.PutIP(b, &ip, seg.HeaderLen()+len(payload))
	f.CsumStart = uint16(n)
	n += wire.PutTCP(b[n:], &ip, &seg, len(payload))
	f.Data = b[:n]
	return f, payload
}

// The segments of an IPv4 superframe count their identifications up (RFC 6864 section 4.1).
func TestSegment(t *testing.T) {
	const all = wire.ACK | wire.PSH | wire.FIN | wire.CWR
	for _, tt := range []struct {
		name  string
		v6    bool
		gso   uint16
		sizes []int
		want  []int // payload bytes of each packet
	}{
		{"odd pieces", false, 1448, []int{1, 1000, 0, 2001, 7}, []int{1448, 1448, 113}},
		{"IPv6", true, 1428, []int{5000}, []int{1428, 1428, 1428, 716}},
		{"exact multiple", false, 500, []int{1500}, []int{500, 500, 500}},
		{"less than one segment", false, 1448, []int{3}, []int{3}},
		{"no payload", false, 1448, nil, []int{0}},
		{"no superframe", false, 0, []int{700, 3}, []int{703}},
		{"64 KiB", true, 1400, []int{16384, 16384, 16384, 16000}, append(repeat(1400, 46), 752)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, payload := superframe(tt.v6, all, tt.gso, tt.sizes...)
			for _, form := range []string{"transmitted", "received"} {
				if form == "received" {
					for _, p := range f.Pieces {
						f.Data = append(f.Data, p...)
					}
					f.Pieces = nil
				}
				var s Segmenter
				var packets [][]byte
				if !s.Segment(&f, func(p []byte) { packets = append(packets, bytes.Clone(p)) }) {
					t.Fatalf("%s: refused", form)
				}
				check(t, packets, tt.want, payload, all)
			}
		})
	}
}

func repeat(v, n int) []int {
	var s []int
	for range n {
		s = append(s, v)
	}
	return s
}

// check parses the packets, checksums included, and compares what they carry.
func check(t *testing.T, packets [][]byte, sizes []int, payload []byte, flags wire.Flags) {
	t.Helper()
	if len(packets) != len(sizes) {
		t.Fatalf("%d packets, want %d", len(packets), len(sizes))
	}
	at := 0
	for i, p := range packets {
		var h wire.IPHeader
		var s wire.Segment
		b, d := wire.ParseIP(p, &h)
		if d == 0 {
			d = wire.ParseTCP(&h, b, true, &s)
		}
		if d != 0 {
			t.Fatalf("packet %d is bad: %v", i, d)
		}
		if h.HeaderLen+len(b) != len(p) {
			t.Errorf("packet %d: IP length %d, but %d bytes", i, h.HeaderLen+len(b), len(p))
		}
		if !h.V6 && h.ID != 0xfffe+uint16(i) {
			t.Errorf("packet %d: ID %#x, want %#x", i, h.ID, 0xfffe+uint16(i))
		}
		if want := wire.Seq(0xfffffff0).Add(at); s.Seq != want {
			t.Errorf("packet %d: sequence number %d, want %d", i, s.Seq, want)
		}
		want := flags
		if i > 0 {
			want &^= wire.CWR
		}
		if i < len(packets)-1 {
			want &^= wire.FIN | wire.PSH
		}
		if s.Flags != want {
			t.Errorf("packet %d: flags %b, want %b", i, s.Flags, want)
		}
		if !s.Options.HasTS || s.Options.TSVal != 5 || s.Ack != 77 || s.Window != 1000 {
			t.Errorf("packet %d: header changed: %+v", i, s)
		}
		if len(s.Payload) != sizes[i] || !bytes.Equal(s.Payload, payload[at:at+sizes[i]]) {
			t.Fatalf("packet %d: wrong payload of %d bytes, want %d", i, len(s.Payload), sizes[i])
		}
		at += sizes[i]
	}
}

func TestCompleteFramePassesUntouched(t *testing.T) {
	f := link.Frame{Data: []byte("not IP"), Pieces: [][]byte{[]byte(" at all")}}
	var s Segmenter
	var got []byte
	if !s.Segment(&f, func(p []byte) { got = bytes.Clone(p) }) || string(got) != "not IP at all" {
		t.Errorf("got %q", got)
	}
}

func TestMalformed(t *testing.T) {
	good, _ := superframe(false, wire.ACK, 1448, 5000)
	for _, tt := range []struct {
		name   string
		damage func(f *link.Frame)
	}{
		{"empty", func(f *link.Frame) { f.Data = nil }},
		{"cut in IP", func(f *link.Frame) { f.Data = f.Data[:19] }},
		{"cut in TCP", func(f *link.Frame) { f.Data = f.Data[:39] }},
		{"cut in options", func(f *link.Frame) { f.Data = f.Data[:50] }},
		{"version 5", func(f *link.Frame) { f.Data[0] = 0x55 }},
		{"header length 0", func(f *link.Frame) { f.Data[0] = 0x40 }},
		{"UDP", func(f *link.Frame) { f.Data[9] = wire.ProtoUDP }},
		{"TCP header length 0", func(f *link.Frame) { f.Data[32] = 0 }},
		{"checksum field outside", func(f *link.Frame) { f.GSO, f.CsumStart = 0, 60000 }},
	} {
		f := good
		f.Data = bytes.Clone(good.Data)
		tt.damage(&f)
		var s Segmenter
		if s.Segment(&f, func([]byte) { t.Errorf("%s: emitted a packet", tt.name) }) {
			t.Errorf("%s: accepted", tt.name)
		}
	}
}

// FuzzSegment: whatever comes in, nothing panics; what comes out of a superframe carries all its payload.
func FuzzSegment(f *testing.F) {
	for _, v6 := range []bool{false, true} {
		fr, payload := superframe(v6, wire.ACK, 100, 250)
		f.Add(append(fr.Data, payload...), uint16(100), fr.CsumStart, fr.CsumOffset, byte(2))
	}
	f.Fuzz(func(t *testing.T, data []byte, gso, start, offset uint16, csum byte) {
		in := link.Frame{Data: data, GSO: gso, Csum: link.Csum(csum % 3), CsumStart: start, CsumOffset: offset}
		var s Segmenter
		n, bytes := 0, 0
		ok := s.Segment(&in, func(p []byte) { n++; bytes += len(p) })
		if ok != (n > 0) {
			t.Fatalf("reported %v after %d packets", ok, n)
		}
		if ok && bytes < len(data) {
			t.Fatalf("%d bytes went in, %d came out", len(data), bytes)
		}
	})
}

func TestNoAllocations(t *testing.T) {
	f, _ := superframe(false, wire.ACK, 1448, 16000, 16000, 16000)
	var s Segmenter
	n := 0
	emit := func([]byte) { n++ }
	s.Segment(&f, emit)
	if a := testing.AllocsPerRun(100, func() { s.Segment(&f, emit) }); a != 0 {
		t.Errorf("%v allocations per superframe", a)
	}
}

func BenchmarkSegment(b *testing.B) {
	f, payload := superframe(false, wire.ACK, 1448, 16000, 16000, 16000, 16000)
	var s Segmenter
	emit := func([]byte) {}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		s.Segment(&f, emit)
	}
}
