package pacing

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
)

// A dumb is the wheel as a list.
type dumb map[*Timer]mono.Time

func (d dumb) next() mono.Time {
	at := mono.Never
	for _, t := range d {
		at = min(at, t)
	}
	return at
}

// check holds a wheel against the list: what fires is exactly what is due, Next is never late, and a loop
// that sleeps until Next gets to every deadline.
type check struct {
	*testing.T
	w      Wheel
	d      dumb
	timers [32]Timer
	now    mono.Time
}

func newCheck(t *testing.T) *check {
	c := &check{T: t, d: dumb{}, now: mono.Time(24 * time.Hour)}
	for i := range c.timers {
		c.timers[i].User = i
	}
	return c
}

func (c *check) set(i int, at mono.Time) {
	t := &c.timers[i]
	c.w.Set(t, at)
	delete(c.d, t)
	if at != mono.Never {
		c.d[t] = at
	}
}

func (c *check) stop(i int) {
	c.w.Stop(&c.timers[i])
	delete(c.d, &c.timers[i])
}

// advance goes to the instant in one step; within fire, again sets some of the timers anew.
func (c *check) advance(to mono.Time, again func(*Timer)) {
	c.now = max(c.now, min(to, 1<<61)) // leaves room for sums
	var due []*Timer
	for t, at := range c.d {
		if at <= c.now {
			due = append(due, t)
		}
	}
	c.w.Advance(c.now, func(t *Timer) {
		if t.Armed() {
			c.Fatalf("timer %v is armed while it fires", t.User)
		}
		at, ok := c.d[t]
		if !ok || at > c.now || at != t.At() {
			c.Fatalf("timer %v fired at %d, due %d (%v)", t.User, c.now, at, ok)
		}
		delete(c.d, t)
		i := slices.Index(due, t)
		if i < 0 {
			c.Fatalf("timer %v was set by a callback and fired in the same Advance", t.User)
		}
		due = slices.Delete(due, i, i+1)
		if again != nil {
			again(t)
			due = slices.DeleteFunc(due, func(t *Timer) bool { return c.d[t] == 0 || c.d[t] > c.now })
		}
	})
	if len(due) > 0 {
		c.Fatalf("%d timers are overdue at %d, the first by %v", len(due), c.now, c.now.Sub(due[0].At()))
	}
}

// postpone moves deadlines back as their owners wish, and only those that are due first.
func (c *check) postpone(by func() time.Duration) {
	asked := 0
	c.w.Postpone(func(t *Timer) mono.Time {
		asked++
		first := c.d.next()
		if at := c.d[t]; at != first {
			c.Fatalf("asked for timer %v of %d, the first is due at %d", t.User, at, first)
		}
		at := c.d[t].Add(by())
		if delete(c.d, t); at > 1<<60 {
			return mono.Never
		}
		c.d[t] = at
		return at
	})
	if asked > postponed {
		c.Fatalf("%d timers were asked for", asked)
	}
}

func (c *check) invariants() {
	if c.w.Len() != len(c.d) {
		c.Fatalf("Len %d, want %d", c.w.Len(), len(c.d))
	}
	if got, want := c.w.Next(), c.d.next(); got > want || (want == mono.Never) != (got == mono.Never) {
		c.Fatalf("Next %d, the earliest deadline is %d", got, want)
	}
	for i := range c.timers {
		if _, ok := c.d[&c.timers[i]]; ok != c.timers[i].Armed() {
			c.Fatalf("timer %d: Armed is %v", i, !ok)
		}
	}
}

// run interprets ops: set near and far, into the past, stop, advance by a little, a lot, and to Next.
func wheelAgainstList(t *testing.T, ops []byte) {
	c := newCheck(t)
	arg := func() int64 {
		if len(ops) == 0 {
			return 0
		}
		v := ops[0]
		ops = ops[1:]
		return int64(v)
	}
	for len(ops) > 0 {
		op, i := arg()%9, int(arg())%len(c.timers)
		switch op {
		case 0, 1, 2: // any power of two from 1 ns to 4 years away
			c.set(i, c.now+mono.Time((arg()+1)<<(arg()%50)))
		case 3:
			c.set(i, c.now-mono.Time(arg()<<(arg()%30)))
		case 4:
			c.stop(i)
		case 5:
			c.advance(c.now+mono.Time((arg()+1)<<(arg()%50)), nil)
		case 6:
			if next := c.w.Next(); next != mono.Never {
				c.advance(next, nil)
			}
		case 7: // callbacks that set themselves and others, into the past too, and stop others
			delta, shift := arg()-20, arg()%40
			c.advance(c.now+mono.Time(arg()<<(arg()%45)), func(t *Timer) {
				me := t.User.(int)
				c.set(me, c.now+mono.Time(delta<<shift))
				c.stop((me + i) % len(c.timers))
				c.set((me+2*i)%len(c.timers), c.now+mono.Time(i)<<shift)
			})
		case 8: // some not at all, some for ever
			c.postpone(func() time.Duration { return time.Duration(arg() << (arg() % 54)) })
		}
		c.invariants()
	}
	for steps := 0; c.w.Len() > 0; steps++ {
		if steps > 32*2*levels {
			t.Fatal("a loop that sleeps until Next does not get there")
		}
		c.advance(c.w.Next(), nil)
		c.invariants()
	}
}

func FuzzWheel(f *testing.F) {
	f.Add([]byte{0, 1, 10, 20, 0, 2, 10, 30, 5, 0, 20, 21, 6, 0, 7, 1, 30, 9, 4, 22, 4, 2})
	f.Add([]byte{0, 0, 255, 49, 0, 1, 0, 0, 3, 2, 5, 9, 5, 0, 255, 48, 6, 6, 6, 6, 6, 6, 6})
	f.Fuzz(wheelAgainstList)
}

func TestWheelRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1987))
	for range 2000 {
		ops := make([]byte, rng.IntN(400))
		for i := range ops {
			ops[i] = byte(rng.Uint32())
		}
		wheelAgainstList(t, ops)
	}
}

// Timers fire at their deadline exactly, not at the end of a tick, in the order of ticks.
func TestWheelExact(t *testing.T) {
	var w Wheel
	start := mono.Time(24 * time.Hour)
	var timers [100]Timer
	for i := range timers {
		w.Set(&timers[i], start.Add(time.Duration(i*i)*time.Microsecond+1))
	}
	i := 0
	for now := start; i < len(timers); now = now.Add(time.Microsecond) {
		before := i
		w.Advance(now, func(t *Timer) {
			if late := now.Sub(t.At()); late < 0 || late >= time.Microsecond {
				panic(late)
			}
			i++
		})
		if at := w.Next(); i == before && at <= now && w.Len() > 0 {
			t.Fatalf("Next %d does not move on at %d: the loop would spin", at, now)
		}
	}
}

// Time standing still, going back, and a jump of years.
func TestWheelOddClocks(t *testing.T) {
	var w Wheel
	var a, b Timer
	fired := 0
	fire := func(*Timer) { fired++ }
	if w.Next() != mono.Never {
		t.Fatal("an empty wheel wants to wake up")
	}
	w.Advance(1<<40, fire)
	w.Set(&a, 1<<41)
	w.Advance(1<<39, fire) // back
	w.Advance(1<<41-1, fire)
	if fired != 0 || !a.Armed() {
		t.Fatal("early")
	}
	w.Set(&b, mono.Never-1)
	w.Advance(1<<41, fire)
	w.Advance(1<<41, fire)
	if fired != 1 || w.Len() != 1 {
		t.Fatal(fired, w.Len())
	}
	w.Set(&a, -5)
	w.Advance(1<<41, fire)
	if fired != 2 {
		t.Fatal("a deadline before all time")
	}
	w.Advance(mono.Never-2, fire)
	w.Advance(mono.Never-1, fire)
	if fired != 3 || w.Next() != mono.Never {
		t.Fatal("the end of time", fired)
	}
	w.Set(&a, 5)
	w.Stop(&a)
	w.Set(&a, 1000)
	if w.Next() != 1000 {
		t.Fatal("an empty wheel remembers a deadline", w.Next())
	}
	w.Set(&a, mono.Never)
	if a.Armed() || w.Len() != 0 {
		t.Fatal("Never does not stop")
	}
}

// Owners whose deadlines have moved back since do not wake the loop.
func TestWheelPostpone(t *testing.T) {
	var w Wheel
	now := mono.Time(1 << 46) // a tick that begins a turn of each level
	timers := make([]Timer, postponed/2)
	w.Set(&timers[0], now)
	w.Advance(now, func(*Timer) {})
	for i := range timers {
		w.Set(&timers[i], now.Add(time.Duration(i+1)*time.Microsecond))
	}
	last := now.Add(time.Millisecond)
	w.Postpone(func(*Timer) mono.Time { return last })
	if w.Next() != last {
		t.Errorf("the loop would wake after %v, all want %v", w.Next().Sub(now), last.Sub(now))
	}
	w.Postpone(func(*Timer) mono.Time { return mono.Never })
	if w.Len() != 0 || w.Next() != mono.Never {
		t.Errorf("%d timers armed, next at %d; nobody wants anything", w.Len(), w.Next())
	}
	w.Postpone(func(*Timer) mono.Time { panic("there is none") })
}

// The loop's view of ten thousand connections: no allocation, and few wake-ups for nothing.
func TestWheelNoAllocations(t *testing.T) {
	w, timers, now := busyWheel(10_000)
	fire := func(t *Timer) { w.Set(t, now.Add(200*time.Millisecond)) }
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(100 * time.Microsecond)
		w.Set(&timers[int(now)%len(timers)], now.Add(time.Second))
		w.Advance(now, fire)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWheelWakeups(t *testing.T) {
	w, timers, now := busyWheel(1000)
	wakeups, fired := 0, 0
	for w.Len() > 0 {
		wakeups++
		now = max(now, w.Next())
		w.Advance(now, func(*Timer) { fired++ })
	}
	if fired != len(timers) || wakeups > 2*fired {
		t.Errorf("%d wake-ups for %d timers", wakeups, fired)
	}
}

func busyWheel(n int) (*Wheel, []Timer, mono.Time) {
	w, timers, now := new(Wheel), make([]Timer, n), mono.Time(24*time.Hour)
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range timers {
		w.Set(&timers[i], now.Add(time.Duration(rng.Int64N(int64(300*time.Millisecond)))))
	}
	return w, timers, now
}

func BenchmarkWheel(b *testing.B) {
	b.Run("set", func(b *testing.B) {
		w, timers, now := busyWheel(10_000)
		i := 0
		b.ReportAllocs()
		for b.Loop() {
			w.Set(&timers[i], now.Add(time.Duration(200+i&63)*time.Millisecond))
			if i++; i == len(timers) {
				i = 0
			}
		}
	})
	b.Run("fire", func(b *testing.B) {
		w, _, _ := busyWheel(10_000)
		n := 0
		fire := func(t *Timer) { n++; w.Set(t, t.At().Add(200*time.Millisecond)) }
		b.ReportAllocs()
		for b.Loop() {
			for n == 0 {
				w.Advance(w.Next(), fire)
			}
			n--
		}
	})
	b.Run("nothing due", func(b *testing.B) {
		w, _, now := busyWheel(10_000)
		b.ReportAllocs()
		for b.Loop() {
			w.Advance(now, nil)
			_ = w.Next()
		}
	})
}
