package memory

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A clock is virtual time that the tests move by hand.
type clock struct{ now mono.Time }

func (c *clock) read() mono.Time { return c.now }

// pair returns the first devices of a cable.
func pair(t testing.TB, cfg Config) (a, b *Device) {
	t.Helper()
	x, y := New(cfg)
	t.Cleanup(func() { x.Close() })
	return x.Queues()[0].(*Device), y.Queues()[0].(*Device)
}

func mustSend(t testing.TB, d link.Device, want int, frames ...link.Frame) {
	t.Helper()
	if n, err := d.Transmit(frames); n != want || err != nil {
		t.Fatalf("Transmit took %d, %v; want %d", n, err, want)
	}
}

func mustReceive(t testing.TB, d link.Device, want int, frames []link.Frame) {
	t.Helper()
	if n, err := d.Receive(frames); n != want || err != nil {
		t.Fatalf("Receive gave %d, %v; want %d", n, err, want)
	}
}

func TestFrameCrossesWhole(t *testing.T) {
	c := &clock{now: 77}
	a, b := pair(t, Config{TSO: true, Clock: c.read})
	in := link.Frame{
		Data:   []byte("head"),
		Pieces: [][]byte{[]byte("one"), {}, bytes.Repeat([]byte("x"), 60000)},
		GSO:    1448, Csum: link.CsumPartial, CsumStart: 20, CsumOffset: 16,
	}
	mustSend(t, a, 1, in)
	out := make([]link.Frame, 4)
	mustReceive(t, b, 1, out)
	want := append([]byte("headone"), in.Pieces[2]...)
	if !bytes.Equal(out[0].Data, want) || out[0].Pieces != nil {
		t.Errorf("frame arrived with %d bytes, want %d", out[0].Len(), len(want))
	}
	got := out[0]
	got.Data, in.Data, in.Pieces, in.Time = nil, nil, nil, 77
	if got.GSO != in.GSO || got.Csum != in.Csum || got.CsumStart != in.CsumStart ||
		got.CsumOffset != in.CsumOffset || got.Time != in.Time {
		t.Errorf("metadata %+v, want %+v", got, in)
	}
}

func TestSenderMayReuseItsMemory(t *testing.T) {
	a, b := pair(t, Config{})
	data := []byte("first")
	mustSend(t, a, 1, link.Frame{Data: data})
	copy(data, "XXXXX")
	out := make([]link.Frame, 1)
	mustReceive(t, b, 1, out)
	if string(out[0].Data) != "first" {
		t.Errorf("got %q after the sender reused its buffer", out[0].Data)
	}
}

func TestFullRingPushesBack(t *testing.T) {
	a, b := pair(t, Config{RingFrames: 4})
	frames := make([]link.Frame, 6)
	for i := range frames {
		frames[i].Data = []byte{byte(i)}
	}
	mustSend(t, a, 4, frames...)
	out := make([]link.Frame, 2)
	mustReceive(t, b, 2, out)
	mustSend(t, a, 0, frames[4:]...) // both are lent: the ring is still full
	mustReceive(t, b, 2, out)
	mustSend(t, a, 2, frames[4:]...)
	mustReceive(t, b, 2, out)
	if out[0].Data[0] != 4 || out[1].Data[0] != 5 {
		t.Errorf("frames out of order: %d %d, want 4 5", out[0].Data[0], out[1].Data[0])
	}
	mustReceive(t, b, 0, out)
}

func TestLentFramesStayUnchanged(t *testing.T) {
	const size = 1000
	a, b := pair(t, Config{RingBytes: 4 * 1024, RingFrames: 64})
	frame := func(c byte) link.Frame { return link.Frame{Data: bytes.Repeat([]byte{c}, size)} }
	mustSend(t, a, 2, frame('a'), frame('b'))
	out := make([]link.Frame, 2)
	mustReceive(t, b, 2, out)
	mustSend(t, a, 2, frame('c'), frame('d'), frame('e'))
	for i, c := range []byte("ab") {
		if !bytes.Equal(out[i].Data, frame(c).Data) {
			t.Errorf("lent frame %d changed before the next Receive", i)
		}
	}
}

func TestRefusesWhatCapsForbid(t *testing.T) {
	plain, _ := pair(t, Config{NoChecksum: true})
	tso, _ := pair(t, Config{TSO: true})
	for _, tt := range []struct {
		name string
		dev  *Device
		f    link.Frame
	}{
		{"empty", tso, link.Frame{}},
		{"longer than the MTU", tso, link.Frame{Data: make([]byte, 1501)}},
		{"superframe without TSO", plain, link.Frame{Data: make([]byte, 3000), GSO: 1448}},
		{"superframe beyond 64 KiB", tso, link.Frame{Data: make([]byte, 65536), GSO: 1448}},
		{"partial checksum without offload", plain, link.Frame{Data: make([]byte, 60), Csum: link.CsumPartial}},
	} {
		if n, err := tt.dev.Transmit([]link.Frame{tt.f}); n != 0 || err == nil {
			t.Errorf("%s: taken (%d, %v)", tt.name, n, err)
		}
	}
	if c := plain.Caps(); c.TSO4 || c.TSO6 || c.TxChecksum || c.MaxGSO != 0 || c.MTU != 1500 {
		t.Errorf("plain caps promise offloads: %+v", c)
	}
}

