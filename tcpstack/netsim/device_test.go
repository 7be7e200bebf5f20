package netsim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

func newFrames(n int) []link.Frame { return make([]link.Frame, n) }

// TestSuperframesAreCutFirst: the bottleneck sees wire packets, each of which takes its own time.
func TestSuperframesAreCutFirst(t *testing.T) {
	n := New(1)
	d := n.NewDevice(DeviceConfig{TSO: true})
	var got []string
	d.Connect(Chain(n.NewDiscard(""),
		n.NewBottleneck(BottleneckConfig{Rate: megabyte, Queue: &DropTail{Packets: 2}}),
		n.NewTap(func(now mono.Time, p *Packet) {
			seg, _ := segment(p.Data)
			if !checksumHolds(p.Data) {
				t.Error("a packet's checksum is wrong")
			}
			got = append(got, fmt.Sprintf("%d+%d@%v sent %v", seg.Seq, len(seg.Payload), now.Sub(Epoch), p.Sent.Sub(Epoch)))
		})))
	f, _ := superframe(false, wire.ACK, 1, 948, 3*948+48)
	n.After(ms, func(mono.Time) { d.Transmit([]link.Frame{f}) })
	n.RunFor(time.Second, nil)
	// One goes at once, two wait, the last and smallest is dropped.
	want := []string{"1+948@2ms sent 1ms", "949+948@3ms sent 1ms", "1897+948@4ms sent 1ms"}
	if !slices.Equal(got, want) || d.Sent != 4 {
		t.Errorf("got %q\nwant %q; sent %d", got, want, d.Sent)
	}
}

func TestTransmitHoldsTheHostToCaps(t *testing.T) {
	n := New(1)
	super, _ := superframe(false, wire.ACK, 1, 1000, 5000)
	large, _ := superframe(false, wire.ACK, 1, 0, 1500)
	small, _ := superframe(false, wire.ACK, 1, 0, 100)
	huge := link.Frame{Data: super.Data, GSO: 1000, Pieces: [][]byte{make([]byte, 70_000)}}
	broken := link.Frame{Data: make([]byte, 40), GSO: 1000}
	for _, tt := range []struct {
		cfg   DeviceConfig
		frame link.Frame
		want  string
	}{
		{DeviceConfig{}, link.Frame{}, "empty"},
		{DeviceConfig{}, super, "TSO is off"},
		{DeviceConfig{}, large, "exceeds the MTU of 1500"},
		{DeviceConfig{NoChecksum: true}, small, "checksum offload is off"},
		{DeviceConfig{TSO: true}, huge, "at most 65535"},
		{DeviceConfig{TSO: true}, broken, "malformed"},
	} {
		d := n.NewDevice(tt.cfg)
		if _, err := d.Transmit([]link.Frame{small}); err == nil || !strings.Contains(err.Error(), "connected to nothing") {
			t.Errorf("unconnected: %v", err)
		}
		d.Connect(n.NewDiscard(""))
		if n, err := d.Transmit([]link.Frame{tt.frame}); n != 0 || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: took %d, error %v, want %q", tt.cfg, n, err, tt.want)
		}
	}
	d := n.NewDevice(DeviceConfig{Name: "eth0", MTU: 9000})
	if c := d.Caps(); c.MTU != 9000 || c.TSO4 || !c.TxChecksum || c.MaxGSO != 0 || d.Name() != "eth0" {
		t.Errorf("caps %+v", c)
	}
	if d.Wait(0) == nil {
		t.Error("Wait on virtual time did not complain")
	}
}

