package syn

import (
	"maps"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// TestSlotSize pins the price of a half-open connection.
func TestSlotSize(t *testing.T) {
	if n := unsafe.Sizeof(slot{}); n != 64 {
		t.Errorf("a slot takes %d bytes", n)
	}
}

func entry(n int) Entry {
	return Entry{Flow: flow(n), IRS: wire.Seq(n), ISS: wire.Seq(n * 3), MSS: 1460, WScale: 7, HasWScale: true, SACK: true, TS: true, TSRecent: uint32(n)}
}

// TestNewEntry: a SYN's options, with the shift bounded as RFC 7323 section 2.3 wants.
func TestNewEntry(t *testing.T) {
	s := wire.Segment{Seq: 9, Options: wire.Options{MSS: 1400, WScale: 15, HasWScale: true, SACKPermitted: true, HasTS: true, TSVal: 5}}
	want := Entry{Flow: flow(1), IRS: 9, ISS: 4, MSS: 1400, WScale: 14, HasWScale: true, SACK: true, TS: true, TSRecent: 5}
	if e := NewEntry(flow(1), &s, 4); e != want {
		t.Errorf("%+v, want %+v", e, want)
	}
	if e := NewEntry(flow(1), &wire.Segment{Seq: 9}, 4); e != (Entry{Flow: flow(1), IRS: 9, ISS: 4}) {
		t.Errorf("without options: %+v", e)
	}
}

// TestCacheKeeps: what went in comes out, whatever the options.
func TestCacheKeeps(t *testing.T) {
	c := NewCache(Config{Key: testKey})
	now := start.Add(1234567 * time.Microsecond)
	for i := range 64 {
		e := entry(i)
		e.HasWScale, e.SACK, e.TS = i&1 != 0, i&2 != 0, i&4 != 0
		e.WScale, e.ECN, e.Again = uint8(i%15), i&8 != 0, i&16 != 0
		e.FastOpen = i&32 != 0
		if !c.Add(now, &e) {
			t.Fatalf("entry %d refused", i)
		}
		e.Sent = now
		if got, ok := c.Lookup(&e.Flow); !ok || got != e {
			t.Fatalf("%+v %v, want %+v", got, ok, e)
		}
	}
	f := flow(3)
	if !c.Remove(&f) || c.Remove(&f) || c.Len() != 63 {
		t.Fatalf("remove: %d entries left", c.Len())
	}
	if _, ok := c.Lookup(&f); ok {
		t.Fatal("found after it was removed")
	}
}

// TestCacheReplaces: a new SYN on a flow takes the place of the old one, and its clock starts afresh.
func TestCacheReplaces(t *testing.T) {
	c := NewCache(Config{Key: testKey})
	e := entry(1)
	c.Add(start, &e)
	e.IRS += 1000
	c.Add(start.Add(500*time.Millisecond), &e)
	if got, _ := c.Lookup(&e.Flow); got.IRS != e.IRS || c.Len() != 1 {
		t.Fatalf("%+v, %d entries", got, c.Len())
	}
	if at := c.Deadline(); at != start.Add(1500*time.Millisecond) {
		t.Fatalf("deadline %v after the start", at.Sub(start))
	}
}

// TestCacheAgain: a SYN that comes again leaves its mark, and takes ECN back where it no longer asks for it (RFC
// 3168 section 6.1.1.1).
func TestCacheAgain(t *testing.T) {
	c := NewCache(Config{Key: testKey})
	e := entry(1)
	e.ECN = true
	c.Add(start, &e)
	c.Again(&e.Flow, true)
	if got, _ := c.Lookup(&e.Flow); !got.Again || !got.ECN || got.Retries != 0 || got.Sent != start {
		t.Fatalf("%+v", got)
	}
	c.Again(&e.Flow, false)
	if got, _ := c.Lookup(&e.Flow); got.ECN {
		t.Fatal("still with ECN")
	}
	other := flow(2)
	c.Again(&other, true) // nobody there: nothing happens
}

// TestRetransmit is RFC 6298: first after 1 s, then doubling (5.5), five times; 63 s later nobody remembers.
func TestRetransmit(t *testing.T) {
	c := NewCache(Config{Key: testKey})
	e := entry(1)
	c.Add(start, &e)
	at := start
	for retry, wait := range []time.Duration{1, 2, 4, 8, 16} {
		at = at.Add(wait * time.Second)
		if d := c.Deadline(); d != at {
			t.Fatalf("retry %d: deadline after %v, want %v", retry+1, d.Sub(start), at.Sub(start))
		}
		c.Advance(at-1, func(*Entry) { t.Fatal("early") })
		n := 0
		c.Advance(at, func(got *Entry) {
			n++
			if got.Retries != uint8(retry+1) || got.Sent != at || got.Flow != e.Flow {
				t.Fatalf("resent %+v", got)
			}
		})
		if n != 1 {
			t.Fatalf("retry %d: sent %d times", retry+1, n)
		}
	}
	c.Advance(start.Add(63*time.Second), func(*Entry) { t.Fatal("sent a sixth time") })
	if c.Len() != 0 || c.Deadline() != mono.Never || c.Stats().Expired != 1 {
		t.Fatalf("%d entries, deadline %v, %+v", c.Len(), c.Deadline(), c.Stats())
	}
}

// TestCrowded: with more than half the places taken, an entry is given up after 7 s.
func TestCrowded(t *testing.T) {
	c := NewCache(Config{Entries: 64, Key: testKey})
	for i := 0; c.Len() <= 32; i++ {
		e := entry(i)
		c.Add(start, &e)
	}
	resent := 0
	for at := c.Deadline(); at <= start.Add(7*time.Second); at = c.Deadline() {
		c.Advance(at, func(*Entry) { resent++ })
	}
	if st := c.Stats(); st.Expired != 33 || resent != 2*33 {
		t.Fatalf("%d expired, %d resent", st.Expired, resent)
	}
}

// TestAdvanceReenters: resend may take entries out, its own and others.
func TestAdvanceReenters(t *testing.T) {
	c := NewCache(Config{Key: testKey})
	for i := range 20 {
		e := entry(i)
		c.Add(start, &e)
	}
	n := 0
	c.Advance(start.Add(time.Second), func(e *Entry) {
		n++
		c.Remove(&e.Flow)
		other := flow(19 - n + 1)
		c.Remove(&other)
	})
	if c.Len() != 0 || n != 10 || c.Deadline() != mono.Never {
		t.Fatalf("%d left, %d resent", c.Len(), n)
	}
}

// cacheModel is a map and a linear search.
type cacheModel map[wire.Flow]Entry

func (m cacheModel) due(e Entry) mono.Time { return e.Sent.Add(time.Second << e.Retries) }

// advance returns who is to be sent again. Entries that have been given up disappear.
func (m cacheModel) advance(now mono.Time, c *Cache) map[wire.Flow]Entry {
	out := make(map[wire.Flow]Entry)
	last := uint8(5)
	if len(m) > c.Cap()/2 {
		last = 2
	}
	for _, e := range m {
		if m.due(e) > now {
			continue
		}
		if e.Retries >= last {
			delete(m, e.Flow)
			continue
		}
		e.Retries++
		e.Sent = now
		m[e.Flow], out[e.Flow] = e, e
	}
	return out
}

// step plays one operation on both.
func (m cacheModel) step(t *testing.T, c *Cache, now mono.Time, op, n byte) {
	t.Helper()
	if at := c.Deadline(); at != mono.Never && now.Sub(at) > 30*time.Minute {
		op = 3 // the contract: Advance is called long before the clock of a slot wraps
	}
	e := entry(int(n))
	switch op % 4 {
	case 0, 1:
		used := 0
		for f := range m {
			if c.bucket(&f) == c.bucket(&e.Flow) {
				used++
			}
		}
		_, there := m[e.Flow]
		if ok := c.Add(now, &e); ok != (there || used < ways) {
			t.Fatalf("add: %v with %d in the bucket", ok, used)
		} else if ok {
			e.Sent = now
			m[e.Flow] = e
		}
	case 2:
		if _, there := m[e.Flow]; c.Remove(&e.Flow) != there {
			t.Fatalf("remove: want %v", there)
		}
		delete(m, e.Flow)
	case 3:
		want, got := m.advance(now, c), make(map[wire.Flow]Entry)
		c.Advance(now, func(e *Entry) { got[e.Flow] = *e })
		if !maps.Equal(got, want) {
			t.Fatalf("resent %d, want %d", len(got), len(want))
		}
	}
	m.check(t, c)
}

func (m cacheModel) check(t *testing.T, c *Cache) {
	t.Helper()
	at := mono.Never
	for f, e := range m {
		at = min(at, m.due(e))
		if got, ok := c.Lookup(&f); !ok || got != e {
			t.Fatalf("%+v %v, want %+v", got, ok, e)
		}
	}
	if c.Len() != len(m) || c.Deadline() != at {
		t.Fatalf("%d entries, deadline %d; want %d, %d", c.Len(), c.Deadline(), len(m), at)
	}
}

// FuzzCache plays three bytes per step: operation, flow, time passed.
func FuzzCache(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 2, 9, 3, 0, 200, 2, 1, 0, 3, 0, 255, 3, 0, 255})
	f.Fuzz(func(t *testing.T, ops []byte) {
		c, m, now := NewCache(Config{Entries: 16, Key: testKey}), cacheModel{}, start
		for ; len(ops) >= 3; ops = ops[3:] {
			now = now.Add(time.Duration(ops[2]) * 50 * time.Millisecond)
			m.step(t, c, now, ops[0], ops[1])
		}
	})
}

func TestCacheRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	c, m, now := NewCache(Config{Entries: 32, Key: testKey}), cacheModel{}, start
	for range 5_000 {
		now = now.Add(time.Duration(rng.IntN(2000)) * time.Millisecond)
		m.step(t, c, now, byte(rng.Uint32()), byte(rng.IntN(60)))
	}
	if c.Stats().Expired == 0 || c.Stats().Refused == 0 {
		t.Fatalf("the walk was too tame: %+v", c.Stats())
	}
}

// TestFlood: many SYNs from everywhere leave the cache as large as it was and each operation as cheap; the
// timer's work stays within the places there are.
func TestFlood(t *testing.T) {
	c := NewCache(Config{Entries: 1024, Key: testKey})
	now, slots := start, &c.slots[0]
	resend := func(*Entry) {}
	most := 0
	for i := range 100_000 {
		now = now.Add(30 * time.Microsecond)
		e := entry(i)
		c.Add(now, &e)
		if c.Deadline() <= now {
			before := c.stats.Resent + c.stats.Expired
			c.Advance(now, resend)
			most = max(most, int(c.stats.Resent+c.stats.Expired-before))
		}
	}
	if c.Cap() != 1024 || &c.slots[0] != slots || c.Len() > 1024 || most > 2048 {
		t.Fatalf("%d of %d places, %d at once", c.Len(), c.Cap(), most)
	}
	if st := c.Stats(); st.Added+st.Refused != 100_000 || st.Refused < 90_000 {
		t.Fatalf("%+v", st)
	}
	now = now.Add(time.Minute)
	for range 8 {
		c.Advance(now, resend)
		now = now.Add(time.Minute)
	}
	if c.Len() != 0 {
		t.Fatalf("%d entries remain after the flood", c.Len())
	}
}