func TestSteer(t *testing.T) {
	x, y := New(Config{Queues: 4, Steer: func(h []byte, n int) int { return int(h[0]) % n }})
	defer x.Close()
	mustSend(t, x.Queues()[0], 3, link.Frame{Data: []byte{2}}, link.Frame{Data: []byte{3}}, link.Frame{Data: []byte{7}})
	mustSend(t, x.Queues()[1], 1, link.Frame{Data: []byte{2}})
	out := make([]link.Frame, 8)
	for q, want := range []int{0, 0, 2, 2} {
		mustReceive(t, y.Queues()[q], want, out)
	}
}

func TestWait(t *testing.T) {
	for _, tt := range []struct {
		name string
		act  func(a, b *Device)
		want time.Duration // after which b's Wait, with a deadline of one second, returns
	}{
		{"deadline", func(a, b *Device) {}, time.Second},
		{"frame", func(a, b *Device) { a.Transmit([]link.Frame{{Data: []byte{1}}}) }, time.Millisecond},
		{"wake", func(a, b *Device) { b.Wake() }, time.Millisecond},
		{"close", func(a, b *Device) { (&Interface{cable: a.cable}).Close() }, time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				now := func() mono.Time { return mono.Time(1 + time.Since(start)) }
				a, b := pair(t, Config{Clock: now})
				go func() {
					time.Sleep(time.Millisecond)
					tt.act(a, b)
				}()
				err := b.Wait(now().Add(time.Second))
				if got := time.Since(start); got != tt.want {
					t.Errorf("returned after %v, want %v", got, tt.want)
				}
				if (err != nil) != (tt.name == "close") {
					t.Errorf("Wait: %v", err)
				}
				time.Sleep(2 * time.Millisecond) // let act end
			})
		})
	}
}

func TestWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		now := func() mono.Time { return mono.Time(1 + time.Since(start)) }
		a, b := pair(t, Config{RingFrames: 1, Clock: now})
		f := []link.Frame{{Data: []byte{1}}}
		mustSend(t, a, 1, f...)
		mustSend(t, a, 0, f...)
		go func() {
			out := make([]link.Frame, 1)
			time.Sleep(time.Millisecond)
			b.Receive(out) // lent: no room yet
			time.Sleep(time.Millisecond)
			b.Receive(out)
		}()
		if err := a.Wait(mono.Never); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got != 2*time.Millisecond {
			t.Errorf("Wait returned after %v, want 2ms, when the ring has room", got)
		}
		mustSend(t, a, 1, f...)
	})
}

func TestWakeBeforeWaitCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		now := func() mono.Time { return mono.Time(1 + time.Since(start)) }
		a, _ := pair(t, Config{Clock: now})
		a.Wake()
		a.Wake()
		a.Wait(mono.Never)
		if d := time.Since(start); d != 0 {
			t.Errorf("Wait after Wake took %v", d)
		}
		a.Wait(now().Add(time.Second))
		if d := time.Since(start); d != time.Second {
			t.Errorf("second Wait returned after %v, want its deadline of 1s", d)
		}
	})
}

func TestCloseDeliversWhatCrossed(t *testing.T) {
	x, y := New(Config{})
	a, b := x.Queues()[0], y.Queues()[0]
	mustSend(t, a, 1, link.Frame{Data: []byte("last")})
	y.Close()
	if _, err := a.Transmit([]link.Frame{{Data: []byte{1}}}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Transmit after Close: %v", err)
	}
	out := make([]link.Frame, 1)
	mustReceive(t, b, 1, out)
	if _, err := b.Receive(out); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive after Close: %v", err)
	}
	if err := a.Wait(mono.Never); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Wait after Close: %v", err)
	}
}

// TestConcurrent drives both ends from their own goroutines through a small ring, with blocking on both
// sides, and checks every byte. Under -race it also proves the ring's publication order.
func TestConcurrent(t *testing.T) {
	for name, steer := range map[string]func([]byte, int) int{
		"lock-free": nil,
		"steered":   func(h []byte, n int) int { return int(h[8]) % n },
	} {
		t.Run(name, func(t *testing.T) {
			const queues, perQueue = 2, 5000
			x, y := New(Config{Queues: queues, RingFrames: 16, RingBytes: 70000, TSO: true, Steer: steer})
			defer x.Close()
			var wg sync.WaitGroup
			for q := range queues {
				wg.Go(func() { sendAll(t, x.Queues()[q], q, perQueue) })
				wg.Go(func() { receiveAll(t, y.Queues()[q], perQueue) })
			}
			wg.Wait()
		})
	}
}

