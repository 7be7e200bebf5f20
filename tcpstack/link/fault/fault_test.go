package fault

import (
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A bench is a stack's end behind a bad wire, and a good far end, on a virtual clock.
type bench struct {
	t         testing.TB
	now       mono.Time
	wire      *Interface
	near, far link.Device
	frames    []link.Frame
}

func newBench(t testing.TB, spec string, m memory.Config) *bench {
	t.Helper()
	b := &bench{t: t, now: 1, frames: make([]link.Frame, 256)}
	cfg, err := ParseSpec(spec)
	if err != nil {
		t.Fatal(err)
	}
	clock := func() mono.Time { return b.now }
	m.TSO, m.Clock, cfg.Clock = true, clock, clock
	x, y := memory.New(m)
	b.wire = New(x, cfg)
	b.near, b.far = b.wire.Queues()[0], y.Queues()[0]
	t.Cleanup(func() { b.wire.Close() })
	return b
}

// send sends a superframe, or a packet if gso is 0, with sequence number seq.
func (b *bench) send(d link.Device, v6 bool, seq uint32, payload, gso int) {
	b.t.Helper()
	if n, err := d.Transmit([]link.Frame{frame(v6, seq, payload, gso)}); n != 1 || err != nil {
		b.t.Fatalf("Transmit: %d, %v", n, err)
	}
}

func frame(v6 bool, seq uint32, payload, gso int) link.Frame {
	ip := wire.IPHeader{Protocol: wire.ProtoTCP, HopLimit: 64,
		Src: wire.Addr{10: 0xff, 11: 0xff, 12: 10, 15: 1}, Dst: wire.Addr{10: 0xff, 11: 0xff, 12: 10, 15: 2}}
	if v6 {
		ip.V6, ip.Src, ip.Dst = true, wire.Addr{0: 0x20, 15: 1}, wire.Addr{0: 0x20, 15: 2}
	}
	seg := wire.Segment{SrcPort: 443, DstPort: 5000, Seq: wire.Seq(seq), Flags: wire.ACK, Window: 1000}
	buf := make([]byte, 80)
	f := link.Frame{Csum: link.CsumPartial, CsumOffset: wire.ChecksumOffset, GSO: uint16(gso)}
	n := wire.PutIP(buf, &ip, 20+payload)
	f.CsumStart = uint16(n)
	n += wire.PutTCP(buf[n:], &ip, &seg, payload)
	f.Data = buf[:n]
	f.Pieces = [][]byte{make([]byte, payload)}
	for i := range f.Pieces[0] {
		f.Pieces[0][i] = byte(i * 7)
	}
	return f
}

// receive takes what has arrived and returns the sequence numbers of the good packets, and how many bad
// ones a receiver would have dropped.
func (b *bench) receive(d link.Device) (seqs []uint32, bad int) {
	b.t.Helper()
	for {
		n, err := d.Receive(b.frames)
		if err != nil {
			b.t.Fatal(err)
		}
		if n == 0 {
			return seqs, bad
		}
		for _, f := range b.frames[:n] {
			if f.GSO != 0 || f.Csum != link.CsumComplete {
				b.t.Fatalf("a packet came with GSO %d, checksum state %d: not as from a wire", f.GSO, f.Csum)
			}
			var h wire.IPHeader
			var s wire.Segment
			p, drop := wire.ParseIP(f.Data, &h)
			if drop == 0 && h.Protocol == wire.ProtoTCP {
				drop = wire.ParseTCP(&h, p, true, &s)
			}
			if drop != 0 {
				bad++
				continue
			}
			seqs = append(seqs, uint32(s.Seq))
		}
	}
}

func (b *bench) wantSeqs(d link.Device, want ...uint32) {
	b.t.Helper()
	if got, bad := b.receive(d); !slices.Equal(got, want) || bad > 0 {
		b.t.Errorf("at %v: packets %v and %d bad ones, want %v", time.Duration(b.now), got, bad, want)
	}
}

func TestGoodWireCutsSuperframes(t *testing.T) {
	b := newBench(t, "", memory.Config{})
	b.send(b.near, false, 0, 3500, 1000)
	b.wantSeqs(b.far, 0, 1000, 2000, 3000)
	b.send(b.far, true, 500, 2500, 1000)
	b.send(b.far, true, 9000, 10, 0)
	b.wantSeqs(b.near, 500, 1500, 2500, 9000)
	if s := b.wire.Stats(); s != (Stats{Packets: 8}) {
		t.Errorf("stats: %+v", s)
	}
}

func TestDelayIsExact(t *testing.T) {
	b := newBench(t, "delay=5ms", memory.Config{})
	b.send(b.near, false, 1, 1, 0)
	b.send(b.far, false, 2, 1, 0)
	b.wantSeqs(b.near) // takes it in
	b.now += mono.Time(5*time.Millisecond) - 1
	b.wantSeqs(b.near)
	b.wantSeqs(b.far)
	b.now++
	b.wantSeqs(b.near, 2)
	b.wantSeqs(b.far, 1) // near's Receive handed it on
}

func TestEveryFlippedBitIsCaught(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		b := newBench(t, "corrupt=100%,seed=3", memory.Config{})
		for i := range 5000 {
			// Short packets, so that header bits are hit often.
			b.send(b.near, v6, uint32(i), i%50, 0)
			if seqs, bad := b.receive(b.far); len(seqs) != 0 || bad != 1 {
				t.Fatalf("IPv6 %v: corrupted packet %d passed the receiver's checks: %v", v6, i, seqs)
			}
		}
	}
}

