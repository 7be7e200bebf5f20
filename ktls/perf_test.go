package ktls

import (
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"testing"

	"ocaserve/ktls/offload"
	"ocaserve/tcpstack/stream"
)

// A ring is a queue for hot paths: it allocates nothing.
type ring struct {
	spans []stream.Span
	g     stream.Gather
}

func newRing() *ring {
	r := &ring{spans: make([]stream.Span, 0, 256)}
	r.g.Init(make([]byte, 512<<10), 512)
	return r
}

func (r *ring) Append(s stream.Span) { r.spans = append(r.spans, s) }

// pass gathers all spans in TSO-sized steps, as transmission would, and releases them.
func (r *ring) pass() {
	for _, s := range r.spans {
		n := s.Len()
		s.Gather(&r.g, 0, n/2)
		s.Gather(&r.g, n/2, n)
	}
	r.release()
}

func (r *ring) release() {
	for _, s := range r.spans {
		s.Release()
	}
	r.spans = r.spans[:0]
	r.g.Reset()
}

// mend retransmits some of each span.
func (r *ring) mend() {
	for _, s := range r.spans {
		s.Gather(&r.g, 0, s.Len()/2)
		s.Gather(&r.g, s.Len()/3, s.Len())
	}
}

// flaky is an interface whose contexts come and go.
type flaky struct {
	softNIC
	good bool
}

func (n *flaky) Health(uint64) offload.Health {
	if n.good {
		return offload.Good
	}
	return offload.Evicted
}

func TestSealAllocatesNothing(t *testing.T) {
	for _, suite := range allSuites {
		for _, mode := range []Mode{ModeOff, ModeUser, ModeInline, ModeNIC} {
			w, _ := pair(t, suite)
			if mode == ModeOff {
				w = nil
			}
			nic := &flaky{*newSoftNIC(t), true}
			pool := NewPool(0)
			pool.SetNIC(nic)
			f, err := NewFramer(mode, w, pool)
			if err != nil {
				t.Fatal(err)
			}
			r := newRing()
			var pg page
			data := make([]byte, 100_000)
			pieces := make([]stream.Piece, 2)
			run := func() {
				pg.holds.Add(2)
				pieces[0], pieces[1] = stream.Piece{Data: data[:300], Ref: &pg}, stream.Piece{Data: data[300:], Ref: &pg}
				if err := f.Append(r, pieces); err != nil {
					t.Fatal(err)
				}
				r.mend()
				nic.good = false // what the interface had begun, the CPU ends
				r.mend()
				nic.good = true
				r.release()
			}
			run() // fills the pool
			if left := pool.Stats().Offloaded > 0; left != (mode == ModeNIC && suites[suite].kind == kindGCM) {
				t.Errorf("%v, %v: records left to the interface: %v", suite, mode, left)
			}
			if n := testing.AllocsPerRun(20, run); n != 0 {
				t.Errorf("%v, %v: %v allocations per 100 kB", suite, mode, n)
			}
			if pg.holds.Load() != 0 {
				t.Errorf("%v, %v: holds left", suite, mode)
			}
		}
	}
}

func TestOpenAllocatesNothing(t *testing.T) {
	for _, suite := range allSuites {
		f, o := newForger(t, suite)
		const runs = 50
		var wire []byte
		for range runs + 1 {
			wire = append(wire, f.record(typeData, make([]byte, 500)...)...)
			wire = append(wire, f.record(typeAlert, 1, 90)...)
		}
		at := 0
		n := testing.AllocsPerRun(runs, func() {
			for range 2 {
				n, _, _, err := o.Open(wire[at:])
				if err != nil || n == 0 {
					t.Fatal(n, err)
				}
				at += n
			}
		})
		if n != 0 {
			t.Errorf("%v: %v allocations per record", suite, n)
		}
		bad := append([]byte{23, 3, 3, 0, 100}, make([]byte, 100)...)
		if n := testing.AllocsPerRun(runs, func() { o.Open(bad) }); n != 0 {
			t.Errorf("%v: %v allocations per hostile record", suite, n)
		}
	}
}

