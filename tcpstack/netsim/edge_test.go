package netsim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// TestCoDelNeverStarvesTheLink: on a slow line every packet waits longer than the target; while only one
// is in the queue it is not dropped (RFC 8289 section 5.6, "less than one MTU").
func TestCoDelNeverStarvesTheLink(t *testing.T) {
	var b *Bottleneck
	l := newLab(t, 1, throttle(&b, BottleneckConfig{Rate: 10_000, Queue: &CoDel{}})) // 1000 bytes take 100 ms
	l.send(0, 1000)
	l.every(100*ms, 30, 1000) // each waits 100 ms
	l.run(10 * time.Second)
	if c := b.Counters(); c.Dropped != 0 || c.Out != 31 {
		t.Errorf("%d of 31 packets dropped, %d arrived", c.Dropped, c.Out)
	}
}

// TestCoDelRemembersItsRate: an episode soon after another goes on dropping where that one stopped (RFC
// 8289 section 5.5), and one long after it starts slowly.
func TestCoDelRemembersItsRate(t *testing.T) {
	gapOfSecondEpisode := func(pause time.Duration) time.Duration {
		n := New(1)
		q := &CoDel{}
		b := n.NewBottleneck(BottleneckConfig{Rate: megabyte, Queue: q})
		var drops []time.Duration
		inner := q.env.drop
		q.env.drop = func(p *Packet) { drops = append(drops, n.Now().Sub(Epoch)); inner(p) }
		b.Connect(n.NewDiscard(""))
		for _, start := range []time.Duration{0, time.Second + pause} {
			for i := range 1000 {
				n.After(start+time.Duration(i)*900*us, func(mono.Time) { n.Inject(b, numbered(0, 1000)) })
			}
		}
		n.RunFor(time.Minute, nil)
		second := slices.IndexFunc(drops, func(d time.Duration) bool { return d > time.Second+pause })
		return drops[second+1] - drops[second]
	}
	if soon, late := gapOfSecondEpisode(100*ms), gapOfSecondEpisode(5*time.Second); soon > 50*ms || late != 100*ms {
		t.Errorf("the second drop came after %v in an episode soon after the last, and after %v otherwise; want less than 50ms, and 100ms",
			soon, late)
	}
}

// TestEveryBitErrorShows: all flips are where a checksum covers them.
func TestEveryBitErrorShows(t *testing.T) {
	n := New(1)
	for _, v6 := range []bool{false, true} {
		f, _ := superframe(v6, wire.ACK, 1, 0, 10)
		n.NewDevice(DeviceConfig{}).cut.Segment(&f, func(whole []byte) {
			r := n.random("test", "bits")
			for range 2000 {
				b := slices.Clone(whole)
				if !flip(r, b) || checksumHolds(b) {
					t.Fatalf("v6 %v: nobody notices %x, which was %x", v6, b, whole)
				}
			}
		})
	}
	if flip(nil, nil) {
		t.Error("flipped a bit of nothing")
	}
}

// TestGROEndsSuperframes at a short segment, at PSH, and where no more fits.
func TestGROEndsSuperframes(t *testing.T) {
	sizes := func(parts ...int) (got []int) {
		seq := wire.Seq(1)
		n := New(1)
		from, to := n.NewDevice(DeviceConfig{TSO: true}), n.NewDevice(DeviceConfig{GRO: true})
		from.Connect(to)
		for _, part := range parts {
			flags := wire.ACK
			if part < 0 {
				flags, part = flags|wire.PSH, -part
			}
			f, _ := superframe(false, flags, seq, 1000, part)
			from.Transmit([]link.Frame{f})
			seq = seq.Add(part)
		}
		frames := newFrames(200)
		k, _ := to.Receive(frames)
		for _, f := range frames[:k] {
			seg, _ := segment(f.Data)
			got = append(got, len(seg.Payload))
		}
		return got
	}
	for _, tt := range []struct{ parts, want []int }{
		{[]int{3000, 2000}, []int{5000}},
		{[]int{2500, 2000}, []int{2500, 2000}},
		{[]int{-2000, 2000}, []int{2000, 2000}},
		{[]int{2000, -500, 2000}, []int{2500, 2000}},
		{[]int{60_000, 60_000}, []int{65_000, 55_000}},
	} {
		if got := sizes(tt.parts...); !slices.Equal(got, tt.want) {
			t.Errorf("%v came as %v, want %v", tt.parts, got, tt.want)
		}
	}
}

func TestTimeNeverGoesBack(t *testing.T) {
	n := New(1)
	n.RunFor(ms, nil)
	n.Run(Epoch, nil)
	if n.Now() != Epoch.Add(ms) {
		t.Errorf("it is %v", n.Now().Sub(Epoch))
	}
}

// TestPacketNumbers count what was transmitted; a duplicate has its original's and no number is left out.
func TestPacketNumbers(t *testing.T) {
	n := New(1)
	got := &keep{}
	w := n.NewWire(WireConfig{Duplicate: 1})
	w.Connect(got)
	for range 3 {
		n.Inject(w, numbered(0, 100))
		n.RunFor(ms, nil)
	}
	var ids []string
	for _, p := range got.packets {
		ids = append(ids, fmt.Sprintf("%d@%v", p.ID, p.Sent.Sub(Epoch)))
	}
	if want := []string{"1@0s", "1@0s", "2@1ms", "2@1ms", "3@2ms", "3@2ms"}; !slices.Equal(ids, want) {
		t.Errorf("got %v, want %v", ids, want)
	}
}
