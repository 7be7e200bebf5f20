package netsim

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// addressed is a packet of 1000 bytes.
func addressed(from, to netip.Addr, num uint32) link.Frame {
	b := numbered(num, 1000)
	h := wire.IPHeader{Src: wire.AddrFrom(from), Dst: wire.AddrFrom(to), Protocol: protoTest, HopLimit: 64}
	wire.PutIP(b, &h, len(b)-20)
	return link.Frame{Data: b}
}

// TestDumbbell: a packet takes its serialization and half its pair's RTT; its way back the other half.
func TestDumbbell(t *testing.T) {
	n := New(1)
	d := n.Dumbbell(DumbbellConfig{
		Pairs: 2, RTTs: []time.Duration{20 * ms, 31*ms + 1}, Rate: megabyte,
		Forward: WireConfig{Delay: us}, Back: WireConfig{Loss: Numbers{2}},
	})
	var got []string
	attach := func(name string, dev *Device, start ...link.Frame) {
		h := &puppet{deadline: mono.Never}
		h.do = func(now mono.Time) (bool, error) {
			if len(start) > 0 {
				dev.Transmit(start)
				start = nil
			}
			in := newFrames(8)
			k, err := dev.Receive(in)
			for _, f := range in[:k] {
				got = append(got, fmt.Sprintf("%s got %d at %d", name, number(f.Data), now.Sub(Epoch)))
			}
			return k > 0, err
		}
		n.Attach(h, dev)
	}
	attach("s0", d.Senders[0], addressed(SenderAddr(0), ReceiverAddr(0), 1), addressed(SenderAddr(0), ReceiverAddr(1), 2))
	attach("s1", d.Senders[1], addressed(SenderAddr(1), ReceiverAddr(1), 3), addressed(SenderAddr(1), SenderAddr(9), 4))
	attach("r0", d.Receivers[0], addressed(ReceiverAddr(0), SenderAddr(0), 5), addressed(ReceiverAddr(0), SenderAddr(0), 6))
	attach("r1", d.Receivers[1], addressed(ReceiverAddr(1), SenderAddr(0), 7))
	n.RunFor(time.Second, nil)
	want := []string{
		"s0 got 5 at 10000000", // number 6 is lost
		"r0 got 1 at 11001000",
		"s0 got 7 at 15500001",
		"r1 got 2 at 17501000",
		"r1 got 3 at 18501000", // number 4 leads nowhere
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if c := d.Bottleneck.Counters(); c.Out != 4 || c.MaxHeldBytes != 3000 {
		t.Errorf("bottleneck %+v", c)
	}
}

// TestDumbbellQueue: the default is a drop-tail of as many BDPs as asked for.
func TestDumbbellQueue(t *testing.T) {
	d := New(1).Dumbbell(DumbbellConfig{RTT: 100 * ms, Rate: 12_500_000, BDPs: 0.1})
	if q := d.Bottleneck.cfg.Queue.(*DropTail); q.Bytes != 125_000 || BDP(12_500_000, 100*ms) != 1_250_000 {
		t.Errorf("a tenth of a BDP of %d is %d bytes", BDP(12_500_000, 100*ms), q.Bytes)
	}
}

func TestSource(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  SourceConfig
		want []string
	}{
		{"constant", SourceConfig{Rate: megabyte, Size: 3000}, []string{"1ms", "4ms", "7ms", "10ms"}},
		{"at a rate that does not divide", SourceConfig{Rate: 7e6, Size: 20_000},
			[]string{"1ms", "3.857143ms", "6.714286ms", "9.571429ms"}},
		{"on and off", SourceConfig{Rate: megabyte, Size: 1000, On: 2500 * us, Off: 1700 * us},
			[]string{"1ms", "2ms", "3ms", "5.2ms", "6.2ms", "7.2ms", "9.4ms", "10.4ms"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := New(1)
			var got []string
			s := n.NewSource(Chain(n.NewDiscard(""), n.NewTap(func(now mono.Time, p *Packet) {
				if got = append(got, now.Sub(Epoch).String()); len(p.Data) != tt.cfg.Size {
					t.Errorf("a packet of %d bytes", len(p.Data))
				}
			})), tt.cfg)
			s.Start(Epoch.Add(ms), Epoch.Add(11*ms))
			n.RunFor(time.Second, nil)
			if !slices.Equal(got, tt.want) {
				t.Errorf("sent at %v, want %v", got, tt.want)
			}
			balance(t, s.Counters())
		})
	}
}

// TestRandomSource is on for its share of the time.
func TestRandomSource(t *testing.T) {
	n := New(1)
	sink := n.NewDiscard("end")
	s := n.NewSource(sink, SourceConfig{Rate: 2 * megabyte, On: 10 * ms, Off: 30 * ms, Random: true})
	s.Start(Epoch, mono.Never)
	n.RunFor(300*time.Second, nil)
	if share := float64(sink.Counters().Bytes) / (300 * 2e6); math.Abs(share-0.25) > 0.01 {
		t.Errorf("it sent %.3f of the time, want 0.25", share)
	}
}

func TestJainIndex(t *testing.T) {
	for _, tt := range []struct {
		shares []float64
		want   float64
	}{{nil, 1}, {[]float64{0, 0}, 1}, {[]float64{3, 3, 3}, 1}, {[]float64{1, 0, 0, 0}, 0.25}, {[]float64{1, 3}, 0.8}} {
		if got := JainIndex(tt.shares...); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.shares, got, tt.want)
		}
	}
}