// An idle HTTPS connection keeps its framer, its opener and their keys, and nothing else.
func TestIdleMemory(t *testing.T) {
	const conns, bar = 500, 4 << 10
	pool := NewPool(0)
	framers, openers := make([]*Framer, conns), make([]*Opener, conns)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range conns {
		w, r := pair(t, AES256GCM)
		s := &Session{Write: w, Read: r}
		var err error
		if framers[i], openers[i], err = s.Start(ModeInline, pool); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := (after.HeapAlloc - before.HeapAlloc) / conns
	t.Logf("%d bytes per idle connection", per)
	if per > bar {
		t.Errorf("%d bytes per idle connection, the bar is %d", per, bar)
	}
	runtime.KeepAlive(framers)
	runtime.KeepAlive(openers)
}

// BenchmarkSeal: 64 KiB of one page appended, gathered and released, in records of 11 segments of 1448 bytes. Hot is
// a page that is in the CPU's cache, cold one that is not.
func BenchmarkSeal(b *testing.B) {
	cold := make([]byte, 128<<20)
	for i := range cold {
		cold[i] = byte(i >> 8)
	}
	for _, suite := range allSuites {
		for _, mode := range []Mode{ModeUser, ModeInline, ModeNIC} {
			name := suite.String() + "/" + mode.String()
			b.Run(name+"/hot", func(b *testing.B) { benchSeal(b, suite, mode, cold[:benchPage]) })
			b.Run(name+"/cold", func(b *testing.B) { benchSeal(b, suite, mode, cold) })
		}
	}
}

const benchPage = 64 << 10

func benchSeal(b *testing.B, suite Suite, mode Mode, data []byte) {
	f, r, at := benchFramer(b, suite, mode), newRing(), 0
	b.SetBytes(benchPage)
	b.ReportAllocs()
	for b.Loop() {
		pieces := [1]stream.Piece{{Data: data[at : at+benchPage]}}
		if err := f.Append(r, pieces[:]); err != nil {
			b.Fatal(err)
		}
		r.pass()
		if at += benchPage; at == len(data) {
			at = 0
		}
	}
}

// BenchmarkRetransmit: one segment out of the middle of a record, made again.
func BenchmarkRetransmit(b *testing.B) {
	for _, suite := range allSuites {
		for _, mode := range []Mode{ModeUser, ModeInline} {
			b.Run(suite.String()+"/"+mode.String(), func(b *testing.B) {
				f, r := benchFramer(b, suite, mode), newRing()
				if err := f.Append(r, []stream.Piece{{Data: make([]byte, benchPage)}}); err != nil {
					b.Fatal(err)
				}
				s := r.spans[0]
				s.Gather(&r.g, 0, s.Len())
				b.SetBytes(1448)
				b.ReportAllocs()
				for b.Loop() {
					r.g.Reset()
					s.Gather(&r.g, 5*1448, 6*1448)
				}
				r.release()
			})
		}
	}
}

func benchFramer(b *testing.B, suite Suite, mode Mode) *Framer {
	w, _ := pair(b, suite)
	pool := NewPool(0)
	pool.SetNIC(&flaky{*newSoftNIC(b), true})
	f, err := NewFramer(mode, w, pool)
	if err != nil {
		b.Fatal(err)
	}
	f.limit = keyLimit
	f.SetPolicy(RecordPolicy{SmallBytes: -1})
	f.SetSegment(1448, 44*1448)
	return f
}

// BenchmarkOpen: a request of 500 bytes. Opening is in place, so each iteration copies the record first.
func BenchmarkOpen(b *testing.B) {
	for _, suite := range allSuites {
		b.Run(suite.String(), func(b *testing.B) {
			f, o := newForger(b, suite)
			rec := f.record(typeData, make([]byte, 500)...)
			in := make([]byte, len(rec))
			b.SetBytes(500)
			b.ReportAllocs()
			for b.Loop() {
				copy(in, rec)
				o.r.seq = 0
				if n, _, _, err := o.Open(in); n == 0 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// BenchmarkHandshake counts both sides: the client is crypto/tls in the same process.
func BenchmarkHandshake(b *testing.B) {
	for _, suite := range []Suite{AES128GCM, ECDHE_ECDSA_AES128GCM} {
		for _, resumed := range []bool{false, true} {
			name := suite.version().String() + "/full"
			if resumed {
				name = suite.version().String() + "/resumed"
			}
			b.Run(name, func(b *testing.B) {
				ca := newTestCA(b)
				conf := ca.clientFor(suite)
				if resumed {
					conf.ClientSessionCache = tls.NewLRUClientSessionCache(1)
					fetchTicket(b, ca, conf)
				}
				b.ReportAllocs()
				for b.Loop() {
					sc, cc := net.Pipe()
					go func() { tls.Client(cc, conf).Handshake() }()
					s, err := Handshake(context.Background(), sc, ca.server)
					if err != nil || s.Resumed != resumed {
						b.Fatal(s, err)
					}
					sc.Close()
				}
			})
		}
	}
}
