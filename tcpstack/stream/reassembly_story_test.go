package stream

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

func newReassembly(c ReassemblyConfig, p PoolConfig) (*Reassembly, *BlockPool) {
	pool, r := NewBlockPool(p), new(Reassembly)
	r.Init(pool, c)
	return r, pool
}

// wantSACK checks the blocks in the order they would be sent.
func wantSACK(t *testing.T, r *Reassembly, n int, want ...Range) {
	t.Helper()
	dst := make([]Range, n)
	if got := dst[:r.SACK(dst)]; !slices.Equal(got, want) {
		t.Fatalf("SACK %v, want %v", got, want)
	}
}

// TestSACKOrder is RFC 2018 section 4: the block with the segment just received first, then those reported
// most recently, each once.
func TestSACKOrder(t *testing.T) {
	r, _ := newReassembly(ReassemblyConfig{}, PoolConfig{})
	seg := make([]byte, 100)
	for _, off := range []int64{1000, 5000, 3000, 7000} {
		r.Insert(off, seg)
	}
	wantSACK(t, r, 4, Range{7000, 7100}, Range{3000, 3100}, Range{5000, 5100}, Range{1000, 1100})
	t.Log("a segment that grows the oldest block moves it to the front")
	r.Insert(1100, seg)
	wantSACK(t, r, 3, Range{1000, 1200}, Range{7000, 7100}, Range{3000, 3100})
	t.Log("so does a duplicate: its block triggered the ACK")
	if _, res := r.Insert(5020, seg[:10]); res != Duplicate {
		t.Fatalf("a duplicate was %v", res)
	}
	wantSACK(t, r, 2, Range{5000, 5100}, Range{1000, 1200})
	t.Log("touching one block often does not push the others out")
	for range 10 {
		r.Insert(5020, seg[:10])
	}
	wantSACK(t, r, 4, Range{5000, 5100}, Range{1000, 1200}, Range{7000, 7100}, Range{3000, 3100})
	t.Log("joined blocks are reported once")
	r.Insert(3100, make([]byte, 1900))
	wantSACK(t, r, 4, Range{3000, 5100}, Range{1000, 1200}, Range{7000, 7100})
	t.Log("the cumulative ACK swallows blocks")
	if n, _ := r.Insert(0, make([]byte, 3000)); n != 5100 {
		t.Fatalf("advanced by %d, want 5100", n)
	}
	wantSACK(t, r, 4, Range{7000, 7100})
}

// TestSACKRecency compares the order with a plain list of touches, over more ranges than are remembered.
func TestSACKRecency(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	r, _ := newReassembly(ReassemblyConfig{Limit: 1 << 20}, PoolConfig{})
	var touched []int64 // latest first
	for range 2000 {
		off := 100 + 100*rng.Int64N(30)
		r.Insert(off, []byte{1})
		touched = slices.DeleteFunc(touched, func(o int64) bool { return o == off })
		touched = slices.Insert(touched, 0, off)
		dst := make([]Range, 4)
		dst = dst[:r.SACK(dst)]
		for i, d := range dst {
			if d.From != touched[i] {
				t.Fatalf("block %d is %v, want the one at %d", i, d, touched[i])
			}
		}
	}
}

// TestFirstCopyWins: what was received stays, whatever a later segment says about the same bytes.
func TestFirstCopyWins(t *testing.T) {
	r, _ := newReassembly(ReassemblyConfig{}, PoolConfig{})
	r.Insert(3, []byte("DEF"))
	r.Insert(0, []byte("abcdefghi"))
	r.Insert(5, []byte("XXXXj"))
	if p := r.Peek(); string(p) != "abcDEFghij" {
		t.Fatalf("read %q", p)
	}
}