// TestFullRingPushesBack: what does not fit stays the host's, which is stepped when half is free.
func TestFullRingPushesBack(t *testing.T) {
	n := New(1)
	d := n.NewDevice(DeviceConfig{Rate: megabyte, Ring: 3000})
	d.Connect(n.NewDiscard(""))
	frame := link.Frame{Data: numbered(1, 1000)}
	var took []int
	h := &puppet{deadline: mono.Never}
	h.do = func(mono.Time) (bool, error) {
		k, err := d.Transmit(slices.Repeat([]link.Frame{frame}, 10))
		took = append(took, k)
		return false, err
	}
	n.Attach(h, d)
	n.RunFor(5*ms, nil)
	// One is on the line and three wait. At 2 ms one waits: a third, below half.
	if want := []int{4, 2, 2}; !slices.Equal(took, want) {
		t.Errorf("took %v, want %v", took, want)
	}
	if want := []time.Duration{0, 2 * ms, 4 * ms}; !slices.Equal(h.steps, want) || d.Refused != 3 {
		t.Errorf("stepped at %v, want %v; refused %d times", h.steps, want, d.Refused)
	}
}

// TestCoalescing: the host is told a fixed time after the first packet, and its frames carry the time at
// which it took them.
func TestCoalescing(t *testing.T) {
	n := New(1)
	d := n.NewDevice(DeviceConfig{Coalesce: 50 * us})
	var got []string
	h := &puppet{deadline: mono.Never}
	h.do = func(now mono.Time) (bool, error) {
		frames := newFrames(8)
		k, err := d.Receive(frames)
		for _, f := range frames[:k] {
			got = append(got, fmt.Sprintf("%d@%v", number(f.Data), f.Time.Sub(Epoch)))
		}
		return k > 0, err
	}
	n.Attach(h, d)
	for i, at := range []time.Duration{10, 20, 60, 61, 200} {
		n.After(at*us, func(mono.Time) { n.Inject(d, numbered(uint32(i+1), 100)) })
	}
	n.RunFor(ms, nil)
	if want := []string{"1@60µs", "2@60µs", "3@60µs", "4@111µs", "5@250µs"}; !slices.Equal(got, want) {
		t.Errorf("received %v, want %v", got, want)
	}
}

// gro sends frames to a GRO device and returns copies of what it delivers.
func gro(t *testing.T, frames ...link.Frame) (got []link.Frame) {
	t.Helper()
	n := New(1)
	from, to := n.NewDevice(DeviceConfig{TSO: true}), n.NewDevice(DeviceConfig{GRO: true})
	from.Connect(to)
	if k, err := from.Transmit(frames); k != len(frames) || err != nil {
		t.Fatal(k, err)
	}
	for {
		in := newFrames(100)
		k, _ := to.Receive(in)
		if k == 0 {
			return got
		}
		for _, f := range in[:k] {
			f.Data = bytes.Clone(f.Data)
			got = append(got, f)
		}
	}
}

// TestGRORebuildsSuperframes: what TSO has cut, GRO joins, byte by byte but for the checksum.
func TestGRORebuildsSuperframes(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, size := range []int{1400, 1401, 14_000, 65_000} {
			f, payload := superframe(v6, wire.ACK|wire.PSH, 1<<32-3000, 1400, size)
			got := gro(t, f)
			if len(got) != 1 {
				t.Fatalf("v6 %v, %d bytes: %d frames", v6, size, len(got))
			}
			want := append(bytes.Clone(f.Data), payload...)
			sum := int(f.CsumStart + f.CsumOffset)
			copy(want[sum:sum+2], got[0].Data[sum:])
			if !bytes.Equal(got[0].Data, want) {
				t.Errorf("v6 %v, %d bytes: came back changed", v6, size)
			}
			if merged := size > 1400; merged != (got[0].GSO == 1400) || merged != (got[0].Csum == link.CsumValid) {
				t.Errorf("v6 %v, %d bytes: GSO %d, checksum state %d", v6, size, got[0].GSO, got[0].Csum)
			}
		}
	}
}

