package nicoffload

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/mono"
)

// started is a rig whose adapter runs on its own thread, for a synctest bubble.
func started(t *testing.T, cfg Config, cable memory.Config) *rig {
	t.Helper()
	r := &rig{t: t, got: make([]link.Frame, 64)}
	start := time.Now()
	cfg.Clock = func() mono.Time { return mono.Time(1e12) + mono.Time(time.Since(start)) }
	cfg.Contexts = 16
	cable.Clock = cfg.Clock
	near, far := memory.New(cable)
	nif, err := New(near, cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.nif, r.dev, r.far = nif, nif.devices[0], far.Queues()[0]
	t.Cleanup(func() { nif.Close() })
	return r
}

func TestThreadSeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, Config{}, memory.Config{TSO: true})
		s := r.open(newSession(t, tls13, 16, 0, 1, 16384, 16384))
		v := newReceiver(t, s.wire)
		for at := 0; at < len(s.wire); at += 10000 {
			r.send(r.frame(s, at, min(at+10000, len(s.wire)), 1448, 4096))
			synctest.Wait()
			v.take(r.arrived())
		}
		v.complete(0, len(s.wire))
		if done := r.dev.Completed(); done != r.dev.taken {
			t.Errorf("%d frames of %d completed", done, r.dev.taken)
		}
		if r.stat("ch_arm") == 0 {
			t.Error("the adapter never slept")
		}
	})
}

// Each of these must end a Wait that has nothing else to end it, at once.
func TestWaitEnds(t *testing.T) {
	small := func(r *rig) link.Frame { return r.plainFrame([]byte("x"), 0, 1448, 10) }
	for _, tc := range []struct {
		name string
		act  func(r *rig)
		want time.Duration
	}{
		{"frame", func(r *rig) { r.far.Transmit([]link.Frame{small(r)}) }, time.Millisecond},
		{"wake", func(r *rig) { r.dev.Wake() }, time.Millisecond},
		{"close", func(r *rig) { r.nif.Close() }, time.Millisecond},
		{"link lost", func(r *rig) { r.nif.Inner().Close() }, time.Millisecond},
		{"deadline", func(*rig) {}, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := started(t, Config{}, memory.Config{})
				start := time.Now()
				go func() {
					time.Sleep(time.Millisecond)
					tc.act(r)
				}()
				err := r.dev.Wait(r.nif.cfg.Clock().Add(time.Second))
				if got := time.Since(start); got != tc.want {
					t.Errorf("returned after %v, want %v", got, tc.want)
				}
				over := tc.name == "close" || tc.name == "link lost"
				if over != errors.Is(err, net.ErrClosed) || !over && err != nil {
					t.Errorf("Wait: %v", err)
				}
				synctest.Wait()
			})
		})
	}
}

func TestWakeBeforeWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, Config{}, memory.Config{})
		r.dev.Wake()
		start := time.Now()
		if err := r.dev.Wait(mono.Never); err != nil || time.Since(start) != 0 {
			t.Errorf("Wait returned %v after %v", err, time.Since(start))
		}
	})
}

