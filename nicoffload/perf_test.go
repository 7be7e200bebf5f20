package nicoffload

import (
	"fmt"
	"testing"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/mono"
)

// Neither thread allocates for a frame: in sequence, again, cut, sealed or not, sent or received.
func TestAllocs(t *testing.T) {
	for _, tc := range []struct {
		name string
		tso  TSOMode
		off  feature
	}{{"link", TSOLink, 0}, {"emulate", TSOEmulate, 0}, {"host", TSOLink, txCsum}} {
		r := newRig(t, rigConfig{Config{TSO: tc.tso, Depth: 128}, memory.Config{TSO: true}})
		r.dev.ring = newTxRing(128)
		r.dev.nic.ring = r.dev.ring
		s := r.open(newSession(t, tls13, 16, 0, 1, 16384, 16384, 16384))
		r.nif.setFeature(tc.off, false)
		frames := []link.Frame{
			r.frame(s, 0, 20000, 1448, 4096), r.frame(s, 8000, 9000, 1448, 4096), r.frame(s, 20000, len(s.wire), 1448, 4096),
			r.plainFrame(s.clear[:20000], 0, 1448, 4096), r.plainFrame(nil, 0, 1448, 4096),
		}
		in := []link.Frame{{Data: incoming{port: 9, n: 1000}.packet(s.wire)}, {Data: incoming{port: 9, at: 1000, n: 1000}.packet(s.wire)}}
		round := func() {
			for i := range frames {
				r.send(frames[i])
				r.turn()
				r.dev.Completed()
				r.far.Receive(r.got)
			}
			r.far.Transmit(in)
			r.turn()
			r.dev.Receive(r.got)
		}
		for range len(r.dev.ring.descs) { // every descriptor has had its memory
			round()
		}
		if n := testing.AllocsPerRun(100, round); n > 0 {
			t.Errorf("%s: %.0f allocations per round", tc.name, n)
		}
	}
}

// benchRig is a rig with the adapter on its own thread and somebody who swallows what arrives.
func benchRig(b *testing.B, cfg Config) (*rig, func()) {
	b.Helper()
	near, far := memory.New(memory.Config{TSO: true, RingBytes: 2 << 20})
	nif, err := New(near, cfg)
	if err != nil {
		b.Fatal(err)
	}
	r := &rig{t: b, nif: nif, dev: nif.devices[0], far: far.Queues()[0]}
	done := make(chan struct{})
	go func() {
		defer close(done)
		got := make([]link.Frame, 64)
		for {
			if n, err := r.far.Receive(got); err != nil {
				return
			} else if n == 0 {
				r.far.Wait(mono.Never)
			}
		}
	}()
	return r, func() { nif.Close(); <-done }
}

// pump sends frames round and round until b is done, waiting where the ring is full.
func pump(b *testing.B, r *rig, frames []link.Frame) {
	b.Helper()
	at := 0
	for b.Loop() {
		for {
			n, err := r.dev.Transmit(frames[at : at+1])
			if err != nil {
				b.Fatal(err)
			}
			if n == 1 {
				break
			}
			r.dev.Wait(mono.Never)
		}
		at = (at + 1) % len(frames)
	}
	for r.dev.Completed() != r.dev.taken {
		r.dev.Wait(r.nif.cfg.Clock().Add(100_000))
	}
}

func BenchmarkTransmit(b *testing.B) {
	for _, size := range []int{1448, 65160} {
		for _, seal := range []bool{false, true} {
			b.Run(fmt.Sprintf("bytes=%d/tls=%v", size, seal), func(b *testing.B) {
				r, stop := benchRig(b, Config{Contexts: 4})
				defer stop()
				s := r.open(newSession(b, tls13, 16, 0, 1, 16384, 16384, 16384, 16384, 16384, 16384, 16384, 16384))
				var frames []link.Frame
				for at := 0; at+size <= len(s.wire); at += size {
					f := r.plainFrame(s.clear[at:at+size], at, 1448, 4096)
					if seal {
						f = r.frame(s, at, at+size, 1448, 4096)
					}
					frames = append(frames, f)
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				cpu := r.nif.CPU()
				pump(b, r, frames)
				used := r.nif.CPU() - cpu
				gb := float64(b.N) * float64(size) / 1e9
				b.ReportMetric(used.Seconds()/gb, "nic-cpu-s/GB")
			})
		}
	}
}

// BenchmarkSteps is both halves on one goroutine, without wake-ups: what the work itself takes.
func BenchmarkSteps(b *testing.B) {
	for _, size := range []int{0, 1448, 65160} {
		for _, seal := range []bool{false, true} {
			if seal && size == 0 {
				continue
			}
			b.Run(fmt.Sprintf("bytes=%d/tls=%v", size, seal), func(b *testing.B) {
				r := newRig(b, rigConfig{Config{Depth: 64}, memory.Config{TSO: true}})
				s := r.open(newSession(b, tls13, 16, 0, 1, 16384, 16384, 16384, 16384))
				f := r.plainFrame(s.clear[:size], 0, 1448, 4096)
				if seal {
					f = r.frame(s, 0, size, 1448, 4096)
				}
				one := []link.Frame{f}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					r.dev.Transmit(one)
					r.dev.nic.step(r.now)
					r.dev.Completed()
					r.far.Receive(r.got)
				}
			})
		}
	}
}