// TestGROKeepsApart what one header cannot say.
func TestGROKeepsApart(t *testing.T) {
	frame := func(change func(ip *wire.IPHeader, s *wire.Segment)) link.Frame {
		ip := wire.IPHeader{
			Protocol: wire.ProtoTCP, HopLimit: 64,
			Src: wire.AddrFrom(SenderAddr(0)), Dst: wire.AddrFrom(ReceiverAddr(0)),
		}
		s := wire.Segment{SrcPort: 1, DstPort: 2, Seq: 1, Ack: 1, Flags: wire.ACK, Window: 9, Payload: make([]byte, 100)}
		s.Options.HasTS = true
		change(&ip, &s)
		b := make([]byte, 300)
		return link.Frame{Data: b[:wire.PutSegment(b, &ip, &s)]}
	}
	first := frame(func(*wire.IPHeader, *wire.Segment) {})
	for name, tt := range map[string]struct {
		change func(ip *wire.IPHeader, s *wire.Segment)
		frames int
	}{
		"the next one": {func(*wire.IPHeader, *wire.Segment) {}, 1},
		"last":         {func(_ *wire.IPHeader, s *wire.Segment) { s.Flags |= wire.PSH }, 1},
		"shorter":      {func(_ *wire.IPHeader, s *wire.Segment) { s.Payload = s.Payload[:1] }, 1},
		"longer":       {func(_ *wire.IPHeader, s *wire.Segment) { s.Payload = make([]byte, 101) }, 2},
		"pure ACK":     {func(_ *wire.IPHeader, s *wire.Segment) { s.Payload = nil }, 2},
		"gap":          {func(_ *wire.IPHeader, s *wire.Segment) { s.Seq++ }, 2},
		"again":        {func(_ *wire.IPHeader, s *wire.Segment) { s.Seq = 1 }, 2},
		"other flow":   {func(_ *wire.IPHeader, s *wire.Segment) { s.SrcPort = 3 }, 2},
		"other ACK":    {func(_ *wire.IPHeader, s *wire.Segment) { s.Ack++ }, 2},
		"window":       {func(_ *wire.IPHeader, s *wire.Segment) { s.Window++ }, 2},
		"timestamp":    {func(_ *wire.IPHeader, s *wire.Segment) { s.Options.TSVal++ }, 2},
		"SACK":         {func(_ *wire.IPHeader, s *wire.Segment) { s.Options.NSACK = 1 }, 2},
		"CE":           {func(ip *wire.IPHeader, _ *wire.Segment) { ip.TOS = 3 }, 2},
		"FIN":          {func(_ *wire.IPHeader, s *wire.Segment) { s.Flags |= wire.FIN }, 2},
		"CWR":          {func(_ *wire.IPHeader, s *wire.Segment) { s.Flags |= wire.CWR }, 2},
	} {
		second := frame(func(ip *wire.IPHeader, s *wire.Segment) { s.Seq += 100; tt.change(ip, s) })
		if got := gro(t, first, second); len(got) != tt.frames {
			t.Errorf("%s: %d frames, want %d", name, len(got), tt.frames)
		}
	}
	second := frame(func(_ *wire.IPHeader, s *wire.Segment) { s.Seq += 100 })
	second.Data[len(second.Data)-1] ^= 1
	if got := gro(t, first, second); len(got) != 2 || got[1].Csum != link.CsumComplete {
		t.Error("a damaged packet was merged or vouched for")
	}
}

// FuzzGRO: whatever arrives, the payload that comes out is what went in.
func FuzzGRO(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 2, 0, 0, 3, 4, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		var in []link.Frame
		var want []byte
		seq := wire.Seq(1)
		for _, op := range ops {
			size := 100
			flags := wire.ACK
			switch op % 6 {
			case 1:
				seq += 7
			case 2:
				flags |= wire.PSH
			case 3:
				size = 1 + int(op)
			case 4:
				flags |= wire.FIN
			}
			frame, payload := superframe(op&64 != 0, flags, seq, 0, size)
			frame.Data = bytes.Clone(frame.Data)
			in = append(in, frame)
			want = append(want, payload...)
			seq = seq.Add(size)
		}
		var out []byte
		for _, g := range gro(t, in...) {
			seg, ok := segment(g.Data)
			if !ok || g.Csum != link.CsumValid && !checksumHolds(g.Data) {
				t.Fatal("a broken frame came out")
			}
			out = append(out, seg.Payload...)
		}
		if !bytes.Equal(out, want) {
			t.Fatalf("%d bytes came out, %d went in", len(out), len(want))
		}
	})
}
