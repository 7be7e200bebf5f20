package compare

import (
	"context"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"ocaserve/ktls"
	"ocaserve/nicoffload"
	"ocaserve/origin"
	"ocaserve/pacing"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/ledger"
)

// This file holds an adapter that is too small for its connections to what it promises: its table full, its rows taken
// away, its bus used up, every response still arrives, whole and right, and nobody waits for others.

// A storm is many clients who fetch something small again and again, while a few fetch the whole file. What is below
// `asking` belongs to the clients' shard.
type storm struct {
	t   *testing.T
	ctx context.Context
	w   *world
	n   int // clients
	few int // of them fetch the whole file

	asking  int           // clients who wait for a response
	quiet   chan struct{} // closed when asking is 0
	goal    int           // responses to each of the many
	ended   map[*player]int
	reached []int // of the many, how many have received so many responses
	slowest int   // what all of the many have received
	lead    int   // the most that any was ahead of the slowest
	unfair  bool  // see wave
	greedy  map[*player]bool
	memory  chan int64 // the most that the server's account has held, bytes
}

const (
	stormFile  = 4 << 20
	stormSmall = 8 << 10 // fits the initial window: one round trip, unless the window has collapsed
	stormGoal  = 30
	stormFew   = 8

	wideBus, narrowBus pacing.Rate = 1e12, 150e6 // what nobody can use up; a fraction of what the server sends
)

// stormSize is the number of clients and of rows in the adapter's table.
func stormSize() (clients, rows int) {
	if os.Getenv("OCASERVE_E2E_FULL") != "" {
		return 10_000, 1000
	}
	return 300, 50
}

// busOf is a bus for the size of the test. The small one runs beside other tests, whose load must not keep it from
// being the bottleneck.
func busOf(full pacing.Rate) pacing.Rate {
	if clients, _ := stormSize(); clients < 10_000 {
		return full / 8
	}
	return full
}

func newStorm(t *testing.T, cfg nicoffload.Config) *storm {
	s := &storm{t: t, few: stormFew, goal: stormGoal, memory: make(chan int64, 1)}
	var rows int
	s.n, rows = stormSize()
	cfg.Contexts = rows
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute) // a guard: nothing that is checked depends on it
	t.Cleanup(cancel)
	s.ctx = ctx
	opts := Options{Modes: []ktls.Mode{ktls.ModeNIC}, Loss: []float64{0}, Size: stormFile, NIC: cfg}
	if err := opts.setDefaults(); err != nil {
		t.Fatal(err)
	}
	stage, err := newStage(&opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stage.close)
	if s.w, err = stage.newWorld(ctx, Key{Mode: ktls.ModeNIC, Conns: s.n}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.w.close)
	return s
}

// clients runs f on the clients' shard, server on the server's.
func (s *storm) clients(f func()) { s.on(s.w.clients, func(*tcpstack.Shard) { f() }) }

func (s *storm) server(f func(*tcpstack.Shard)) { s.on(s.w.server, f) }

func (s *storm) on(st *tcpstack.Stack, f func(*tcpstack.Shard)) {
	s.t.Helper()
	if _, err := on(s.ctx, st, func(sh *tcpstack.Shard) any { f(sh); return nil }); err != nil {
		s.t.Fatal(err)
	}
}

// wait waits until nobody asks for anything any more.
func (s *storm) wait() {
	s.t.Helper()
	select {
	case <-s.quiet:
	case err := <-s.w.failure:
		s.t.Fatal(err)
	case <-s.ctx.Done():
		s.t.Fatalf("%v: %d clients wait for a response; the slowest has received %d", s.ctx.Err(), s.asking, s.slowest)
	}
}

// begin lets players ask, and next say what they ask for then.
func (s *storm) begin(who []*player, next func(p *player) (from int64, ok bool)) {
	s.clients(func() {
		s.quiet, s.asking = make(chan struct{}), len(who)
		s.w.fleet.next = func(p *player) (from int64, ok bool) {
			if from, ok = next(p); !ok {
				if s.asking--; s.asking == 0 {
					close(s.quiet)
				}
			}
			return from, ok
		}
		for _, p := range who {
			p.ask(s.from(p))
		}
	})
}