// TestEvictOldest: without cookies the newest SYN gets in, and the one that waited longest goes.
func TestEvictOldest(t *testing.T) {
	c := NewCache(Config{Entries: ways, EvictOldest: true, Key: testKey})
	for i := range ways + 1 {
		e := entry(i)
		if !c.Add(start.Add(time.Duration(i)*time.Millisecond), &e) {
			t.Fatalf("entry %d refused", i)
		}
	}
	first, second := flow(0), flow(1)
	if _, ok := c.Lookup(&first); ok || c.Stats().Evicted != 1 {
		t.Fatal("the oldest is still there")
	}
	if _, ok := c.Lookup(&second); !ok {
		t.Fatal("another than the oldest went")
	}
}

func TestCacheAllocs(t *testing.T) {
	c := NewCache(Config{Entries: 1024, Key: testKey})
	now, i := start, 0
	resend := func(*Entry) {}
	n := testing.AllocsPerRun(1000, func() {
		e := entry(i)
		c.Add(now, &e)
		c.Lookup(&e.Flow)
		if i++; i%2 == 0 {
			c.Remove(&e.Flow)
		}
		now = now.Add(10 * time.Millisecond)
		c.Advance(now, resend)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkCache is one handshake: SYN, ACK.
func BenchmarkCache(b *testing.B) {
	c := NewCache(Config{Key: testKey})
	for i := range 1000 {
		e := entry(i)
		c.Add(start, &e)
	}
	e := entry(5000)
	b.ReportAllocs()
	for b.Loop() {
		c.Add(start, &e)
		c.Lookup(&e.Flow)
		c.Remove(&e.Flow)
	}
}

// BenchmarkCacheFull is a SYN that finds no room.
func BenchmarkCacheFull(b *testing.B) {
	c := NewCache(Config{Entries: ways, Key: testKey})
	for i := range ways {
		e := entry(i)
		c.Add(start, &e)
	}
	e := entry(100)
	b.ReportAllocs()
	for b.Loop() {
		c.Add(start, &e)
	}
}
