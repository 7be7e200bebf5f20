package tcpstack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/syn"
	"ocaserve/tcpstack/wire"
)

// Config describes a stack. The zero value of each field has a default.
type Config struct {
	Addrs   []netip.Addr // our addresses
	AnyAddr bool         // every address is ours: the client's side of an in-process link

	ReceiveBuffer    int   // bytes per connection at first; 0: 64 KiB
	MaxReceiveBuffer int   // what auto-tuning may grow it to; 0: 32 MiB, as Linux since 6.16
	MaxSendBuffer    int64 // bytes in flight per connection; 0: 32 MiB
	NotsentLowat     int64 // unsent bytes per connection, see Conn.Room; 0: 256 KiB
	MaxConns         int   // connections per shard; 0: 131072
	MaxHalfOpen      int   // entries of the SYN cache per shard; 0: 4096; beyond: SYN cookies
	MaxReassembly    int   // bytes per shard that reassembly may hold; 0: 256 MiB, or half of its budget
	MemoryBudget     int64 // bytes that connections may hold, each shard its share; 0: 512 MiB per shard

	MaxPacingRate pacing.Rate   // of each new connection, see Conn.SetMaxPacingRate; 0: none
	PaceBurst     time.Duration // how much of a rate one burst carries, see pacing.Quantum; 0: pacing.Burst
	EgressRate    pacing.Rate   // what all shards together send, see egress.go; 0: no cap

	Functions  string           // TCP implementation of new connections; "": DefaultFunctions
	ECN        ECN              // explicit congestion notification of new connections
	Cookies    bool             // experimental: connections with our own stack agree on cookies against forged segments
	MTUProbing MTUProbing       // when the path's MTU is searched
	Congestion string           // congestion control of new connections; "": congestion.Default
	Cohorts    []Cohort         // connections that run something else
	Clock      func() mono.Time // nil: mono.Now
	Secret     syn.Key          // keys ISNs, cookies and timestamp offsets; zero: random
}

func (c *Config) setDefaults() error {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.ReceiveBuffer, 64<<10)
	def(&c.MaxReceiveBuffer, 32<<20)
	def(&c.MaxConns, 128<<10)
	def(&c.MaxHalfOpen, 4096)
	if c.MaxSendBuffer == 0 {
		c.MaxSendBuffer = 32 << 20
	}
	if c.PaceBurst == 0 {
		c.PaceBurst = pacing.Burst
	}
	if c.NotsentLowat == 0 {
		c.NotsentLowat = 256 << 10
	}
	if c.Clock == nil {
		c.Clock = mono.Now
	}
	if c.Secret == (syn.Key{}) {
		c.Secret = syn.NewKey()
	}
	if len(c.Addrs) == 0 && !c.AnyAddr {
		return errors.New("tcpstack: no address configured")
	}
	return nil
}

// A Stack is a host: addresses, shards and listeners.
type Stack struct {
	cfg    Config
	addrs  map[wire.Addr]bool
	shards []*Shard
	isn    *syn.Generator

	functions  atomic.Pointer[functionsTable] // replaced as a whole; read when a connection is established
	congestion atomic.Pointer[string]         // the default's name

	listeners atomic.Pointer[listenerTable] // replaced as a whole; read on the packet path
	mu        sync.Mutex                    // serialises its writers, and Stats with the end of Run
	running   bool
	tracer    atomic.Pointer[Tracer] // the trace that is running
	stopped   chan struct{}          // closed when Run has ended: messages run no more
}

// New makes a stack with one shard per device. Nothing runs before Run, or a simulation's calls of
// Shard.Step.
func New(cfg Config, queues []link.Device) (*Stack, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	if len(queues) == 0 {
		return nil, errors.New("tcpstack: a stack needs at least one link queue")
	}
	st := &Stack{cfg: cfg, addrs: make(map[wire.Addr]bool), isn: syn.NewGenerator(cfg.Secret)}
	st.cfg.divideMemory(len(queues))
	st.stopped = make(chan struct{})
	st.listeners.Store(&listenerTable{})
	if err := st.initFunctions(); err != nil {
		return nil, err
	}
	for _, a := range cfg.Addrs {
		st.addrs[wire.AddrFrom(a)] = true
	}
	egress := newEgressCap(cfg.EgressRate, len(queues))
	for i, dev := range queues {
		s, err := newShard(st, i, dev)
		if err != nil {
			return nil, err
		}
		s.egress.init(egress, i)
		st.shards = append(st.shards, s)
	}
	return st, nil
}