func TestFlipSparesWhatNothingCovers(t *testing.T) {
	for _, tt := range []struct {
		name     string
		p        []byte
		from, to int
	}{
		{"IPv4 TCP", packet4(wire.ProtoTCP, 60), 0, 60},
		{"IPv4 UDP: the header only", packet4(wire.ProtoUDP, 60), 0, 20},
		{"IPv6 TCP: not the first 8 bytes", packet6(wire.ProtoTCP, 60), 8, 60},
		{"IPv6 hop-by-hop", packet6(0, 60), 0, 0},
		{"garbage", []byte{0x90, 1, 2}, 0, 0},
		{"empty", nil, 0, 0},
	} {
		if from, to := covered(tt.p); from != tt.from || to != tt.to {
			t.Errorf("%s: %d to %d, want %d to %d", tt.name, from, to, tt.from, tt.to)
		}
	}
}

func packet4(protocol byte, n int) []byte {
	p := make([]byte, n)
	p[0], p[9] = 0x45, protocol
	return p
}

func packet6(protocol byte, n int) []byte {
	p := make([]byte, n)
	p[0], p[6] = 0x60, protocol
	return p
}

// TestBooksBalance: every packet that goes in comes out as the counters say, and the shares are as asked.
func TestBooksBalance(t *testing.T) {
	const n = 20000
	b := newBench(t, "loss=2%,reorder=3%,dup=1%,corrupt=4%,seed=7", memory.Config{})
	var good []uint32
	var bad int
	for i := range n {
		d, other := b.near, b.far
		if i%2 == 1 {
			d, other = other, d
		}
		b.send(d, i%4 < 2, uint32(i), 100, 0)
		b.now += mono.Time(50 * time.Microsecond)
		g, k := b.receive(other)
		good, bad = append(good, g...), bad+k
	}
	b.now += mono.Time(overtakeBy)
	for _, d := range []link.Device{b.near, b.far} {
		g, k := b.receive(d)
		good, bad = append(good, g...), bad+k
	}
	s := b.wire.Stats()
	t.Logf("%+v", s)
	if s.Packets != n || uint64(bad) != s.Corrupted || uint64(len(good)) != n-s.Lost+s.Duplicated-s.Corrupted {
		t.Errorf("%d good and %d bad of %d packets do not fit %+v", len(good), bad, n, s)
	}
	for _, c := range []struct {
		what string
		got  uint64
		want float64 // share; four standard deviations of a binomial are allowed
	}{{"lost", s.Lost, .02}, {"reordered", s.Reordered, .98 * .03}, {"duplicated", s.Duplicated, .98 * .01}, {"corrupted", s.Corrupted, .98 * .04}} {
		dev := float64(c.got) - c.want*n
		if dev*dev > 16*n*c.want*(1-c.want) {
			t.Errorf("%s: %d of %d, want a share of %.4f", c.what, c.got, n, c.want)
		}
	}
}

func TestSameSeedSameFaults(t *testing.T) {
	run := func(spec string) []uint32 {
		b := newBench(t, spec, memory.Config{RingFrames: 4096})
		for i := range 500 {
			b.send(b.near, false, uint32(i), 10, 0)
			b.now += mono.Time(100 * time.Microsecond)
		}
		b.now += mono.Time(time.Second)
		b.near.Receive(nil)
		seqs, _ := b.receive(b.far)
		return seqs
	}
	first := run("loss=5%,reorder=5%,dup=5%,seed=1")
	if !slices.Equal(first, run("loss=5%,reorder=5%,dup=5%,seed=1")) {
		t.Error("the same seed gave other faults")
	}
	if slices.Equal(first, run("loss=5%,reorder=5%,dup=5%,seed=2")) {
		t.Error("another seed gave the same faults")
	}
	if slices.IsSorted(first) {
		t.Error("nothing was reordered")
	}
}

// TestLosesSegmentsNotBursts: one superframe under 10 % loss arrives with gaps.
func TestLosesSegmentsNotBursts(t *testing.T) {
	b := newBench(t, "loss=10%,seed=5", memory.Config{})
	b.send(b.near, false, 0, 50000, 1000)
	seqs, _ := b.receive(b.far)
	lost := int(b.wire.Stats().Lost)
	if lost == 0 || lost > 20 || len(seqs) != 50-lost {
		t.Errorf("%d of 50 segments arrived, %d lost", len(seqs), lost)
	}
}