// TestMaxHoles: beyond the bound the furthest range makes room for a nearer one, and a further one is refused.
func TestMaxHoles(t *testing.T) {
	r, pool := newReassembly(ReassemblyConfig{Limit: 1 << 20, MaxHoles: 3}, PoolConfig{})
	for _, off := range []int64{10_000, 30_000, 50_000} {
		r.Insert(off, []byte{1})
	}
	if _, res := r.Insert(70_000, []byte{1}); res != Refused {
		t.Fatalf("a fourth range, furthest away: %v", res)
	}
	if _, res := r.Insert(50_001, []byte{1}); res != Stored {
		t.Fatalf("growing a range at the bound: %v", res)
	}
	if _, res := r.Insert(20_000, []byte{1}); res != Stored {
		t.Fatalf("a nearer range: %v", res)
	}
	wantSACK(t, r, 4, Range{20_000, 20_001}, Range{30_000, 30_001}, Range{10_000, 10_001})
	if pool.InUse() != 3*BlockSize {
		t.Fatalf("%d blocks held for three ranges", pool.InUse()/BlockSize)
	}
}

// TestTinySegments is the attack of CVE-2018-5390: one byte in each of as many places as possible. Memory
// stays within the limit and the number of ranges within its bound, in whatever order they come.
func TestTinySegments(t *testing.T) {
	const limit = 1 << 18
	r, pool := newReassembly(ReassemblyConfig{Limit: limit}, PoolConfig{})
	for i := range limit/2 - 1 {
		r.Insert(int64(limit-2-2*i), []byte{1})
		if r.Holes() > DefaultMaxHoles {
			t.Fatalf("%d ranges", r.Holes())
		}
	}
	if bound := limit + 2*BlockSize + limit/512 + 4096; r.Charged() > bound {
		t.Fatalf("%d bytes charged, bound %d", r.Charged(), bound)
	}
	if n := pool.InUse(); n > DefaultMaxHoles*BlockSize {
		t.Fatalf("%d bytes held for %d single bytes", n, DefaultMaxHoles)
	}
	t.Log("and a stream that is torn up like this can still be completed")
	if n, res := r.Insert(0, make([]byte, limit)); n != limit || res != Stored {
		t.Fatalf("advanced by %d, %v", n, res)
	}
}

// TestSmallRequest: a request in an empty stream costs a block and a table, is contiguous wherever in the
// stream it begins, and when it is read nothing is left.
func TestSmallRequest(t *testing.T) {
	r, _ := newReassembly(ReassemblyConfig{}, PoolConfig{})
	for range 100 {
		r.Insert(r.Next(), make([]byte, 300))
		r.Insert(r.Next(), make([]byte, 3000))
		if p := r.Peek(); len(p) != 3300 {
			t.Fatalf("%d of 3300 bytes together", len(p))
		}
		if n := r.Charged(); n > BlockSize+64 {
			t.Fatalf("%d bytes charged", n)
		}
		if r.Discard(3300); r.Charged() != 0 {
			t.Fatalf("%d bytes charged when empty", r.Charged())
		}
	}
}

// TestLimit: what lies beyond the limit is cut off, and reading moves the limit on.
func TestLimit(t *testing.T) {
	r, _ := newReassembly(ReassemblyConfig{Limit: 1000}, PoolConfig{})
	if n, res := r.Insert(0, make([]byte, 1500)); n != 1000 || res != Trimmed || r.Room() != 0 {
		t.Fatalf("%d %v, room %d", n, res, r.Room())
	}
	if _, res := r.Insert(1000, []byte{1}); res != Refused {
		t.Fatalf("a byte beyond the limit: %v", res)
	}
	r.Discard(400)
	if n, res := r.Insert(1000, make([]byte, 400)); n != 400 || res != Stored {
		t.Fatalf("%d %v after 400 bytes were read", n, res)
	}
	if r.SetLimit(100); r.Room() != 0 || r.Readable() != 1000 {
		t.Fatalf("a smaller limit left room %d, readable %d", r.Room(), r.Readable())
	}
}

// TestReceived is what a D-SACK reports (RFC 2883 section 4.1 and 4.2).
func TestReceived(t *testing.T) {
	r, _ := newReassembly(ReassemblyConfig{}, PoolConfig{})
	r.Insert(0, make([]byte, 1000))
	r.Insert(2000, make([]byte, 1000))
	for _, c := range []struct {
		seg, want Range
		ok        bool
	}{
		{Range{500, 900}, Range{500, 900}, true},
		{Range{500, 1500}, Range{500, 1000}, true},
		{Range{1000, 2000}, Range{}, false},
		{Range{1500, 2500}, Range{2000, 2500}, true},
		{Range{3000, 4000}, Range{}, false},
	} {
		if got, ok := r.Received(c.seg); ok != c.ok || ok && got != c.want {
			t.Errorf("%v: %v %v, want %v", c.seg, got, ok, c.want)
		}
	}
}

