package nicoffload

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/mono"
)

// A shard that sleeps is woken at once for a frame, and for those after it when its time has come, or when they are many.
func TestModeration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, Config{RxInterval: time.Millisecond, RxFrames: 3}, memory.Config{})
		begun := time.Now()
		wantWake := func(what string, after time.Duration, frames int) {
			t.Helper()
			start := time.Now()
			if err := r.dev.Wait(mono.Never); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(start); got != after {
				t.Errorf("%s: woken after %v, want %v (%v after the start)", what, got, after, time.Since(begun))
			}
			n, err := r.dev.Receive(r.got)
			if n != frames || err != nil {
				t.Errorf("%s: %d frames, %v; want %d", what, n, err, frames)
			}
			r.dev.Receive(r.got) //nolint:errcheck // takes back what was lent
		}
		at := 0
		var wire sync.Mutex
		comes := func(after time.Duration) {
			at += 100 // no two that GRO would merge
			f := r.plainFrame([]byte("x"), at, 10, 10)
			time.AfterFunc(after, func() {
				wire.Lock() // orders those that come at once
				defer wire.Unlock()
				r.far.Transmit([]link.Frame{f}) //nolint:errcheck // a frame that does not come is missed
			})
		}
		comes(10 * time.Microsecond)
		wantWake("first", 10*time.Microsecond, 1)
		comes(100 * time.Microsecond)
		comes(200 * time.Microsecond)
		wantWake("two more", time.Millisecond, 2)
		for i := range 3 {
			comes(time.Duration(i+1) * 100 * time.Microsecond)
		}
		wantWake("as many as are worth it", 300*time.Microsecond, 3)
		comes(5 * time.Millisecond)
		wantWake("after a silence", 5*time.Millisecond, 1)
		r.nif.SetCoalesce(Coalesce{RxUsecs: 0, RxFrames: 64}) //nolint:errcheck // it is right
		comes(10 * time.Microsecond)
		wantWake("unmoderated", 10*time.Microsecond, 1)
		r.dev.Wake()
		wantWake("told otherwise", 0, 0)
	})
}

// A ring that could be full before its time is emptied, and what is changed holds for frames that wait already.
func TestModerationIsNoTrap(t *testing.T) {
	long := Config{RxInterval: 100 * time.Millisecond, RxFrames: 64, RxDepth: 8}
	for _, tc := range []struct {
		name   string
		frames int
		change func(r *rig)
		want   time.Duration
	}{
		{"three quarters of the ring", 6, func(*rig) {}, 0},
		{"a few", 5, func(*rig) {}, 100 * time.Millisecond},
		{"less time", 5, func(r *rig) { r.nif.SetCoalesce(Coalesce{RxUsecs: 0, RxFrames: 64}) }, time.Millisecond},
		{"fewer frames", 5, func(r *rig) { r.nif.SetCoalesce(Coalesce{RxUsecs: 100_000, RxFrames: 5}) }, time.Millisecond},
		{"a smaller ring", 3, func(r *rig) { r.nif.SetRings(0, 4) }, time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := started(t, long, memory.Config{})
			come := func(n int) {
				for i := range n {
					r.far.Transmit([]link.Frame{r.plainFrame([]byte("x"), 100*i, 10, 10)}) //nolint:errcheck // a frame that does not come is missed
				}
			}
			wait := func() {
				if err := r.dev.Wait(mono.Never); err != nil {
					t.Fatal(err)
				}
			}
			time.AfterFunc(time.Millisecond, func() { come(1) })
			wait()
			for range 2 { // and take back what was lent
				r.dev.Receive(r.got) //nolint:errcheck // the next wait would tell
			}
			go func() {
				come(tc.frames)
				time.Sleep(time.Millisecond)
				tc.change(r)
			}()
			start := time.Now()
			wait()
			if got := time.Since(start); got != tc.want {
				t.Errorf("%s: woken after %v, want %v", tc.name, got, tc.want)
			}
			time.Sleep(time.Second) // lets the change happen
		})
	}
}

func TestSetCoalesce(t *testing.T) {
	r := newRig(t, rigConfig{})
	if got, want := r.nif.Coalesce(), (Coalesce{RxUsecs: 250, RxFrames: 64}); got != want {
		t.Errorf("at first %+v, want %+v", got, want)
	}
	good := Coalesce{RxUsecs: 8, RxFrames: 128}
	if err := r.nif.SetCoalesce(good); err != nil || r.nif.Coalesce() != good {
		t.Errorf("%+v, %v; want %+v", r.nif.Coalesce(), err, good)
	}
	for _, bad := range []Coalesce{{-1, 1}, {maxRxUsecs + 1, 1}, {0, 0}, {0, MaxDepth + 1}} {
		err := r.nif.SetCoalesce(bad)
		if err == nil || !strings.Contains(err.Error(), "write a number from") || r.nif.Coalesce() != good {
			t.Errorf("%+v was taken for %+v: %v", bad, r.nif.Coalesce(), err)
		}
	}
}