func TestBackPressure(t *testing.T) {
	b := newBench(t, "", memory.Config{RingFrames: 8})
	b.send(b.near, false, 0, 20000, 1000) // 20 packets into a ring of 8: taken as a whole, the rest waits
	f := []link.Frame{frame(false, 90000, 1, 0)}
	if n, err := b.near.Transmit(f); n != 0 || err != nil {
		t.Fatalf("a full ring took %d frames, %v", n, err)
	}
	var want, got []uint32
	for i := range 20 {
		want = append(want, uint32(1000*i))
	}
	for range 10 {
		seqs, _ := b.receive(b.far)
		got = append(got, seqs...)
		b.near.Wait(b.now) // hands on what fits
	}
	if !slices.Equal(got, want) {
		t.Errorf("arrived %v, want %v", got, want)
	}
	if n, _ := b.near.Transmit(f); n != 1 {
		t.Error("the empty ring pushes back still")
	}
}

func TestWaitEndsWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		clock := func() mono.Time { return mono.Time(1 + time.Since(start)) }
		x, y := memory.New(memory.Config{Clock: clock})
		w := New(x, Config{Delay: 5 * time.Millisecond, Clock: clock})
		defer w.Close()
		near, far := w.Queues()[0], y.Queues()[0]
		frames := make([]link.Frame, 4)

		far.Transmit([]link.Frame{frame(false, 1, 10, 0)})
		if n, _ := near.Receive(frames); n != 0 {
			t.Error("a packet came without delay")
		}
		near.Wait(mono.Never)
		if n, _ := near.Receive(frames); n != 1 || time.Since(start) != 5*time.Millisecond {
			t.Errorf("%d packets after %v, want 1 after 5ms", n, time.Since(start))
		}

		near.Transmit([]link.Frame{frame(false, 1, 10, 0)})
		near.Wait(mono.Never) // must hand the packet on by itself
		if n, _ := far.Receive(frames); n != 1 || time.Since(start) != 10*time.Millisecond {
			t.Errorf("%d packets at the far end after %v, want 1 after 10ms", n, time.Since(start))
		}
	})
}

func TestClose(t *testing.T) {
	b := newBench(t, "delay=1ms", memory.Config{})
	b.send(b.near, false, 1, 1, 0)
	b.wire.Close()
	if _, err := b.near.Receive(b.frames); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive after Close: %v", err)
	}
	if err := b.near.Wait(mono.Never); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Wait after Close: %v", err)
	}
}

// FuzzLine compares the order in which packets leave a line with a sort by due time and arrival.
func FuzzLine(f *testing.F) {
	f.Add([]byte{5, 3, 3, 0x81, 9, 1, 0x8f})
	f.Fuzz(func(t *testing.T, ops []byte) {
		type entry struct {
			due mono.Time
			id  uint32
		}
		var l line
		var model []entry
		now := mono.Time(0)
		take := func() {
			l.advance(now)
			slices.SortStableFunc(model, func(a, b entry) int { return int(a.due - b.due) })
			for _, p := range l.ready() {
				if len(model) == 0 || model[0].id != binary.BigEndian.Uint32(p.data) || model[0].due > now {
					t.Fatalf("at %d: packet %x, due at %d, left out of order", now, p.data, p.due)
				}
				model = model[1:]
			}
			l.done(len(l.ready()))
			if len(model) > 0 && (model[0].due <= now || l.next() != model[0].due) {
				t.Fatalf("at %d: a packet due at %d did not leave", now, model[0].due)
			}
		}
		for i, op := range ops {
			if op&0x80 != 0 {
				now += mono.Time(op & 0x7f)
				take()
				continue
			}
			e := entry{now + mono.Time(op), uint32(i)}
			model = append(model, e)
			l.hold(binary.BigEndian.AppendUint32(nil, e.id), e.due)
		}
		now += 200
		take()
		if len(model) > 0 || l.bytes != 0 || l.next() != mono.Never {
			t.Fatalf("%d packets and %d bytes stayed", len(model), l.bytes)
		}
	})
}

func TestNoAllocations(t *testing.T) {
	b := newBench(t, "loss=1%,reorder=1%,dup=1%,corrupt=1%,delay=1ms", memory.Config{})
	f := []link.Frame{frame(false, 0, 60000, 1448)}
	out := make([]link.Frame, 64)
	round := func() {
		b.near.Transmit(f)
		b.far.Transmit(f)
		b.now += mono.Time(300 * time.Microsecond)
		b.near.Receive(out)
		b.near.Receive(out)
		b.far.Receive(out)
		b.far.Receive(out)
	}
	for range 200 { // until every list has its size
		round()
	}
	if n := testing.AllocsPerRun(200, round); n != 0 {
		t.Errorf("%v allocations per round of two superframes", n)
	}
}

func BenchmarkFault(b *testing.B) {
	w := newBench(b, "loss=1%,reorder=1%,dup=1%,corrupt=1%", memory.Config{})
	f := []link.Frame{frame(false, 0, 60000, 1448)}
	out := make([]link.Frame, 64)
	b.SetBytes(60000)
	b.ReportAllocs()
	for b.Loop() {
		w.near.Transmit(f)
		w.now += mono.Time(overtakeBy / 4)
		w.far.Receive(out)
	}
}