// sendAll sends n frames: a sequence number, the queue they should arrive at, and a pattern.
func sendAll(t *testing.T, d link.Device, queue, n int) {
	rnd := rand.New(rand.NewPCG(1, uint64(queue)))
	for i := range n {
		head := binary.BigEndian.AppendUint64(nil, uint64(i))
		head = append(head, byte(queue))
		body := bytes.Repeat([]byte{byte(i)}, rnd.IntN(3000))
		if i%100 == 0 {
			body = bytes.Repeat([]byte{byte(i)}, 60000)
		}
		f := []link.Frame{{Data: head, Pieces: [][]byte{body}, GSO: 1448}}
		for {
			sent, err := d.Transmit(f)
			if err != nil {
				t.Error(err)
				return
			}
			if sent == 1 {
				break
			}
			d.Wait(mono.Never)
		}
	}
}

func receiveAll(t *testing.T, d link.Device, n int) {
	out := make([]link.Frame, 5)
	for next := 0; next < n; {
		got, err := d.Receive(out)
		if err != nil {
			t.Error(err)
			return
		}
		if got == 0 {
			d.Wait(mono.Never)
		}
		for _, f := range out[:got] {
			if seq := binary.BigEndian.Uint64(f.Data); seq != uint64(next) {
				t.Errorf("frame %d arrived when %d was due", seq, next)
				return
			}
			if body := f.Data[9:]; bytes.Count(body, []byte{byte(next)}) != len(body) {
				t.Errorf("frame %d carries foreign bytes", next)
				return
			}
			next++
		}
	}
}

// FuzzRing drives a ring of random geometry by a single goroutine and compares with a queue of copies.
func FuzzRing(f *testing.F) {
	f.Add(uint8(4), uint16(300), []byte{10, 200, 0x80, 30, 0x81, 0x80})
	f.Add(uint8(1), uint16(64), []byte{1, 1, 0x80, 1, 0x80, 0x80})
	f.Fuzz(func(t *testing.T, frames uint8, size uint16, ops []byte) {
		a, b := pair(t, Config{MTU: 128, RingFrames: int(frames%32) + 1, RingBytes: int(size), Clock: (&clock{}).read})
		var model [][]byte
		out := make([]link.Frame, 8)
		for i, op := range ops {
			if op&0x80 == 0 { // send a frame of op+1 bytes
				data := bytes.Repeat([]byte{byte(i)}, int(op)+1)
				n, err := a.Transmit([]link.Frame{{Data: data[:1], Pieces: [][]byte{data[1:]}}})
				if err != nil {
					t.Fatal(err)
				}
				if n == 1 {
					model = append(model, data)
				} else if len(model) == 0 && b.lent == 0 {
					t.Fatal("an empty ring pushed back")
				}
				continue
			}
			want := min(len(model), int(op%8)+1)
			n, err := b.Receive(out[:int(op%8)+1])
			if err != nil || n != want {
				t.Fatalf("Receive: %d, %v; want %d", n, err, want)
			}
			for k := range n {
				if !bytes.Equal(out[k].Data, model[k]) {
					t.Fatalf("frame differs: %x, want %x", out[k].Data, model[k])
				}
			}
			model = model[n:]
		}
	})
}

func TestNoAllocations(t *testing.T) {
	a, b := pair(t, Config{TSO: true})
	f := []link.Frame{{Data: make([]byte, 54), Pieces: [][]byte{make([]byte, 32000), make([]byte, 30000)}, GSO: 1448}}
	out := make([]link.Frame, 4)
	if n := testing.AllocsPerRun(100, func() {
		mustSend(t, a, 1, f...)
		mustReceive(t, b, 1, out)
		b.Wake()
		b.Wait(mono.Never)
	}); n != 0 {
		t.Errorf("%v allocations per frame", n)
	}
}

func BenchmarkCross(b *testing.B) {
	for _, bb := range []struct {
		name string
		size int
	}{{"superframe", 64000}, {"packet", 1448}} {
		b.Run(bb.name, func(b *testing.B) {
			tx, rx := pair(b, Config{TSO: true})
			f := []link.Frame{{Data: make([]byte, 52), Pieces: [][]byte{make([]byte, bb.size)}, GSO: 1448}}
			out := make([]link.Frame, 4)
			b.SetBytes(int64(bb.size))
			b.ReportAllocs()
			for b.Loop() {
				tx.Transmit(f)
				rx.Receive(out)
			}
		})
	}
}
