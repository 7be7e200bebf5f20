package origin

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"ocaserve/cache"
	"ocaserve/content"
	"ocaserve/ktls"
	"ocaserve/ktls/offload"
	"ocaserve/pacing"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/mono"
)

// Options describe a server. Zero durations and rates mean their defaults.
type Options struct {
	Catalogue *content.Catalogue // what is served
	Cache     *cache.Cache       // where its pages are kept
	Wall      func() time.Time   // the wall clock, for Date and the log; asked at most once a second per shard
	Mode      ktls.Mode          // who seals HTTPS records: ModeUser, ModeInline or ModeNIC
	TLS       *ktls.ServerConfig // nil: plain HTTP only
	Log       *Log               // nil: no access log

	// NIC is asked once for each shard of the stack: the interface queue that the shard drives, if it seals. Nil,
	// or a nil answer: it does not. ModeNIC needs it.
	NIC func(*tcpstack.Shard) offload.NIC

	// MaxRexmit is the share of retransmissions above which a connection's records leave NIC; 0: ktls.DefaultMaxRexmit.
	MaxRexmit float64

	// Pace, if set, is asked for each response's pace: the rate, a deadline, catch-up; From and To are not
	// used. The zero Range is none. It runs on the shard and must not block.
	Pace func(PaceRequest) pacing.Range

	Listing bool // directories without index.html are listed; otherwise 403
	NoCORS  bool // leave out the fields that let players on other sites read

	HeadTimeout      time.Duration // from the first byte of a head to its last; 0: 15 s
	IdleTimeout      time.Duration // between two requests; 0: 75 s
	HandshakeTimeout time.Duration // 0: 10 s; a quarter of it while more than half of MaxHandshakes run
	SendQueue        int64         // bytes per connection that are queued and not sent yet; 0: 256 KiB
	Linger           time.Duration // for the peer to close after we did; 0: 5 s
	SendWindow       time.Duration // over which the minimum rate is measured; 0: 60 s
	MinSendRate      int64         // bytes/s that a client must take, at least one byte per window; 0: 256; see pressure.go
	MaxHandshakes    int           // at once; 0: 1024
	FastOpen         int           // connections per listener that may begin with their SYN, see tcpstack.ListenConfig; 0: none
}

func (o *Options) setDefaults() error {
	def := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	def(&o.HeadTimeout, 15*time.Second)
	def(&o.IdleTimeout, 75*time.Second)
	def(&o.HandshakeTimeout, 10*time.Second)
	def(&o.Linger, 5*time.Second)
	def(&o.SendWindow, 60*time.Second)
	if o.MaxRexmit == 0 {
		o.MaxRexmit = ktls.DefaultMaxRexmit
	}
	if o.MinSendRate == 0 {
		o.MinSendRate = 256
	}
	if o.SendQueue == 0 {
		o.SendQueue = 256 << 10
	}
	if o.MaxHandshakes == 0 {
		o.MaxHandshakes = 1024
	}
	switch {
	case o.Catalogue == nil || o.Cache == nil || o.Wall == nil:
		return errors.New("origin: Catalogue, Cache and Wall are needed")
	case o.TLS != nil && (o.Mode < ktls.ModeUser || o.Mode > ktls.ModeNIC):
		return errors.New("origin: HTTPS needs TLS mode user, inline or nic, not " + o.Mode.String())
	case o.TLS != nil && o.Mode == ktls.ModeNIC && o.NIC == nil:
		return ktls.ErrNoNIC
	}
	return nil
}

// A Server answers requests on any number of listeners.
type Server struct {
	opts        Options
	boundaryKey [2]uint64
	draining    atomic.Bool
	open        atomic.Int64  // sessions and handshakes
	handshaking atomic.Int64  // handshakes running
	idle        chan struct{} // closed when draining and none is open
	idleOnce    sync.Once
	errors      atomic.Uint64 // failed handshakes; they belong to no shard
	panics      atomic.Uint64 // of those, by a panic
	starved     func() bool   // the cache's Starved
	pressedAt   atomic.Int64  // mono.Time of the last round of relieve; 0: none

	mu      sync.Mutex
	shards  map[any]*shard // by *tcpstack.Shard
	closers []func() error // listeners
}

// New makes a server.
func New(opts Options) (*Server, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	srv := &Server{opts: opts, idle: make(chan struct{}), shards: make(map[any]*shard), starved: opts.Cache.Starved}
	var key [16]byte
	rand.Read(key[:]) //nolint:errcheck // never fails (crypto/rand)
	srv.boundaryKey = [2]uint64{binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])}
	return srv, nil
}

