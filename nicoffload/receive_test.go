package nicoffload

import (
	"bytes"
	"encoding/binary"
	"testing"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/wire"
)

// incoming is a segment of a flow towards the shard.
type incoming struct {
	port  uint16
	at, n int
	flags wire.Flags
	v6    bool
	edit  func(h *wire.IPHeader, s *wire.Segment)
}

func (in incoming) packet(stream []byte) []byte {
	h := wire.IPHeader{Src: v4(10, 0, 0, 2), Dst: v4(10, 0, 0, 1), Protocol: wire.ProtoTCP, HopLimit: 64, DontFragment: true, V6: in.v6}
	h.ID = uint16(in.at)
	if in.v6 {
		h.Src, h.Dst = wire.Addr{0: 0xfd, 15: 2}, wire.Addr{0: 0xfd, 15: 1}
	}
	s := wire.Segment{
		SrcPort: in.port, DstPort: 443, Seq: wire.Seq(firstSeq).Add(in.at), Ack: 7, Window: 900,
		Flags: in.flags | wire.ACK, Payload: stream[in.at : in.at+in.n],
	}
	s.Options.TSVal, s.Options.TSEcr, s.Options.HasTS = 1, 2, true
	if in.edit != nil {
		in.edit(&h, &s)
	}
	b := make([]byte, 2000)
	return b[:wire.PutSegment(b, &h, &s)]
}

// deliver sends packets from the far end in one burst and returns what the shard gets.
func (r *rig) deliver(packets ...[]byte) []link.Frame {
	r.t.Helper()
	for _, p := range packets {
		if n, err := r.far.Transmit([]link.Frame{{Data: p}}); n != 1 || err != nil {
			r.t.Fatal(n, err)
		}
	}
	r.turn()
	n, err := r.dev.Receive(r.got)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.got[:n]
}

// Segments that follow each other become one superframe, whose parts are theirs; everything else stays as it is.
func TestMerge(t *testing.T) {
	stream := make([]byte, 20000)
	for i := range stream {
		stream[i] = byte(i * 7)
	}
	seg := func(at, n int) incoming { return incoming{port: 9, at: at, n: n} }
	for _, tc := range []struct {
		name string
		in   []incoming
		want []int // payload of the frames that the shard gets
	}{
		{"in sequence", []incoming{seg(0, 100), seg(100, 100), seg(200, 100)}, []int{300}},
		{"alone", []incoming{seg(0, 100)}, []int{100}},
		{"the last is shorter", []incoming{seg(0, 100), seg(100, 50), seg(150, 100)}, []int{150, 100}},
		{"longer than the first", []incoming{seg(0, 100), seg(100, 101)}, []int{100, 101}},
		{"gap", []incoming{seg(0, 100), seg(200, 100), seg(300, 100)}, []int{100, 200}},
		{"again", []incoming{seg(0, 100), seg(0, 100)}, []int{100, 100}},
		{"another flow between", []incoming{seg(0, 100), {port: 8, at: 100, n: 100}, seg(100, 100)}, []int{100, 100, 100}},
		{"push ends it", []incoming{seg(0, 100), {port: 9, at: 100, n: 100, flags: wire.PSH}, seg(200, 100)}, []int{200, 100}},
		{"fin is left alone", []incoming{seg(0, 100), {port: 9, at: 100, n: 100, flags: wire.FIN}}, []int{100, 100}},
		{"ack without data", []incoming{seg(0, 100), seg(100, 0), seg(100, 100)}, []int{100, 0, 100}},
		{"another time stamp", []incoming{seg(0, 100), {port: 9, at: 100, n: 100,
			edit: func(_ *wire.IPHeader, s *wire.Segment) { s.Options.TSVal = 5 }}}, []int{100, 100}},
		{"congestion", []incoming{seg(0, 100), {port: 9, at: 100, n: 100,
			edit: func(h *wire.IPHeader, _ *wire.Segment) { h.TOS = wire.CE }}}, []int{100, 100}},
		{"another ack", []incoming{seg(0, 100), {port: 9, at: 100, n: 100,
			edit: func(_ *wire.IPHeader, s *wire.Segment) { s.Ack = 8 }}}, []int{100, 100}},
		{"another window", []incoming{seg(0, 100), {port: 9, at: 100, n: 100,
			edit: func(_ *wire.IPHeader, s *wire.Segment) { s.Window = 5 }}}, []int{100, 100}},
	} {
		for _, v6 := range []bool{false, true} {
			r := newRig(t, rigConfig{})
			var packets [][]byte
			for _, in := range tc.in {
				in.v6 = v6
				packets = append(packets, in.packet(stream))
			}
			frames := r.deliver(packets...)
			var got []int
			at := 0
			for i := range frames {
				payload := checkFrame(t, &frames[i], stream)
				got = append(got, payload)
				at += payload
			}
			if !equalInts(got, tc.want) {
				t.Errorf("%s, IPv6 %v: frames of %v, want %v", tc.name, v6, got, tc.want)
			}
		}
	}
}