// from is where in the file a client's request begins.
func (s *storm) from(p *player) int64 {
	if s.greedy[p] {
		return 0
	}
	return stormFile - stormSmall
}

// wave lets everybody fetch, the few for as long as the many. Nobody starves: each of the many receives its n-th response
// before any receives its (4n+12)-th. If all are served in turn it is n+1 or n+2; a client whose window has collapsed to a
// segment takes three round trips for a response instead of one, and before that a time-out; whoever is passed over
// sees others go on without end.
func (s *storm) wave() {
	s.greedy, s.ended = make(map[*player]bool), make(map[*player]int)
	s.reached, s.slowest, s.lead = make([]int, s.goal+1), 0, 0
	for _, p := range s.w.fleet.ready[:s.few] {
		s.greedy[p] = true
	}
	many := s.n - s.few
	s.reached[0] = many
	s.begin(s.w.fleet.ready, func(p *player) (int64, bool) {
		if s.w.fleet.Responses%uint64(s.n/4) == 0 {
			s.weigh()
		}
		if s.greedy[p] {
			return s.from(p), s.slowest < s.goal
		}
		s.ended[p]++
		n := s.ended[p]
		s.reached[n]++
		for s.slowest < s.goal && s.reached[s.slowest+1] == many {
			s.slowest++
		}
		s.lead, s.unfair = max(s.lead, n-s.slowest), s.unfair || n >= 4*(s.slowest+1)+12
		return s.from(p), n < s.goal
	})
	s.wait()
	if s.unfair {
		s.t.Errorf("a client was up to %d responses ahead of another, and more than four times as fast", s.lead)
	}
}

// weigh has the server's account of memory looked at.
func (s *storm) weigh() {
	s.w.server.Shards()[0].Post(tcpstack.MessageFunc(func(sh *tcpstack.Shard) {
		used := sh.Snapshot().MemoryUsed
		select {
		case most := <-s.memory:
			used = max(used, most)
		default:
		}
		s.memory <- used
	}))
}

// A reading is all counters between two phases, when nobody asks for anything.
type reading struct {
	tls     origin.TLSStats
	nic     map[string]uint64
	book    ledger.Book
	records uint64 // that clients received
}

func (s *storm) read() (r reading) {
	s.t.Helper()
	var err error
	if r.tls, err = s.w.origin.TLSStats(s.ctx); err != nil {
		s.t.Fatal(err)
	}
	r.nic = make(map[string]uint64)
	s.server(func(sh *tcpstack.Shard) { r.book = *sh.Book() })
	for _, st := range s.w.nic.Stats() {
		r.nic[st.Name] = st.Value
	}
	s.clients(func() {
		for _, p := range s.w.fleet.ready {
			r.records += p.recv.seq
		}
	})
	return r
}

// wantSums checks that counters of different parts tell the same story.
func (s *storm) wantSums(r *reading) {
	s.t.Helper()
	sw := &r.tls.Switches
	s.wantEqual("records received, framed", r.records, r.book.Sum(ledger.Records))
	s.wantEqual("records framed, first sealed by CPU or adapter", r.book.Sum(ledger.Records), r.tls.Records+r.tls.Offloaded)
	s.wantEqual("attempts that a full table failed, tx_tls_ctx_full", sw.Failed[ktls.ReasonTableFull], r.nic["tx_tls_ctx_full"])
	s.wantEqual("tx_tls_ctx, rows added less those that went",
		r.nic["tx_tls_ctx"], r.nic["tx_tls_ctx_added"]-r.nic["tx_tls_ctx_deleted"]-r.nic["tx_tls_ctx_evicted"])
	away := uint64(0)
	for _, n := range sw.ToSW {
		away += n
	}
	s.wantEqual("connections on the adapter, those that began or came there less those that left",
		r.tls.Now.Device, r.tls.Begun.Device+sw.ToIfnet-away)
	s.wantEqual("connections", r.tls.Now.Device+r.tls.Now.SW, uint64(s.n))
	if rows := uint64(len(s.w.fleet.ready)); r.nic["tx_tls_ctx"] > rows {
		s.t.Errorf("%d contexts for %d connections", r.nic["tx_tls_ctx"], rows)
	}
	for _, bad := range []string{"tx_tls_drop_no_sync_data", "tx_tls_drop_bypass_req", "tx_tls_drop_lost_place", "tx_queue_dropped", "ifnet.reset"} {
		s.wantEqual(bad, r.nic[bad], 0)
	}
}