// Stats sums the shards' counters.
func (srv *Server) Stats() Stats {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	st := Stats{Open: srv.open.Load(), HandshakeErrors: srv.errors.Load(), HandshakePanics: srv.panics.Load()}
	for _, sh := range srv.shards {
		sh.stats.addTo(&st)
	}
	return st
}

// Drain lets running responses finish: listeners close, idle connections are closed, the others after their
// response. It returns when no connection is left, or with ctx's error.
func (srv *Server) Drain(ctx context.Context) error {
	srv.draining.Store(true)
	srv.mu.Lock()
	closers := srv.closers
	srv.closers = nil
	for _, sh := range srv.shards {
		sh.post(sh.drain)
	}
	srv.mu.Unlock()
	for _, c := range closers {
		c() //nolint:errcheck // closing a listener twice is all that can go wrong
	}
	srv.opened(0)
	select {
	case <-srv.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// opened counts connections.
func (srv *Server) opened(n int64) {
	if srv.open.Add(n) == 0 && srv.draining.Load() {
		srv.idleOnce.Do(func() { close(srv.idle) })
	}
}

// A shard is what the sessions on one shard of the stack share: pools, counters, the date. Like them it
// belongs to that shard; only stats, wake and post are for others.
type shard struct {
	srv   *Server
	wake  func(s *session)            // runs s.resumed on the shard, soon
	post  func(f func(now mono.Time)) // runs f on the shard, soon
	stats counters

	req        *request
	pool       *ktls.Pool
	mode       ktls.Mode // of new HTTPS connections
	nic        bool      // there is an interface that seals
	buffers    buffers
	blocks     []*block
	blocksOut  int
	copies     []*copied
	responses  []*response
	sessions   *session // list of all
	scratch    []byte
	boundaries uint64

	listing      *listingPage // rendered last; holds it
	listingBytes int          // of all pages that are held

	date      [len(dateLayout)]byte // the Date field of this second
	dateUntil mono.Time             // when it is out of date
	unix      int64                 // the same second
	wallAt    time.Time             // wall time at wallMono
	wallMono  mono.Time
}

func (srv *Server) newShard(wake func(*session), post func(func(mono.Time))) *shard {
	sh := &shard{srv: srv, wake: wake, post: post, req: newRequest(), pool: ktls.NewPool(0), mode: srv.opts.Mode}
	if sh.mode == ktls.ModeNIC {
		sh.mode = ktls.ModeInline // until there is an interface
	}
	return sh
}

// setNIC names the interface queue that the shard drives, if it seals.
func (sh *shard) setNIC(nic offload.NIC) {
	if nic == nil {
		return
	}
	sh.pool.SetNIC(nic)
	sh.pool.SetMaxRexmit(sh.srv.opts.MaxRexmit)
	sh.nic = true
	sh.mode = sh.srv.opts.Mode
}

// refresh brings the date up to now.
func (sh *shard) refresh(now mono.Time) {
	if now.Before(sh.dateUntil) {
		return
	}
	sh.wallAt, sh.wallMono = sh.srv.opts.Wall().UTC(), now
	sh.unix = sh.wallAt.Unix()
	sh.dateUntil = now.Add(time.Second - time.Duration(sh.wallAt.Nanosecond()))
	appendDate(sh.date[:0], sh.unix)
}

// wall returns the wall time of now, without asking the clock.
func (sh *shard) wall(now mono.Time) time.Time { return sh.wallAt.Add(now.Sub(sh.wallMono)) }

// link and unlink keep the list of sessions.
func (sh *shard) link(s *session) {
	if s.next = sh.sessions; s.next != nil {
		s.next.prev = s
	}
	sh.sessions = s
}

func (sh *shard) unlink(s *session) {
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		sh.sessions = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
	sh.srv.opened(-1)
}

// drain tells every session.
func (sh *shard) drain(now mono.Time) {
	for s := sh.sessions; s != nil; {
		next := s.next // draining a session may unlink it
		s.drain(now)
		s = next
	}
}

// response returns an empty response with a block of its own.
func (sh *shard) response() *response {
	var r *response
	if n := len(sh.responses); n > 0 {
		r = sh.responses[n-1]
		sh.responses = sh.responses[:n-1]
	} else {
		r = new(response)
	}
	r.block = sh.block()
	return r
}

// reset empties r, so that another answer can be written.
func (sh *shard) reset(r *response) {
	sh.empty(r)
	r.block = sh.block()
}

func (sh *shard) empty(r *response) {
	r.xfer.Close()
	r.body.release()
	r.block.Release()
	r.block, r.status, r.head = nil, 0, 0
}

// recycle ends the use of r.
func (sh *shard) recycle(r *response) {
	sh.empty(r)
	r.log = nil
	if len(sh.responses) < keepFree {
		sh.responses = append(sh.responses, r)
	}
}
