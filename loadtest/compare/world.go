package compare

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"ocaserve/cache"
	"ocaserve/content"
	"ocaserve/ktls"
	"ocaserve/ktls/offload"
	"ocaserve/nicoffload"
	"ocaserve/origin"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/fault"
	"ocaserve/tcpstack/link/memory"
)

const (
	fileName = "segment.m4s"
	hostName = "compare.test"
)

var serverAddr, clientAddr = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")

// A stage is what all measurements share: the file and the certificate.
type stage struct {
	opts  *Options
	dir   string
	file  []byte
	certs *ktls.Store
}

// newStage makes the file, of bytes that depend on nothing but their place.
func newStage(opts *Options) (s *stage, err error) {
	s = &stage{opts: opts, file: make([]byte, opts.Size)}
	rand.NewChaCha8([32]byte{1}).Read(s.file) //nolint:errcheck // never fails
	if s.dir, err = os.MkdirTemp("", "ocaserve-compare-"); err != nil {
		return nil, err
	}
	if err := s.fill(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) fill() error {
	if err := os.MkdirAll(s.www(), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.www(), fileName), s.file, 0o600); err != nil {
		return fmt.Errorf("the file to serve, %d bytes: %w; set TMPDIR to a folder with room", len(s.file), err)
	}
	pair, _, err := ktls.SelfSigned(filepath.Join(s.dir, "tls"), []string{hostName})
	if err != nil {
		return err
	}
	s.certs, err = ktls.NewStore(pair)
	return err
}

func (s *stage) www() string { return filepath.Join(s.dir, "www") }

func (s *stage) close() {
	os.RemoveAll(s.dir) //nolint:errcheck // what is left is in the system's temporary folder
}

// A world is one measurement's server and clients.
type world struct {
	*stage
	mode    ktls.Mode
	nic     *nicoffload.Interface
	server  *tcpstack.Stack
	addr    netip.Addr      // the server's
	clients *tcpstack.Stack // nil: they are the kernel's
	kernel  *kernelClients  // nil: they are the stack's
	origin  *origin.Server
	fleet   fleet

	failure chan error     // the first one
	stops   []func()       // end a stack each, in the order of stopping
	closers []func() error // in the order of making
}