func (s *storm) wantEqual(what string, got, want uint64) {
	s.t.Helper()
	if got != want {
		s.t.Errorf("%s: %d and %d", what, got, want)
	}
}

// calm lets a few clients fetch the whole file until records of all of them are left to the adapter, while the others are
// idle, or gone.
func (s *storm) calm(who []*player) {
	s.t.Helper()
	const patience = 40 // whole files: more records than the longest that a framer waits before it tries again
	s.greedy = make(map[*player]bool)
	for _, p := range who {
		s.greedy[p] = true
	}
	for range patience {
		if now := s.read().tls.Now; now.Device >= uint64(len(who)) && s.onAdapter() >= len(who) {
			return
		}
		s.begin(who, func(*player) (int64, bool) { return 0, false })
		s.wait()
	}
	s.t.Errorf("after the storm %d of %d active connections are back on the adapter", s.onAdapter(), len(who))
}

// onAdapter counts the greedy clients whose records are left to the adapter.
func (s *storm) onAdapter() (n int) {
	active := make(map[uint16]bool)
	s.clients(func() {
		for p := range s.greedy {
			active[p.conn.LocalAddr().Port()] = true
		}
	})
	s.server(func(sh *tcpstack.Shard) {
		sh.Walk(tcpstack.WalkAll, s.n, func(c *tcpstack.Conn) {
			if seal, ok := origin.SealingOf(c); ok && seal.Now == ktls.ModeNIC && active[c.RemoteAddr().Port()] {
				n++
			}
		})
	})
	return n
}

// A leaver discards what still comes.
type leaver struct{}

func (leaver) Readable(c *tcpstack.Conn)    { c.Discard(c.Readable()) }
func (leaver) Writable(*tcpstack.Conn)      {}
func (leaver) Closed(*tcpstack.Conn, error) {}

// leaveAtOnce is how many connections close in one turn. A RST is never sent again: one that finds a ring full, the link's or
// the adapter's, leaves its connection to the server's idle timeout.
const leaveAtOnce = 128

// leave closes connections, every second one by a reset, and waits until the server has forgotten them.
func (s *storm) leave(who []*player) {
	s.t.Helper()
	for part := range slices.Chunk(who, leaveAtOnce) {
		s.clients(func() {
			for i, p := range part {
				p.conn.SetHandler(leaver{})
				if i%2 == 0 {
					p.conn.Abort()
				} else {
					p.conn.Close()
				}
			}
		})
		s.n -= len(part)
		for s.w.origin.Stats().Open > int64(s.n) {
			s.server(func(*tcpstack.Shard) {})
			runtime.Gosched()
		}
	}
}