func equalInts(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// checkFrame parses a frame as the stack does and compares its payload with the stream's; it returns its length.
func checkFrame(t *testing.T, f *link.Frame, stream []byte) int {
	t.Helper()
	var h wire.IPHeader
	var s wire.Segment
	payload, drop := wire.ParseIP(f.Data, &h)
	if drop == wire.DropNone {
		drop = wire.ParseTCP(&h, payload, f.Csum == link.CsumComplete, &s)
	}
	if drop != wire.DropNone {
		t.Errorf("the stack would drop it: %v", drop)
		return -1
	}
	at := s.Seq.Sub(firstSeq)
	if !bytes.Equal(s.Payload, stream[at:at+len(s.Payload)]) {
		t.Errorf("payload of %d bytes at %d is wrong", len(s.Payload), at)
	}
	if f.Csum != link.CsumValid {
		t.Errorf("checksum state is %d", f.Csum)
	}
	if f.GSO > 0 && len(s.Payload) <= int(f.GSO) {
		t.Errorf("a superframe of one segment")
	}
	return len(s.Payload)
}

func TestMergeOff(t *testing.T) {
	r := newRig(t, rigConfig{})
	stream := make([]byte, 1000)
	if err := r.nif.SetFeature("LRO", false); err != nil {
		t.Fatal(err)
	}
	frames := r.deliver(incoming{port: 9, n: 100}.packet(stream), incoming{port: 9, at: 100, n: 100}.packet(stream))
	if len(frames) != 2 {
		t.Errorf("%d frames with rx-gro off, want 2", len(frames))
	}
}

// A burst of more than a superframe's worth, and the ring's arena turning over, many times.
func TestMergeLong(t *testing.T) {
	r := newRig(t, rigConfig{})
	stream := make([]byte, 60*1400)
	for i := range stream {
		stream[i] = byte(i * 11)
	}
	for range 200 {
		var packets [][]byte
		for at := 0; at < len(stream); at += 1400 {
			packets = append(packets, incoming{port: 9, at: at, n: 1400}.packet(stream))
		}
		total := 0
		frames := r.deliver(packets...)
		for i := range frames {
			total += checkFrame(t, &frames[i], stream)
		}
		if total != len(stream) || len(frames) != 2 {
			t.Fatalf("%d bytes in %d frames, want %d in 2", total, len(frames), len(stream))
		}
	}
	r.wantStat("rx_packets", 200*60)
	r.wantStat("rx_lro_packets", 200*58)
}

func TestReceiveChecksum(t *testing.T) {
	stream := []byte("some bytes of payload")
	good := incoming{port: 9, n: len(stream)}.packet(stream)
	bad := bytes.Clone(good)
	bad[len(bad)-1] ^= 1
	icmp := bytes.Clone(good)
	icmp[9] = wire.ProtoICMP
	for _, tc := range []struct {
		name   string
		off    bool
		packet []byte
		want   link.Csum
	}{
		{"right", false, good, link.CsumValid},
		{"wrong", false, bad, link.CsumComplete},
		{"no TCP", false, icmp, link.CsumComplete},
		{"switched off", true, good, link.CsumComplete},
	} {
		r := newRig(t, rigConfig{})
		r.nif.setFeature(rxCsum, !tc.off)
		frames := r.deliver(tc.packet)
		if len(frames) != 1 || frames[0].Csum != tc.want || !bytes.Equal(frames[0].Data, tc.packet) {
			t.Errorf("%s: checksum state %d, want %d, and the packet as it was", tc.name, frames[0].Csum, tc.want)
		}
	}
}

// With rx-checksum off a sum that the link left partial is completed, and the stack verifies it.
func TestReceivePartialWhileOff(t *testing.T) {
	r := newRig(t, rigConfig{cable: memory.Config{TSO: true}})
	r.nif.setFeature(rxCsum, false)
	f := r.plainFrame(make([]byte, 5000), 0, 1448, 5000)
	if _, err := r.far.Transmit([]link.Frame{f}); err != nil {
		t.Fatal(err)
	}
	r.turn()
	if n, _ := r.dev.Receive(r.got); n != 1 {
		t.Fatal("no frame")
	}
	if got := r.got[0]; got.Csum != link.CsumComplete || !checksumRight(got.Data) || got.GSO != 1448 {
		t.Errorf("checksum state %d, right %v, gso %d", got.Csum, checksumRight(got.Data), got.GSO)
	}
}

// Time stamps are those of the link.
func TestReceiveTime(t *testing.T) {
	r := newRig(t, rigConfig{})
	p := incoming{port: 9, n: 3}.packet([]byte("abc"))
	want := r.now
	if n, err := r.far.Transmit([]link.Frame{{Data: p}}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	r.turn()
	r.now = r.now.Add(5)
	if n, _ := r.dev.Receive(r.got); n != 1 || r.got[0].Time != want {
		t.Errorf("time %v, want %v", r.got[0].Time, want)
	}
	if binary.BigEndian.Uint16(p[2:]) != uint16(len(p)) {
		t.Error("the packet is malformed: nothing is tested")
	}
}

// Frames that the shard has not given back keep their memory, when the arena is full too.
func TestReceiveArenaFull(t *testing.T) {
	r := newRig(t, rigConfig{cable: memory.Config{TSO: true, RingBytes: 8 << 20}})
	payload := make([]byte, 60000)
	const frames = 50
	for i := range frames {
		for j := range payload {
			payload[j] = byte(i)
		}
		f := r.plainFrame(payload, 60000*i, 1448, 60000)
		if n, err := r.far.Transmit([]link.Frame{f}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	r.turn()
	if r.stat("rx_out_of_buffer") == 0 {
		t.Fatal("the arena was never full: nothing is tested")
	}
	got := 0
	for got < frames {
		n, err := r.dev.Receive(r.got[:7])
		if n == 0 || err != nil {
			t.Fatalf("%d frames after %d of %d: %v", n, got, frames, err)
		}
		r.turn() // would write over what is lent, if it could
		for _, f := range r.got[:n] {
			if b := f.Data[len(f.Data)-60000:]; !bytes.Equal(b, bytes.Repeat([]byte{byte(got)}, 60000)) {
				t.Fatalf("frame %d was overwritten", got)
			}
			got++
		}
	}
}