// newWorld puts the parts together and starts the stacks.
func (s *stage) newWorld(ctx context.Context, k Key) (*world, error) {
	w := &world{stage: s, mode: k.Mode, failure: make(chan error, 1)}
	w.fleet.file, w.fleet.failed = s.file, w.fail
	for _, step := range []func() error{
		func() error { return w.lay(k) },
		w.serve,
		func() error { w.run(); return nil },
		func() error { return w.connect(ctx, k) },
	} {
		if err := step(); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

// lay makes the link between the server and its clients, with the adapter at the server's end.
func (w *world) lay(k Key) error {
	lay := w.layCable
	if w.opts.Net == NetTUN {
		lay = func(k Key) (link.Interface, error) { return w.layTUN(k.Loss) }
	}
	end, err := lay(k)
	if err != nil {
		return err
	}
	cfg := w.opts.NIC
	if cfg.Depth == 0 {
		cfg.Depth = depth(k.Conns)
	}
	if w.nic, err = nicoffload.New(end, cfg); err != nil {
		return err
	}
	w.closers = append(w.closers, w.nic.Close)
	w.server, err = newStack(w.addr, 16<<10, w.nic)
	return err
}

// layCable makes a cable in memory, with the bad wire at the clients' end. The wire is as bad as it may be, or
// perfect, but always a wire: packets cross one by one at every loss rate.
func (w *world) layCable(k Key) (link.Interface, error) {
	a, b := memory.New(memory.Config{TSO: true, RingBytes: 4 << 20, RingFrames: 4096})
	w.closers = append(w.closers, a.Close)
	w.addr = serverAddr
	clients, err := newStack(clientAddr, window(k.Conns, w.opts.RTT), w.spoil(b, k.Loss))
	w.clients = clients
	return a, err
}

// spoil puts the bad wire before an interface.
func (w *world) spoil(nif link.Interface, loss float64) link.Interface {
	return fault.New(nif, fault.Config{Loss: loss, Delay: w.opts.RTT / 2, Seed: w.opts.Seed})
}

// window is what each client offers, bytes. All together they let 8 MiB queue on the wire beyond what 2 GB/s need, more
// only where that is less than 64 KiB for each, which is what Linux offers at first (tcp_rmem), and no usual client less:
// without a bound windows would grow, for lack of loss, until the time to first byte is that of the queue.
func window(conns int, rtt time.Duration) int {
	const queue, rate, least = 8 << 20, 2e9, 64 << 10
	return max(least, (queue+int(rate*rtt.Seconds()))/conns)
}

// depth is how many descriptors the adapter's ring has where --nic does not say: for some frames of each connection. What all
// windows hold waits there when the clients are what limits, and a full ring would be a part of what is measured.
func depth(conns int) int { return min(max(1024, 3*conns), nicoffload.MaxDepth) }

func newStack(addr netip.Addr, receive int, nif link.Interface) (*tcpstack.Stack, error) {
	return tcpstack.New(tcpstack.Config{
		Addrs: []netip.Addr{addr}, ReceiveBuffer: min(receive, 256<<10), MaxReceiveBuffer: receive, MemoryBudget: 1 << 30,
	}, nif.Queues())
}

// serve makes the origin.
func (w *world) serve() error {
	catalogue, err := content.Open(w.www(), content.Options{})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, catalogue.Close)
	pages, err := cache.New(cache.Config{Bytes: max(64<<20, 2*w.opts.Size)})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, pages.Close)
	// The first connections wait for as long as the handshakes of all others take.
	opts := origin.Options{
		Catalogue: catalogue, Cache: pages, Wall: time.Now, Mode: w.mode, HeadTimeout: time.Hour, IdleTimeout: time.Hour,
		MaxRexmit: w.opts.MaxRexmit,
	}
	if w.mode == ktls.ModeOff {
		if w.origin, err = origin.New(opts); err != nil {
			return err
		}
		return w.origin.ServeHTTP(w.server, netip.AddrPortFrom(w.addr, 80))
	}
	// No session tickets: nothing then comes between the handshake and the first response.
	opts.TLS = &ktls.ServerConfig{Certs: w.certs, TicketRotation: -1}
	opts.NIC = func(s *tcpstack.Shard) offload.NIC { return w.nic.Queues()[s.ID()].(*nicoffload.Device) }
	if w.origin, err = origin.New(opts); err != nil {
		return err
	}
	return w.origin.ServeHTTPS(w.server, netip.AddrPortFrom(w.addr, 443))
}

// run starts the stacks, which go on when a measurement is interrupted, until close. The server is the first to stop: what
// is in its adapter goes to clients that still listen.
func (w *world) run() {
	for _, st := range []*tcpstack.Stack{w.server, w.clients} {
		if st == nil {
			continue
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		w.stops = append(w.stops, func() { stop(); <-done })
		go func() {
			defer close(done)
			if err := st.Run(ctx); err != nil && ctx.Err() == nil {
				w.fail(fmt.Errorf("the link failed: %w", err))
			}
		}()
	}
}

// fail ends the measurement. Only the first failure counts: others follow from it.
func (w *world) fail(err error) {
	select {
	case w.failure <- err:
	default:
	}
}

// close takes the world apart: first who uses things, then the things.
func (w *world) close() {
	if w.kernel != nil {
		w.kernel.close()
	}
	for _, stop := range w.stops {
		stop()
	}
	for i := len(w.closers) - 1; i >= 0; i-- {
		w.closers[i]() //nolint:errcheck // nobody is left to act on it
	}
}

// withFleet runs f where the fleet may be touched.
func (w *world) withFleet(ctx context.Context, f func(*fleet)) error {
	if w.kernel != nil {
		w.kernel.mu.Lock()
		defer w.kernel.mu.Unlock()
		f(&w.fleet)
		return ctx.Err()
	}
	_, err := on(ctx, w.clients, func(*tcpstack.Shard) any { f(&w.fleet); return nil })
	return err
}

// received is how many bytes of bodies all clients have.
func (w *world) received(ctx context.Context) (n uint64, err error) {
	err = w.withFleet(ctx, func(f *fleet) { n = f.Bytes })
	return n, err
}

// on runs f on the only shard of a stack and waits for it.
func on[T any](ctx context.Context, st *tcpstack.Stack, f func(*tcpstack.Shard) T) (v T, err error) {
	got := make(chan T, 1)
	st.Shards()[0].Post(tcpstack.MessageFunc(func(s *tcpstack.Shard) { got <- f(s) }))
	select {
	case v = <-got:
		return v, nil
	case <-ctx.Done():
		return v, ctx.Err()
	}
}