// end closes everything that is left: no context stays, and the laws of the ledger hold for what was sent.
func (s *storm) end() {
	s.t.Helper()
	s.leave(s.w.fleet.ready)
	s.clients(func() { s.w.fleet.ready = nil })
	for waiting := true; waiting; {
		var err error
		s.server(func(sh *tcpstack.Shard) {
			live := sh.Live()
			waiting = live != ledger.Live{}
			err = sh.Book().Check(live)
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	s.wantEqual("contexts when all connections are gone", s.stat("tx_tls_ctx"), 0)
	s.wantEqual("rows added, rows that went", s.stat("tx_tls_ctx_added"), s.stat("tx_tls_ctx_deleted")+s.stat("tx_tls_ctx_evicted"))
}

func (s *storm) stat(name string) uint64 {
	for _, st := range s.w.nic.Stats() {
		if st.Name == name {
			return st.Value
		}
	}
	s.t.Fatalf("the adapter has no counter %s", name)
	return 0
}

// wantMemory checks the most that the server held for its connections: what a connection costs, the pins and records of a
// small response, and what the few may queue.
func (s *storm) wantMemory() {
	s.t.Helper()
	most := <-s.memory
	s.memory <- most
	if bound := int64(s.n)*(8<<10) + stormFew*(256<<10); most > bound {
		s.t.Errorf("the server's account held %d bytes, the bound is %d", most, bound)
	}
	s.t.Logf("%d clients, at most %d bytes each in the server's account, lead %d responses", s.n, most/int64(s.n), s.lead)
}

func (s *storm) log(r *reading) {
	sw := &r.tls.Switches
	s.t.Logf("%d responses, %d records, of them %d by the adapter; switches to it %d, away %v, failed %v",
		s.w.fleet.Responses, r.records, r.tls.Offloaded, sw.ToIfnet, reasons(new([ktls.NumReasons]uint64), &sw.ToSW),
		reasons(new([ktls.NumReasons]uint64), &sw.Failed))
	s.server(func(sh *tcpstack.Shard) {
		v := sh.Snapshot()
		s.t.Logf("retransmitted %d bytes of %d; recoveries %d, time-outs %d, probes %d, spurious %d, ring full %d", v.BytesRetransmitted, v.BytesSent,
			v.Recoveries, v.Timeouts, v.LossProbes, v.SpuriousRTOs, v.QueueStopped)
	})
	s.t.Logf("contexts %d: added %d, deleted %d, evicted %d, refused %d; bus stalls %d, out of sequence %d",
		r.nic["tx_tls_ctx"], r.nic["tx_tls_ctx_added"], r.nic["tx_tls_ctx_deleted"], r.nic["tx_tls_ctx_evicted"],
		r.nic["tx_tls_ctx_full"], r.nic["tx_bus_stalls"], r.nic["tx_tls_ooo"])
}

// TestTableFull: nobody is evicted. Whoever came too late is sealed by the CPU, and gets the row of one who has left.
func TestTableFull(t *testing.T) {
	s := newStorm(t, nicoffload.Config{Bus: wideBus})
	_, rows := stormSize()
	s.wave()
	s.wantMemory()
	r := s.read()
	s.log(&r)
	s.wantSums(&r)
	s.wantEqual("connections on the adapter", r.tls.Now.Device, uint64(rows))
	if got, least := r.nic["tx_tls_ctx_full"], uint64(s.n-rows); got < least {
		t.Errorf("%d contexts refused, %d connections have none", got, least)
	}
	// Half of the clients go, among them those that came first and have the rows.
	s.leave(s.w.fleet.ready[:s.n/2])
	s.clients(func() { s.w.fleet.ready = s.w.fleet.ready[len(s.w.fleet.ready)/2:] })
	s.calm(s.w.fleet.ready[:rows/2])
	s.end()
}

// TestEviction: the row that was idle for longest goes to whoever asks. Rows take time to be set up.
func TestEviction(t *testing.T) {
	s := newStorm(t, nicoffload.Config{Bus: wideBus, Evict: nicoffload.EvictLRU, Idle: 1, Setup: 200 * time.Microsecond})
	_, rows := stormSize()
	s.wave()
	s.wantMemory()
	r := s.read()
	s.log(&r)
	s.wantSums(&r)
	sw := &r.tls.Switches
	if least := uint64(s.n - rows); r.nic["tx_tls_ctx_evicted"]+r.nic["tx_tls_ctx_full"] < least {
		t.Errorf("%d contexts evicted, %d refused: %d connections came to a full table",
			r.nic["tx_tls_ctx_evicted"], r.nic["tx_tls_ctx_full"], least)
	}
	if sw.Failed[ktls.ReasonPending] == 0 {
		t.Error("no context was waited for")
	}
	s.calm(s.w.fleet.ready[:rows/2])
	after := s.read()
	s.log(&after)
	s.wantSums(&after)
	s.end()
}

// TestBusSaturated: the adapter's bus carries a fraction of what is sent.
func TestBusSaturated(t *testing.T) {
	s := newStorm(t, nicoffload.Config{Bus: busOf(narrowBus)})
	s.goal = 20
	s.wave()
	s.wantMemory()
	r := s.read()
	s.log(&r)
	s.wantSums(&r)
	if r.nic["tx_bus_stalls"] == 0 || r.tls.Switches.ToSW[ktls.ReasonSaturated] == 0 {
		t.Errorf("%d stalls of the bus, %d connections that left the adapter because of them",
			r.nic["tx_bus_stalls"], r.tls.Switches.ToSW[ktls.ReasonSaturated])
	}
	s.end()
}