// A ring that is full pushes back, and Wait returns when the far end has made room.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, Config{Depth: 4}, memory.Config{RingFrames: 2})
		frames := make([]link.Frame, 20)
		for i := range frames {
			frames[i] = r.plainFrame([]byte{byte(i)}, i, 1448, 10)
		}
		sent, arrived := 0, 0
		start := time.Now()
		emptied := make(chan struct{})
		go func() { // the far end, a frame or two a millisecond
			defer close(emptied)
			for arrived < len(frames) {
				time.Sleep(time.Millisecond)
				for _, f := range r.arrived() {
					if got := f.Data[len(f.Data)-1]; got != byte(arrived) {
						t.Errorf("frame %d arrived as number %d", got, arrived)
					}
					arrived++
				}
			}
		}()
		for sent < len(frames) {
			n, err := r.dev.Transmit(frames[sent:])
			if err != nil {
				t.Fatal(err)
			}
			if sent += n; sent == len(frames) {
				break
			}
			if inRing := r.dev.posted - r.dev.done; inRing > 4 {
				t.Errorf("%d descriptors in a ring of 4", inRing)
			}
			if err := r.dev.Wait(mono.Never); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took > 50*time.Millisecond {
			t.Errorf("took %v: nobody said that there is room", took)
		}
		<-emptied
		synctest.Wait()
		if arrived != len(frames) || r.dev.Completed() != uint64(len(frames)) {
			t.Errorf("%d arrived, %d completed of %d", arrived, r.dev.Completed(), len(frames))
		}
		if time.Since(start) < 5*time.Millisecond || r.stat("tx_queue_stopped") == 0 || r.stat("tx_queue_wake") == 0 {
			t.Errorf("the ring never pushed back: stopped %d, woken %d", r.stat("tx_queue_stopped"), r.stat("tx_queue_wake"))
		}
	})
}

// A shard that does not receive holds back the link, and loses nothing.
func TestReceiveRingFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, Config{RxDepth: 4}, memory.Config{RingFrames: 16})
		sent, got := 0, 0
		for got < 100 {
			for sent < 100 {
				f := r.plainFrame([]byte{byte(sent)}, 100*sent, 1448, 10) // not in sequence: nothing to merge
				n, err := r.far.Transmit([]link.Frame{f})
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					break
				}
				sent++
			}
			synctest.Wait()
			if held := r.dev.rx.tail.Load() - r.dev.rx.head.Load(); held > 4 {
				t.Fatalf("%d frames in a ring of 4", held)
			}
			n, err := r.dev.Receive(r.got[:3])
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				t.Fatalf("nothing to receive after %d frames of %d", got, sent)
			}
			for _, f := range r.got[:n] {
				if f.Data[len(f.Data)-1] != byte(got) {
					t.Fatalf("frame %d arrived as number %d", f.Data[len(f.Data)-1], got)
				}
				got++
			}
		}
		if r.stat("rx_out_of_buffer") == 0 {
			t.Error("the ring was never full")
		}
	})
}

// After Close everything that was taken has completed and nobody reads it.
func TestCloseCompletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, Config{}, memory.Config{RingFrames: 2})
		s := r.open(newSession(t, tls13, 16, 0, 1, 9000))
		for at := 0; at < len(s.wire); at += 1000 {
			r.send(r.frame(s, at, min(at+1000, len(s.wire)), 1448, 4096))
		}
		synctest.Wait()
		if done := r.dev.Completed(); done == r.dev.taken {
			t.Error("all frames fitted: nothing is tested")
		}
		r.dev.DelContext(s.ctx)
		if err := r.nif.Close(); err != nil {
			t.Fatal(err)
		}
		if done := r.dev.Completed(); done != r.dev.taken {
			t.Errorf("%d frames of %d completed after Close", done, r.dev.taken)
		}
		if r.dev.table.contexts[0].key != nil {
			t.Error("the key was not wiped")
		}
		if _, err := r.dev.Transmit(make([]link.Frame, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Transmit after Close: %v", err)
		}
		cpu := r.nif.CPU()
		if cpu < 0 || cpu != r.nif.CPU() {
			t.Errorf("CPU time goes on after Close: %v", cpu)
		}
	})
}