// TestPoolPressure: with the pool at its bound, data in order takes precedence over data out of order, on the
// same stream and among streams, and a refusal leaves nothing behind.
func TestPoolPressure(t *testing.T) {
	pool := NewBlockPool(PoolConfig{MaxBytes: 16 * BlockSize})
	var a, b Reassembly
	a.Init(pool, ReassemblyConfig{Limit: 1 << 20})
	b.Init(pool, ReassemblyConfig{Limit: 1 << 20})
	if _, res := a.Insert(BlockSize, make([]byte, 20*BlockSize)); res != Trimmed {
		t.Fatalf("out of order, more than there is: %v", res)
	}
	wantSACK(t, &a, 1, Range{BlockSize, 15 * BlockSize}) // 14 = 7/8 of 16
	if _, res := b.Insert(5, []byte{1}); res != Refused || b.Charged() != 0 {
		t.Fatalf("out of order on another stream: %v, %d bytes charged", res, b.Charged())
	}
	if n, res := b.Insert(0, make([]byte, 2*BlockSize)); n != 2*BlockSize || res != Stored {
		t.Fatalf("in order on another stream: %d %v", n, res)
	}
	if n, res := b.Insert(2*BlockSize, []byte{1}); n != 0 || res != Refused {
		t.Fatalf("beyond the bound: %d %v", n, res)
	}
	t.Log("a's own out-of-order data gives way to what is next")
	if n, res := a.Insert(0, make([]byte, BlockSize)); n != BlockSize || res != Stored || a.Holes() != 0 {
		t.Fatalf("%d %v, %d ranges left", n, res, a.Holes())
	}
	a.Drop()
	b.Drop()
	if b.Insert(b.Next(), []byte{1}); pool.InUse() != BlockSize {
		t.Fatalf("%d bytes in use", pool.InUse())
	}
}

// TestRefusedLeavesNothing: at the bound of holes a segment may only join ranges. If memory runs out before it
// reaches the range above that it was to join, nothing of it may be kept, nor any block.
func TestRefusedLeavesNothing(t *testing.T) {
	pool := NewBlockPool(PoolConfig{MaxBytes: 4 * BlockSize})
	var r Reassembly
	r.Init(pool, ReassemblyConfig{Limit: 1 << 20, MaxHoles: 1})
	r.Insert(10*BlockSize, []byte{1})
	if _, res := r.Insert(2*BlockSize, make([]byte, 8*BlockSize)); res != Refused {
		t.Fatal(res)
	}
	wantSACK(t, &r, 2, Range{10 * BlockSize, 10*BlockSize + 1})
	if pool.InUse() != BlockSize || pool.Refused() == 0 {
		t.Fatalf("%d bytes in use for one byte; %d refused", pool.InUse(), pool.Refused())
	}
}

// FuzzPressure runs several streams on a pool that is too small for them. Whatever is refused or dropped, what
// can be read is right, the pool's accounts balance, and no stream is kept from going on by its own holes.
func FuzzPressure(f *testing.F) {
	f.Add([]byte{0, 9, 9, 9, 1, 200, 9, 200, 0, 0, 0, 255, 2, 40, 40, 40}, uint8(3))
	f.Fuzz(func(t *testing.T, ops []byte, blocks uint8) {
		pool := NewBlockPool(PoolConfig{MaxBytes: (int(blocks%16) + 1) * BlockSize})
		var rs [3]Reassembly
		for i := range rs {
			rs[i].Init(pool, ReassemblyConfig{Limit: 100_000, MaxHoles: 4})
		}
		for ; len(ops) >= 4; ops = ops[4:] {
			r := &rs[ops[0]%3]
			off := r.Next() - 1000 + int64(ops[1])*int64(ops[2])
			if ops[0]%2 == 0 {
				off = r.Next()
			}
			r.Insert(max(0, off), pattern(max(0, off), int(ops[3])*100))
			readPattern(t, r, int(ops[0])*64)
			checkPool(t, pool, rs[:])
		}
		for i := range rs {
			rs[i].Drop()
		}
		if pool.InUse() != 0 {
			t.Fatalf("%d bytes in use by nobody", pool.InUse())
		}
	})
}

