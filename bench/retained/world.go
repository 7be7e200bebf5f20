package main

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"ocaserve/cache"
	"ocaserve/content"
	"ocaserve/ktls"
	"ocaserve/ktls/offload"
	"ocaserve/nicoffload"
	"ocaserve/origin"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/mono"
)

const (
	fileName  = "file"
	fileSize  = 3 << 20 // what lets a congestion window grow to more than inFlight
	inFlight  = 1 << 20 // plaintext that each connection has in flight, beside a response head
	window    = 4 << 20 // what each client offers
	roundTrip = 100 * time.Millisecond
)

var serverAddr, clientAddr = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")

// A world is the server, the clients and their time.
type world struct {
	mode    ktls.Mode
	dir     string
	clock   atomic.Int64 // mono.Time; the adapter's thread reads it
	nic     *nicoffload.Interface
	held    *holder
	server  *tcpstack.Shard
	client  *tcpstack.Shard
	origin  *origin.Server
	clients []*client
	closers []func() error
}

func newWorld(mode ktls.Mode) (w *world, err error) {
	w = &world{mode: mode}
	w.clock.Store(int64(24 * time.Hour))
	if w.dir, err = os.MkdirTemp("", "ocaserve-retained-"); err != nil {
		return nil, err
	}
	w.closers = append(w.closers, func() error { return os.RemoveAll(w.dir) })
	for _, step := range []func() error{w.lay, w.serve} {
		if err := step(); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

func (w *world) close() {
	for i := len(w.closers) - 1; i >= 0; i-- {
		w.closers[i]() //nolint:errcheck // the process ends
	}
}

func (w *world) now() mono.Time { return mono.Time(w.clock.Load()) }

// lay makes the cable, and a stack at either end.
func (w *world) lay() (err error) {
	a, b := memory.New(memory.Config{TSO: true, RingBytes: 8 << 20, RingFrames: 4096, Clock: w.now})
	if w.nic, err = nicoffload.New(a, nicoffload.Config{Bus: 1e15, Clock: w.now}); err != nil {
		return err
	}
	w.closers = append(w.closers, w.nic.Close)
	for _, unwanted := range []string{"lro", "txrtlmt"} { // each frame arrives, as it was sent, and at once: see arrived
		if err := w.nic.SetFeature(unwanted, false); err != nil {
			return err
		}
	}
	if w.server, err = w.stack(serverAddr, w.nic.Queues()); err != nil {
		return err
	}
	w.held = newHolder(b.Queues()[0], w.now)
	w.client, err = w.stack(clientAddr, []link.Device{w.held})
	return err
}

func (w *world) stack(addr netip.Addr, queues []link.Device) (*tcpstack.Shard, error) {
	st, err := tcpstack.New(tcpstack.Config{
		Addrs: []netip.Addr{addr}, ReceiveBuffer: window, MaxReceiveBuffer: window, MemoryBudget: 64 << 30, Clock: w.now,
	}, queues)
	if err != nil {
		return nil, err
	}
	return st.Shards()[0], nil
}

// serve makes the origin with one file in its cache.
func (w *world) serve() error {
	file := make([]byte, fileSize)
	rand.NewChaCha8([32]byte{1}).Read(file) //nolint:errcheck // never fails
	www := filepath.Join(w.dir, "www")
	if err := os.Mkdir(www, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(www, fileName), file, 0o600); err != nil {
		return err
	}
	catalogue, err := content.Open(www, content.Options{})
	if err != nil {
		return err
	}
	pages, err := cache.New(cache.Config{Bytes: 64 << 20})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, catalogue.Close, pages.Close)
	return w.listen(origin.Options{
		Catalogue: catalogue, Cache: pages, Wall: time.Now, Mode: w.mode, HeadTimeout: time.Hour, IdleTimeout: time.Hour,
	})
}

func (w *world) listen(opts origin.Options) (err error) {
	if w.mode == ktls.ModeOff {
		if w.origin, err = origin.New(opts); err != nil {
			return err
		}
		return w.origin.ServeHTTP(w.server.Stack(), netip.AddrPortFrom(serverAddr, w.port()))
	}
	pair, _, err := ktls.SelfSigned(filepath.Join(w.dir, "tls"), []string{"retained.test"})
	if err != nil {
		return err
	}
	certs, err := ktls.NewStore(pair)
	if err != nil {
		return err
	}
	opts.TLS = &ktls.ServerConfig{Certs: certs, TicketRotation: -1}
	opts.NIC = func(*tcpstack.Shard) offload.NIC { return w.nic.Queues()[0].(*nicoffload.Device) }
	if w.origin, err = origin.New(opts); err != nil {
		return err
	}
	return w.origin.ServeHTTPS(w.server.Stack(), netip.AddrPortFrom(serverAddr, w.port()))
}

func (w *world) port() uint16 {
	if w.mode == ktls.ModeOff {
		return 80
	}
	return 443
}

// turn lets both stacks take a turn.
func (w *world) turn() (busy bool, err error) {
	a, err := w.server.Step(w.now())
	if err != nil {
		return false, err
	}
	b, err := w.client.Step(w.now())
	return a || b, err
}

// connect lets clients connect, one after the other, and turns until all have. Goroutines shake hands, in no time: it is only
// what clients send that takes some.
func (w *world) connect(n int) error {
	joined := make(chan error, 1)
	for len(w.clients) < n {
		cl := new(client)
		go func() { joined <- w.join(cl) }()
		for cl.conn == nil {
			if err := w.shake(joined); err != nil {
				return err
			}
		}
		w.clients = append(w.clients, cl)
	}
	return w.settle(w.now().Add(roundTrip))
}

// shake takes a turn of a handshake.
func (w *world) shake(joined <-chan error) error {
	busy, err := w.turn()
	if busy || err != nil {
		return err
	}
	select {
	case err = <-joined:
	default:
		runtime.Gosched()
	}
	if next := w.held.next(); next < mono.Never {
		w.clock.Store(int64(max(next, w.now())))
	}
	return err
}

// settle turns until nothing moves before the given time.
func (w *world) settle(until mono.Time) error {
	const patience = 1 << 24
	for spins := 0; spins < patience; {
		busy, err := w.turn()
		if err != nil {
			return err
		}
		if busy {
			continue
		}
		if !w.arrived() { // the adapter's thread is at work
			spins++
			runtime.Gosched()
			continue
		}
		next := min(w.server.Deadline(), w.client.Deadline(), w.held.next())
		if next > until {
			w.clock.Store(int64(until))
			return nil
		}
		w.clock.Store(int64(max(next, w.now()+1)))
	}
	return errors.New("stuck: a frame does not arrive")
}

// arrived reports whether no frame is under way, in either direction.
func (w *world) arrived() bool {
	s, c := w.server.Snapshot(), w.client.Snapshot()
	return s.FramesSent == c.FramesReceived && c.FramesSent == s.FramesReceived+w.held.waiting()
}

// finish lets time pass until all clients have the whole file and the server knows, and no longer: a connection that is idle
// for a time-out starts over with a small window (RFC 5681 section 4.1).
func (w *world) finish() error {
	for {
		if err := w.settle(w.now().Add(roundTrip / 20)); err != nil {
			return err
		}
		got, queued := 0, int64(0)
		for _, cl := range w.clients {
			got += min(cl.got, fileSize)
		}
		w.server.Walk(tcpstack.WalkAll, len(w.clients)+1, func(c *tcpstack.Conn) { queued += c.Queued() })
		if got == len(w.clients)*fileSize && queued == 0 {
			return nil
		}
	}
}