func newShard(st *Stack, id int, dev link.Device) (*Shard, error) {
	caps := dev.Caps()
	if caps.Medium != link.MediumIP {
		return nil, fmt.Errorf("tcpstack: queue %d: only IP links are supported", id)
	}
	if caps.MTU < minLinkMTU {
		return nil, fmt.Errorf("tcpstack: queue %d: an MTU of %d is below %d", id, caps.MTU, minLinkMTU)
	}
	s := &Shard{
		stack: st, id: id, dev: dev,
		now:    st.cfg.Clock(),
		flows:  make(map[wire.Flow]*Conn),
		unread: make(map[*Conn]struct{}),
		pend:   connList{link: pendLink},
		events: connList{link: eventLink},
		resets: tokenBucket{rate: 1000},
		echoes: tokenBucket{rate: 1000},
	}
	s.mem = account{budget: st.cfg.MemoryBudget, waiting: connList{link: memLink}}
	if s.completer, _ = dev.(link.Completer); caps.TxCopies {
		s.completer = nil
	} else if s.completer == nil {
		return nil, fmt.Errorf("tcpstack: queue %d: the device neither copies frames nor says when it is done with them", id)
	}
	if caps.RateLimit {
		s.limiter, _ = dev.(link.RateLimiter)
	}
	s.batch.init(caps, &s.blocks)
	s.blocks.Init(stream.PoolConfig{MaxBytes: st.cfg.MaxReassembly})
	s.syns = syn.NewCache(syn.Config{Entries: st.cfg.MaxHalfOpen, Key: st.cfg.Secret})
	s.cookies = syn.NewCookies(st.cfg.Secret, st.isn)
	s.opens.fast = syn.NewFastOpen(st.cfg.Secret)
	return s, nil
}

// Shards returns the stack's shards.
func (st *Stack) Shards() []*Shard { return st.shards }

// Run runs every shard until ctx ends or a link fails. Connections still open then are reset. It is called
// once.
//
// Each shard has a thread of its own, which keeps a processor of the Go scheduler while it waits in the kernel. A program
// whose handlers give work to goroutines should leave some for them: runtime.GOMAXPROCS above the number of shards.
func (st *Stack) Run(ctx context.Context) error {
	defer close(st.stopped)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st.setRunning(true)
	defer st.setRunning(false)
	errs := make(chan error, len(st.shards))
	for _, s := range st.shards {
		go func() { errs <- s.run(ctx) }()
	}
	var first error
	for range st.shards {
		if err := <-errs; err != nil && first == nil {
			first = err
			cancel()
		}
	}
	return first
}

func (st *Stack) setRunning(on bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.running = on
}

// isLocal reports whether a is one of our addresses.
func (st *Stack) isLocal(a wire.Addr) bool { return st.cfg.AnyAddr || st.addrs[a] }

// owner is the shard that a flow belongs to, in both directions the same.
func (st *Stack) owner(f *wire.Flow) *Shard {
	if len(st.shards) == 1 {
		return st.shards[0]
	}
	h := wire.SymmetricHash(f.Remote, f.Local, f.RemotePort, f.LocalPort)
	return st.shards[h%uint32(len(st.shards))]
}

// Stats sums the shards' counters. Each shard copies its own between two turns.
func (st *Stack) Stats(ctx context.Context) (ShardStats, error) {
	var sum ShardStats
	for _, s := range st.shards {
		got := make(chan ShardStats, 1)
		s.Post(MessageFunc(func(s *Shard) { got <- s.Snapshot() }))
		select {
		case v := <-got:
			sum.add(&v)
		case <-ctx.Done():
			return sum, ctx.Err()
		case <-st.stopped:
			return sum, ErrStopped
		}
	}
	return sum, nil
}

// Snapshot returns the shard's counters. On the shard only.
func (s *Shard) Snapshot() ShardStats {
	v := s.stats
	v.Connections = len(s.flows)
	v.HalfOpen = s.syns.Len()
	v.BlockBytes = s.blocks.InUse()
	v.MemoryUsed, v.MemoryBudget = s.memoryUsed(), s.mem.budget
	v.Book = s.book
	return v
}

// minLinkMTU is what every IPv4 host must accept (RFC 791 section 3.1, RFC 9293 section 3.7.1).
const minLinkMTU = 576