// pattern is the stream's bytes from off on.
func pattern(off int64, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		at := off + int64(i)
		p[i] = byte(at*7 + at>>9)
	}
	return p
}

func readPattern(t *testing.T, r *Reassembly, n int) {
	t.Helper()
	at, buf := r.Offset(), make([]byte, n)
	if buf = buf[:r.Read(buf)]; !bytes.Equal(buf, pattern(at, len(buf))) {
		t.Fatalf("wrong bytes at %d", at)
	}
}

func checkPool(t *testing.T, pool *BlockPool, rs []Reassembly) {
	t.Helper()
	sum := 0
	for i := range rs {
		rig := rig{t: t, r: rs[i], limit: rs[i].limit}
		rig.pool.inUse = int(rs[i].blocks)
		rig.checkMemory(rs[i].Buffered() == 0)
		sum += int(rs[i].blocks) * BlockSize
	}
	if sum != pool.InUse() {
		t.Fatalf("pool says %d, streams hold %d", pool.InUse(), sum)
	}
}

func TestReassemblyAllocs(t *testing.T) {
	r, _ := newReassembly(ReassemblyConfig{Limit: 1 << 20}, PoolConfig{})
	seg, buf := make([]byte, 64<<10), make([]byte, 64<<10)
	var sack [4]Range
	inOrder := func() {
		r.Insert(r.Next(), seg)
		r.Read(buf)
	}
	holes := func() {
		at := r.Next()
		for i := int64(5); i > 0; i -= 2 {
			r.Insert(at+i*2000, seg[:2000])
			r.SACK(sack[:])
		}
		r.Insert(at, seg)
		for r.Readable() > 0 {
			r.Discard(len(r.Peek()))
		}
	}
	for name, f := range map[string]func(){"in order": inOrder, "with holes": holes} {
		f()
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestDiscardTooMuch(t *testing.T) {
	r, _ := newReassembly(ReassemblyConfig{}, PoolConfig{})
	r.Insert(0, make([]byte, 10))
	defer func() {
		if recover() == nil {
			t.Fatal("more was discarded than was there")
		}
	}()
	r.Discard(11)
}

// TestPoolKeep: the free list is bounded, and what comes back is used again before anything is made.
func TestPoolKeep(t *testing.T) {
	r, pool := newReassembly(ReassemblyConfig{Limit: 1 << 20}, PoolConfig{KeepBytes: 4 * BlockSize})
	r.Insert(0, make([]byte, 10*BlockSize))
	if r.Drop(); pool.Idle() != 4*BlockSize {
		t.Fatalf("%d bytes kept", pool.Idle())
	}
	if r.Insert(r.Next(), []byte{1}); pool.Idle() != 3*BlockSize || pool.InUse() != BlockSize {
		t.Fatalf("%d bytes idle, %d in use", pool.Idle(), pool.InUse())
	}
}

// BenchmarkReassembly receives superframes in order; the copy alone is the floor.
func BenchmarkReassembly(b *testing.B) {
	seg := make([]byte, 64<<10)
	b.Run("copy", func(b *testing.B) {
		dst := make([]byte, len(seg))
		b.SetBytes(int64(len(seg)))
		for b.Loop() {
			copy(dst, seg)
		}
	})
	for name, n := range map[string]int{"superframe": len(seg), "segment": 1448, "request": 300} {
		b.Run(name, func(b *testing.B) {
			r, _ := newReassembly(ReassemblyConfig{Limit: 1 << 20}, PoolConfig{})
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				r.Insert(r.Next(), seg[:n])
				for r.Readable() > 0 {
					r.Discard(len(r.Peek()))
				}
			}
		})
	}
}

// BenchmarkHoles inserts into a stream that is at its bound of holes, from the far end: the worst case.
func BenchmarkHoles(b *testing.B) {
	r, _ := newReassembly(ReassemblyConfig{Limit: 1 << 20}, PoolConfig{})
	b.ReportAllocs()
	at := int64(1<<20 - 2)
	for b.Loop() {
		r.Insert(at, []byte{1})
		if at -= 2; at < 2 {
			r.Drop()
			at = 1<<20 - 2
		}
	}
}