// Budgets hold back transmission to their rate, and say so.
func TestThreadKeepsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, Config{Bus: 10e6}, memory.Config{TSO: true})
		payload := make([]byte, 50000)
		start := time.Now()
		go func() {
			for range 1000 {
				time.Sleep(100 * time.Microsecond)
				r.arrived()
			}
		}()
		for range 10 {
			r.send(r.plainFrame(payload, 0, 1448, 10000))
		}
		for r.dev.Completed() < 10 {
			time.Sleep(10 * time.Microsecond)
		}
		// 10 frames; the last one goes when the nine before it have, less the burst that may run ahead.
		bytes := 9 * busBytes(50000+40)
		want := time.Duration(bytes)*100*time.Nanosecond - budgetBurst
		if got := time.Since(start); got < want || got > want+20*time.Microsecond {
			t.Errorf("took %v, want %v", got, want)
		}
		if r.stat("tx_bus_stalls") != 9 {
			t.Errorf("%d stalls, want 9", r.stat("tx_bus_stalls"))
		}
		time.Sleep(100 * time.Millisecond)
	})
}

// A shard that sleeps without a deadline is woken by the watchdog's time, and the ring is reset.
func TestWaitLooksForStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, Config{Faults: FaultStall, Watchdog: time.Second}, memory.Config{})
		for r.dev.Completed() == r.dev.taken {
			r.send(r.plainFrame([]byte("x"), 0, 1448, 10))
			synctest.Wait()
			r.arrived()
		}
		start := time.Now()
		for r.dev.Completed() != r.dev.taken {
			if err := r.dev.Wait(mono.Never); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("the ring was reset after %v, want 1s", got)
		}
	})
}

// Thread and shard fall asleep and wake each other in all the orders that real time brings: a lost wake-up hangs.
func TestNoLostWakeUps(t *testing.T) {
	near, far := memory.New(memory.Config{})
	nif, err := New(near, Config{Contexts: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer nif.Close()
	r := &rig{t: t, nif: nif, dev: nif.devices[0], far: far.Queues()[0]}
	frame := []link.Frame{r.plainFrame([]byte("x"), 0, 1448, 10)}
	answered := make(chan error, 1)
	go func() { // the far end sends back what it gets
		got := make([]link.Frame, 8)
		for {
			n, err := r.far.Receive(got)
			if err == nil && n > 0 {
				_, err = r.far.Transmit(got[:n])
			} else if err == nil {
				err = r.far.Wait(mono.Never)
			}
			if err != nil {
				answered <- err
				return
			}
		}
	}()
	got := make([]link.Frame, 8)
	for range 5000 {
		r.send(frame...)
		for n := 0; n == 0; {
			if n, err = r.dev.Receive(got); err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				if err = r.dev.Wait(mono.Never); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	nif.Close()
	<-answered
}

// Packets that are held back leave on time while the receive ring is full.
func TestRateWhileReceiveRingFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, Config{RxDepth: 1}, memory.Config{})
		for i := range 2 {
			if _, err := r.far.Transmit([]link.Frame{r.plainFrame([]byte("x"), 100*i, 10, 10)}); err != nil {
				t.Fatal(err)
			}
		}
		f := r.plainFrame([]byte("ab"), 0, 1, 10)
		synctest.Wait()
		if r.stat("rx_out_of_buffer") == 0 {
			t.Fatal("the ring is not full: nothing is tested")
		}
		f.Rate, f.Flow = 1000, 1 // a segment of a byte each millisecond
		r.send(f)
		synctest.Wait()
		if n := len(r.arrived()); n != 1 {
			t.Errorf("%d packets at once, want 1", n)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if n := len(r.arrived()); n != 1 {
			t.Errorf("%d packets after a millisecond, want 1", n)
		}
	})
}

// Whoever learns that the adapter has failed may let go of all memory at once: Completed covers every frame by then.
func TestFailedMeansCompleted(t *testing.T) {
	for range 300 {
		near, _ := memory.New(memory.Config{})
		nif, err := New(near, Config{Contexts: 1})
		if err != nil {
			t.Fatal(err)
		}
		d := nif.devices[0]
		go near.Close()
		for d.nic.failed() == nil {
		}
		ended := d.nic.ended.Load()
		nif.Close()
		if !ended {
			t.Fatal("the adapter has failed, and its frames are not complete")
		}
	}
}
